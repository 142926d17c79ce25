"""One trial of a study: what it draws from, and its short training, in a run of its own below the study's.

A search space lies around what is configured for a model, by the names of ``TrainingConfig`` in kebab case. What is
configured is always inside: a range grows to reach it, and a parameter that is switched off (0 where the range is
logarithmic, as for ``statement-weight``) stays off.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import mlflow
import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError

from leadwise.config import Parameters
from leadwise.contract import RECORD_SAMPLES, LeadwiseError, SignalShape
from leadwise.datasets.store import Store
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.models.framework import build_model, keras, multiply_adds
from leadwise.models.spec import Choice, Dimension, Whole, model_spec
from leadwise.stage import child_run
from leadwise.terminal import say
from leadwise.tracking_store import given_up
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.epochs import TrainingDiverged, epoch_metrics
from leadwise.training.fit import TrainingData, compile_network, run_epochs

DEFAULTS, REASON, FAILED, RETRY_OF = "defaults", "reason", "failed", "retry_of"
"""Attributes of a trial: it has the configured values; why it did not complete; whether it failed by itself; which lost
trial it is for."""
COST, RUN = "million_multiply_adds", "run_id"
"""Attributes of a trial: what an answer of its network costs; its run in MLflow."""
MILLION = 1e6
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
"""Names of TensorFlow's and PyTorch's errors; JAX has the first word of TensorFlow's status code in its message."""


class TrialFailed(LeadwiseError):
    """A trial came to nothing for a reason of its own; the study goes on."""


@dataclass(frozen=True)
class SearchSpace:
    """The space of one study.

    Attributes:
        dimensions: parameter -> its range.
        widths: encoder -> the range of ``encoder-width`` beside it; empty without a recording.
    """

    dimensions: Mapping[str, Dimension]
    widths: Mapping[str, Whole]

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Values of a trial by the names of ``TrainingConfig``."""
        drawn: dict[str, Any] = {name: dimension.draw(trial, name) for name, dimension in self.dimensions.items()}
        if self.widths:
            encoder = drawn["encoder"]
            drawn[_width_of(encoder)] = self.widths[encoder].draw(trial, _width_of(encoder))
        return self.config_values(drawn)

    def config_values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial has drawn, by the names of ``TrainingConfig``."""
        values = {name: value for name, value in drawn.items() if name in self.dimensions}
        if self.widths and "encoder" in drawn and _width_of(drawn["encoder"]) in drawn:
            values["encoder-width"] = drawn[_width_of(drawn["encoder"])]
        return values

    def drawn_from(self, config: TrainingConfig) -> dict[str, Any]:
        """What a trial would have drawn that has the configured values."""
        parameters = config.parameters()
        drawn = {name: parameters[name] for name in self.dimensions}
        return drawn | ({_width_of(config.encoder): config.encoder_width} if self.widths else {})

    def described(self) -> dict[str, str]:
        """Parameter -> its range in words."""
        described = {name: str(dimension) for name, dimension in self.dimensions.items()}
        if self.widths:
            described["encoder-width"] = "; ".join(f"{encoder} {width}" for encoder, width in self.widths.items())
        return described


def space_of(config: TrainingConfig) -> SearchSpace:
    """The space around a configuration, which holds the configuration itself."""
    parameters = config.parameters()
    dimensions: dict[str, Dimension] = {}
    spec = model_spec(config.model)
    for name, dimension in spec.search_space.items():
        if name == "feature-dropout" and config.feature_set == "original":
            # Its features carry no masks: one that is dropped would look like a patient.
            continue
        if (reaching := dimension.reaching(parameters[name])) is not None:
            dimensions[name] = reaching
    encoders = dimensions.get("encoder")
    widths: dict[str, Whole] = {}
    if isinstance(encoders, Choice):
        widths = {encoder: width for encoder, width in spec.widths.items() if encoder in encoders.options}
        widths[config.encoder] = widths[config.encoder].reaching(config.encoder_width)
    return SearchSpace(dimensions, widths)


def _width_of(encoder: str) -> str:
    return f"{encoder}-width"


def trial_config(model: str, parameters: Parameters) -> TrainingConfig:
    """The configuration with everything that is measured in epochs scaled to those of a trial.

    The schedule of the learning rate spans the trial's own epochs and the running average of the weights the same part
    of them as in the real training, so that a trial ends like a training and not like its beginning. What was found by
    tuning before is left out.
    """
    train = parameters.train.model_copy(update={"use_tuned": False})
    config = training_config(model, parameters.model_copy(update={"train": train}))
    epochs = min(parameters.tune.tune_epochs, config.epochs)
    return replace(
        config,
        epochs=epochs,
        patience=epochs,
        ema_epochs=config.ema_epochs * epochs / config.epochs,
    )


def trial_rows(config: TrainingConfig, store: Store, share: float) -> np.ndarray:
    """The training records of every trial: the same share of them, drawn with its seed."""
    rows = store.rows("train")
    size = max(round(share * len(rows)), 1)
    return np.sort(np.random.default_rng(config.seed).choice(rows, size, replace=False))


def million_multiply_adds(config: TrainingConfig, metadata_width: int) -> float:
    """What the answer for one recording costs: those of a window, times its windows as they are served."""
    network = build_model(
        config.model,
        SignalShape(samples=config.window_samples),
        metadata_width=metadata_width,
        architecture=config.architecture,
    )
    windows = 1
    if config.sees_signal:
        served = SignalPreprocessing(
            0.0, 1.0, window_samples=config.window_samples, stride_samples=config.stride_samples
        )
        windows = len(served.window_starts(RECORD_SAMPLES))
    return windows * multiply_adds(network) / MILLION


class TrialRunner:
    """Optuna's objective: the score, and with two objectives the cost, of trainings on some rows of the store.

    ``config`` is that of a trial with the configured values.
    """

    def __init__(self, config: TrainingConfig, space: SearchSpace, store: Store, rows: np.ndarray) -> None:
        self._config, self._space, self._store, self._rows = config, space, store, rows

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """Run a trial.

        Raises:
            optuna.TrialPruned: it lags behind those before it; or it failed by itself, which it would do again, and
                from which a sampler learns as little as from one that has no value.
        """
        values = self._space.draw(trial)
        config = with_values(self._config, values)
        name = f"{config.model}/trial-{trial.number:03d}"
        tags = {"stage": "tune", "model": config.model, "feature_set": config.feature_set, "trial.state": "running"}
        if RETRY_OF in trial.user_attrs:
            tags["trial.retry_of"] = str(trial.user_attrs[RETRY_OF])
        try:
            with child_run(name, "trial", tags | {"study": trial.study.study_name}, values) as run:
                trial.set_user_attr(RUN, run.info.run_id)
                score, cost = self._run(trial, config, name)
        except TrialFailed as failed:
            raise optuna.TrialPruned(str(failed)) from failed
        say(f"  {name}: {config.monitor} {score:.4f}, {cost:.3g} million multiply-adds")
        return score if len(trial.study.directions) == 1 else (score, cost)

    def _run(self, trial: optuna.Trial, config: TrainingConfig, name: str) -> tuple[float, float]:
        began = time.monotonic()
        try:
            data = TrainingData.prepare(config, self._store, self._rows)
            cost = million_multiply_adds(config, data.metadata.width)
            trial.set_user_attr(COST, cost)
            mlflow.log_metric("trial/million_multiply_adds", cost)
            score = _train(trial, config, data)
        except (optuna.TrialPruned, TrialFailed) as error:
            state = "pruned" if isinstance(error, optuna.TrialPruned) else "failed"
            trial.set_user_attr(REASON, str(error))
            trial.set_user_attr(FAILED, state == "failed")
            mlflow.log_metric("trial/seconds", time.monotonic() - began)
            tag_state(state, str(error))
            say(f"  {name}: {state} {error}")
            if state == "pruned":
                # Not a failure: MLflow's own storage for Optuna marks it the same way.
                mlflow.end_run("KILLED")
            raise
        except UpdateFinishedTrialError:
            # Another worker took this trial for lost, has ended its run, and tries its values again.
            raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            reason = "interrupted; its values are tried again" if stopped else f"{type(error).__name__}: {error}"
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr(REASON, reason)
            if not given_up(error):
                tag_state("failed", reason)
            raise
        mlflow.log_metrics({f"best/{config.monitor}": score, "trial/seconds": time.monotonic() - began})
        tag_state("complete", "")
        return score, cost


def said(values: Mapping[str, Any]) -> str:
    """The values of a trial as one line."""
    return " ".join(f"{name}={f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values.items())


def tag_state(state: str, reason: str, run_id: str | None = None) -> None:
    """Tell in a run, the active one or another, what became of its trial, and why."""
    import mlflow

    client, run = mlflow.MlflowClient(), run_id or mlflow.active_run().info.run_id
    client.set_tag(run, "trial.state", state)
    if reason:
        client.set_tag(run, "trial.reason", reason[:500])


def _train(trial: optuna.Trial, config: TrainingConfig, data: TrainingData) -> float:
    """Train briefly; the best value of the monitored metric on fold 9, as the train stage keeps the best epoch.

    Raises:
        optuna.TrialPruned: the trial lags behind those before it.
        TrialFailed: the network's answers are not finite, or the memory does not hold it.
    """
    try:
        batches = data.batches(config)
        network = compile_network(config, data, len(batches))
        reached: list[float] = []

        def report(epoch: int, logs: dict[str, float]) -> None:
            reached.append(logs[config.monitor])
            mlflow.log_metrics(epoch_metrics(logs), step=epoch + 1)
            if len(trial.study.directions) == 1:
                _report(trial, config, epoch + 1, logs[config.monitor])

        callbacks = [data.validation(network), keras.callbacks.LambdaCallback(on_epoch_end=report)]
        run_epochs(network, batches, config.epochs, callbacks, f"trial {trial.number} of {config.model}")
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


def _report(trial: optuna.Trial, config: TrainingConfig, epoch: int, value: float) -> None:
    """Report an epoch, counted from 1; ask whether to go on, unless it is the last, or that of the configured values.

    The trial with the configured values is what the others are compared with.
    """
    trial.report(float(value), step=epoch)
    # The pruner notes the value when it is asked: those of the configured values are to count, too.
    if epoch >= config.epochs or not trial.should_prune() or DEFAULTS in trial.user_attrs:
        return
    others = [one.intermediate_values for one in trial.study.get_trials(deepcopy=False) if one.number != trial.number]
    there = [course[epoch] for course in others if epoch in course]
    better = sum(other > value for other in there)
    raise optuna.TrialPruned(
        f"after epoch {epoch}: {config.monitor} {value:.4f}; {better} of the {len(there)} other trials that had got "
        "there had more"
    )


def _is_out_of_memory(error: Exception) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY
    return named or "RESOURCE_EXHAUSTED" in str(error)
