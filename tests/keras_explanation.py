"""A trained Keras network made explainable, with gradients, on TensorFlow or JAX."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.calibration import SMALLEST_PROBABILITY
from leadwise.explain import Explainable, ExplanationError, Floats, Patient
from leadwise.training.prediction import TrainedModel

if TYPE_CHECKING:
    import keras

OUTPUT = "superclasses"


def explainable(trained: TrainedModel) -> Explainable:
    """A model of the train stage, for ``leadwise.explain.explain``.

    Raises:
        ExplanationError: it takes no recording, or Keras runs on a backend without gradients here.
    """
    preprocessing = trained.signal
    if preprocessing is None:
        raise ExplanationError(f"{trained.name}: received a model without a signal; allowed: a fusion model")
    slopes = _slopes(trained.network)

    def inputs(windows_mv: Floats, patient: Patient) -> dict[str, np.ndarray]:
        facts = trained.metadata.transform_one(patient)
        return {
            "signal": preprocessing.standardise(windows_mv),
            "metadata": np.repeat(facts, len(windows_mv), axis=0),
        }

    def answers(windows_mv: Floats, patient: Patient) -> np.ndarray:
        return np.asarray(trained.network.predict_on_batch(inputs(windows_mv, patient))[OUTPUT])

    def gradients(windows_mv: Floats, patient: Patient, k: int) -> np.ndarray:
        given = inputs(windows_mv, patient)
        return slopes(given["signal"], given["metadata"], k) / preprocessing.sd_mv

    return Explainable(answers, preprocessing, gradients)


def _slopes(network: "keras.Model") -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """Standardised windows, metadata and a class -> gradients of its log-odds by the windows."""
    from leadwise.models.framework import keras

    backend = keras.backend.backend()
    makers = {"tensorflow": _slopes_by_tensorflow, "jax": _slopes_by_jax}
    if backend not in makers:
        raise ExplanationError(f"KERAS_BACKEND: received {backend}; allowed: {', '.join(makers)}")
    return makers[backend](network)


def _slopes_by_tensorflow(network: "keras.Model") -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def slopes(signal: Any, metadata: Any, k: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(signal)
            answer = network({"signal": signal, "metadata": metadata}, training=False)[OUTPUT]
            log_odds = _log_odds(tf.gather(answer, k, axis=1))
        return tape.gradient(log_odds, signal)

    return lambda signal, metadata, k: slopes(*map(tf.constant, (signal, metadata, k))).numpy()


def _slopes_by_jax(network: "keras.Model") -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    import jax

    def log_odds(signal: Any, metadata: Any, k: Any, trained: Any, fixed: Any) -> Any:
        inputs = {"signal": signal, "metadata": metadata}
        answer, _ = network.stateless_call(trained, fixed, inputs, training=False)
        return _log_odds(answer[OUTPUT][:, k]).sum()

    slopes = jax.jit(jax.grad(log_odds))

    def asked(signal: np.ndarray, metadata: np.ndarray, k: int) -> np.ndarray:
        # Asking the network for an answer replaces the arrays behind its variables.
        kinds = (network.trainable_variables, network.non_trainable_variables)
        return np.asarray(slopes(signal, metadata, k, *([variable.value for variable in kind] for kind in kinds)))

    return asked


def _log_odds(probability: Any) -> Any:
    from keras import ops

    p = ops.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return ops.log(p) - ops.log1p(-p)
