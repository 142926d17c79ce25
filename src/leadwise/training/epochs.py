"""A training epoch by epoch: the optimizer, metrics on fold 9, checkpoints to go on from, the table that is shown."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LeadwiseError
from leadwise.models.framework import keras
from leadwise.terminal import say
from leadwise.training.config import TrainingConfig

EpochReport = Callable[[int, dict[str, float]], None]
"""Called with the epoch, counted from 1, and its metrics."""

RANDOM_FILE = "random.json"
"""Layer -> states of its random generators. Keras keeps no such state in a network's file: drop-out of a network that
was loaded would begin anew, with a seed of its own."""
ROWS, SHOWN_EVERY_S = 4, 30
"""Of the table of epochs."""
WARM_UP_SHARE = 0.25
"""Share of a one-cycle schedule in which the learning rate rises (Smith and Topin 2018; fastai's default)."""
START_DIVISOR = 25


class TrainingDiverged(LeadwiseError):
    """The loss has grown beyond all bounds: probabilities are NaN or infinite."""


def optimizer_for(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), or Adam without decay, with schedule and average as configured."""
    rate = learning_rate(config, steps_per_epoch)
    average: dict[str, Any] = {}
    if config.ema_epochs:
        # The same stretch of training on little and on much data.
        average = {"use_ema": True, "ema_momentum": max(1 - 1 / (config.ema_epochs * steps_per_epoch), 0.0)}
    if config.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **average)
    return keras.optimizers.Adam(rate, **average)


def learning_rate(config: TrainingConfig, steps_per_epoch: int) -> Any:
    """A number, or a schedule over the steps of ``config.epochs`` epochs."""
    if config.schedule == "constant":
        return config.learning_rate
    total = config.epochs * steps_per_epoch
    warm_up = round(WARM_UP_SHARE * total) if config.schedule == "one_cycle" else steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / START_DIVISOR,
        decay_steps=max(total - warm_up, 1),
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Puts the averaged weights into the network at the end of an epoch and takes them out before the next.

    Must come before the callbacks that measure and save. A checkpoint holds the averaged weights in the network and
    the others in the optimizer: ``resume`` turns that round.
    """

    def __init__(self) -> None:
        super().__init__(swap_on_epoch=True)

    def _backend_finalize_ema_values(self, optimizer: keras.optimizers.Optimizer) -> None:
        # Keras lets weight and average share one array. JAX gives the weights' arrays away when it predicts, and the
        # average would be gone with them.
        for weight, average in zip(
            optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
        ):
            average.assign(keras.ops.copy(weight))

    def resume(self, network: keras.Model) -> None:
        """Make a network from a checkpoint ready to be trained further."""
        self.set_model(network)
        self._swap_variables()


@dataclass
class Progress:
    """How far a training has come: finished epochs, their metrics and the best of them by what is monitored.

    Epochs are counted from 1; ``fingerprint`` is of the configuration and the data: a checkpoint of another one is not
    taken up.
    """

    fingerprint: str
    epochs: int = 0
    best_value: float = float("-inf")
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def stopped(self, patience: int) -> bool:
        """Whether the monitored metric has not gained for ``patience`` epochs."""
        return self.epochs - self.best_epoch >= patience


def save_checkpoint(folder: Path, network: keras.Model, progress: Progress) -> None:
    """Write ``folder/epoch-NNNN`` as a whole, then drop the older ones.

    It holds the network with its optimizer's state after the last epoch, the states of its random generators, the
    network of the best epoch, and the progress as JSON. A kill at any moment, or a full disk, leaves this checkpoint
    or the one before it.
    """
    older = sorted(folder.glob("epoch-*"))
    with folder_written_atomically(folder / f"epoch-{progress.epochs:04d}") as target:
        network.save(target / "last.keras")
        improved = progress.best_epoch == progress.epochs
        shutil.copy2(target / "last.keras" if improved else older[-1] / "best.keras", target / "best.keras")
        states = {name: [keras.ops.convert_to_numpy(state).tolist() for state in own] for name, own in _random(network)}
        (target / RANDOM_FILE).write_text(json.dumps(states), encoding="utf-8")
        (target / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")
    for outdated in older:
        shutil.rmtree(outdated)


def load_checkpoint(folder: Path, fingerprint: str) -> tuple[Progress, Path] | None:
    """The newest checkpoint with this fingerprint and its folder; others, and what is left of one, are removed.

    A checkpoint without the states of the random generators, as older versions wrote them, counts as not whole.
    """
    for checkpoint in sorted(folder.glob("epoch-*"), reverse=True):
        file = checkpoint / "progress.json"
        if file.is_file() and (checkpoint / RANDOM_FILE).is_file():
            progress = Progress(**json.loads(file.read_text(encoding="utf-8")))
            if progress.fingerprint == fingerprint:
                return progress, checkpoint
        shutil.rmtree(checkpoint)
    return None


def load_network(checkpoint: Path) -> keras.Model:
    """The network after the last epoch, with its optimizer, and with its random generators where they were."""
    network = keras.saving.load_model(checkpoint / "last.keras")
    states = json.loads((checkpoint / RANDOM_FILE).read_text(encoding="utf-8"))
    for name, own in _random(network):
        for state, value in zip(own, states[name], strict=True):
            state.assign(value)
    return network


def _random(network: keras.Model) -> Iterator[tuple[str, list[keras.Variable]]]:
    """Each layer's name and the states of its random generators, which are its variables that are no weights."""
    for layer in network.layers:
        weights = {id(weight) for weight in layer.weights}
        yield layer.name, [variable for variable in layer.variables if id(variable) not in weights]


def epoch_metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    """Keras' logs of an epoch by the names of the tracking UI.

    ``train/loss`` is the loss on the superclasses, to be laid beside ``val/loss``, whatever else is trained on.
    """
    names = {"superclasses_loss": "train/loss", "statements_loss": "train/statements_loss"}
    names["loss"] = "train/total_loss" if "superclasses_loss" in logs else "train/loss"
    return {names.get(name, name): float(value) for name, value in logs.items()}


def validation_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Binary cross-entropy, macro AUROC and mean binary accuracy at 0.5 of ``(n, 5)`` arrays.

    The macro AUROC is NaN where a class has no positive or no negative record.

    Raises:
        TrainingDiverged: a probability is NaN or infinite.
    """
    if not np.isfinite(probabilities).all():
        raise TrainingDiverged("answers are not finite; try a lower learning-rate")
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -np.mean(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))
    return {
        "val/loss": float(loss),
        "val/macro_auroc": float(roc_auc_score(labels, clipped, average="macro")),
        "val/binary_accuracy": float(np.mean((probabilities >= 0.5) == (labels >= 0.5))),
    }


class EpochKeeper(keras.callbacks.Callback):
    """Keeps the history and the best epoch, writes a checkpoint, reports, and stops when nothing is gained.

    Unlike Keras' ModelCheckpoint and EarlyStopping its whole state is in the checkpoint, so that a training that was
    interrupted stops where an uninterrupted one would: ``progress``, which is changed in place.
    """

    def __init__(self, progress: Progress, config: TrainingConfig, checkpoints: Path, report: EpochReport) -> None:
        super().__init__()
        self._progress, self._config, self._checkpoints, self._report = progress, config, checkpoints, report
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Book the epoch."""
        metrics = epoch_metrics(logs or {})
        metrics["train/seconds"] = time.monotonic() - self._started
        progress = self._progress
        progress.epochs = epoch + 1
        progress.seconds += metrics["train/seconds"]
        progress.history.append(metrics)
        if (value := metrics[self._config.monitor]) > progress.best_value:
            progress.best_value, progress.best_epoch = value, epoch + 1
        save_checkpoint(self._checkpoints, self.model, progress)
        self._report(epoch + 1, metrics)
        if progress.stopped(self._config.patience):
            self.model.stop_training = True


class EpochTable:
    """Prints a row for every epoch of a short training; of a longer one about ``ROWS``, and one each half minute.

    The best value of the monitored metric so far is marked. The history among the training's files has every epoch.
    """

    def __init__(self, config: TrainingConfig, name: str) -> None:
        self._config = config
        self._best = float("-inf")
        self._every = -(-config.epochs // ROWS)
        self._shown_at = time.monotonic()
        say(
            f"{name} ({config.feature_set} features, {config.precision}): at most {config.epochs} epochs, "
            f"patience {config.patience} on {config.monitor}\n"
            f"{'epoch':>5}  {'train loss':>10}  {'val loss':>8}  {'val macro AUROC':>15}  "
            f"{'val accuracy':>12}  {'seconds':>7}"
        )

    def row(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch."""
        mark = " *" if metrics[self._config.monitor] > self._best else ""
        self._best = max(self._best, metrics[self._config.monitor])
        long_ago = time.monotonic() - self._shown_at > SHOWN_EVERY_S
        if epoch % self._every and epoch not in (1, self._config.epochs) and not long_ago:
            return
        self._shown_at = time.monotonic()
        say(
            f"{epoch:5d}  {metrics['train/loss']:10.4f}  {metrics['val/loss']:8.4f}  "
            f"{metrics['val/macro_auroc']:15.4f}  {metrics['val/binary_accuracy']:12.4f}  "
            f"{metrics['train/seconds']:7.1f}{mark}"
        )

    def close(self, training: Mapping[str, Any]) -> None:
        """What was kept."""
        again = "; taken from an earlier run with the same parameters and data" if training["reused"] else ""
        say(
            f"kept epoch {training['best_epoch']} of {training['epochs']}: {self._config.monitor} "
            f"{training['validation'][self._config.monitor]:.4f}, {training['count_params']:,} parameters, "
            f"{training['seconds']:.0f} s{again}"
        )
