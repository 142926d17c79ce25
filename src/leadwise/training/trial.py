"""One trial of a study: a short training, scaled down from the real one, that reports every epoch."""

from dataclasses import replace

import keras
import mlflow
import numpy as np
import optuna
from keras.callbacks import LambdaCallback

from leadwise.config import Parameters
from leadwise.contract import RECORD_SAMPLES, SignalShape
from leadwise.datasets.store import Store
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.models.build import build_model, multiply_adds
from leadwise.training.callbacks import TrainingDiverged, epoch_metrics
from leadwise.training.config import TrainingConfig, training_config
from leadwise.training.fit import TrainingData, compile_network, run_epochs
from leadwise.training.halving import HalvingReport
from leadwise.training.study import TrialFailed

MILLION = 1e6
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
"""Names of TensorFlow's and PyTorch's errors; JAX has the first word of TensorFlow's status code in its message."""


def trial_recipe(model: str, parameters: Parameters) -> TrainingConfig:
    """The configured recipe with everything that is measured in epochs scaled to those of a trial.

    The schedule of the learning rate spans the trial's own epochs and the running average of the weights the same part
    of them as in the real training, so that a trial ends like a training and not like its beginning. What was found by
    tuning before is left out.
    """
    train = parameters.train.model_copy(update={"use_tuned": False})
    recipe = training_config(model, parameters.model_copy(update={"train": train}))
    epochs = min(parameters.tune.tune_epochs, recipe.epochs)
    return replace(
        recipe,
        epochs=epochs,
        patience=epochs,
        ema_epochs=recipe.ema_epochs * epochs / recipe.epochs,
    )


def trial_rows(recipe: TrainingConfig, store: Store, share: float) -> np.ndarray:
    """The training records of every trial: the same share of them, drawn with the recipe's seed."""
    rows = store.rows("train")
    size = max(round(share * len(rows)), 1)
    return np.sort(np.random.default_rng(recipe.seed).choice(rows, size, replace=False))


def million_multiply_adds(recipe: TrainingConfig, metadata_width: int) -> float:
    """What the answer for one recording costs: those of a window, times its windows as they are served."""
    network = build_model(
        recipe.model,
        SignalShape(samples=recipe.window_samples),
        metadata_width=metadata_width,
        architecture=recipe.architecture,
    )
    windows = 1
    if recipe.sees_signal:
        served = SignalPreprocessing(
            0.0, 1.0, window_samples=recipe.window_samples, stride_samples=recipe.stride_samples
        )
        windows = len(served.window_starts(RECORD_SAMPLES))
    return windows * multiply_adds(network) / MILLION


def train_trial(trial: optuna.Trial, recipe: TrainingConfig, data: TrainingData) -> float:
    """Train briefly; the best value of the monitored metric on fold 9, as the train stage keeps the best epoch.

    Raises:
        optuna.TrialPruned: the trial lags behind those before it.
        TrialFailed: the network's answers are not finite, or the memory does not hold it.
    """
    try:
        batches = data.batches(recipe)
        network = compile_network(recipe, data, len(batches))
        reached: list[float] = []

        def book(epoch: int, logs: dict[str, float]) -> None:
            reached.append(logs[recipe.monitor])
            mlflow.log_metrics(epoch_metrics(logs), step=epoch + 1)

        callbacks = [data.validation(lambda: network), LambdaCallback(on_epoch_end=book)]
        if len(trial.study.directions) == 1:
            callbacks.append(HalvingReport(trial, recipe.monitor, recipe.epochs))
        run_epochs(network, batches, recipe.epochs, callbacks)
        return max(reached)
    except TrainingDiverged as error:
        raise TrialFailed(f"diverged: {error}") from error
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise TrialFailed(f"out of memory: {type(error).__name__}: {str(error).partition(chr(10))[0][:300]}") from error
    finally:
        # Keras keeps every network that it has built.
        keras.utils.clear_session()


def _is_out_of_memory(error: Exception) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY
    return named or "RESOURCE_EXHAUSTED" in str(error)
