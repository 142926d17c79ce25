"""What happens after an epoch: validation metrics on fold 9, bookkeeping (Keras callbacks), the table that is shown."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from leadwise.contract import LeadwiseError
from leadwise.memory import keep_freed_memory
from leadwise.models.framework import keras
from leadwise.terminal import say
from leadwise.training.checkpoints import Progress, save_checkpoint
from leadwise.training.config import TrainingConfig

EpochReport = Callable[[int, dict[str, float]], None]
"""Called with the epoch, counted from 1, and its metrics."""


ROWS, SHOWN_EVERY_S = 4, 30
"""Of the table of epochs."""


class TrainingDiverged(LeadwiseError):
    """The loss has grown beyond all bounds."""


class KeepFreedMemory(keras.callbacks.Callback):
    """Keeps freed memory again after the first batch of each epoch: see ``keep_freed_memory``."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Repeat the settings."""
        if batch == 0:
            keep_freed_memory()


class ValidationMetrics(keras.callbacks.Callback):
    """Adds ``val/loss``, ``val/macro_auroc`` and ``val/binary_accuracy`` to an epoch's logs.

    They are computed from probabilities averaged over a record's windows, where Keras' own would see batches.

    Args:
        measure: gives the metrics of the validation records.
    """

    def __init__(self, measure: Callable[[], dict[str, float]]) -> None:
        super().__init__()
        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict and add the metrics; a training that has diverged ends here."""
        try:
            measured = self._measure()
        except NotFiniteError as error:
            raise TrainingDiverged(f"epoch {epoch + 1}: answers are not finite; try a lower learning-rate") from error
        if logs is not None:
            logs.update(measured)


class NotFiniteError(LeadwiseError):
    """Probabilities are NaN or infinite."""


def epoch_metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    """Keras' logs of an epoch by the names of the tracking UI.

    ``train/loss`` is the loss on the superclasses, to be laid beside ``val/loss``, whatever else is trained on.
    """
    names = {"loss": "train/loss"}
    if "superclasses_loss" in logs:
        names = {
            "loss": "train/total_loss",
            "superclasses_loss": "train/loss",
            "statements_loss": "train/statements_loss",
        }
    return {names.get(name, name): float(value) for name, value in logs.items()}


def validation_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Binary cross-entropy, macro AUROC and mean binary accuracy at 0.5 of ``(n, 5)`` arrays.

    The macro AUROC is NaN where a class has no positive or no negative record.

    Raises:
        NotFiniteError: a probability is NaN or infinite.
    """
    if not np.isfinite(probabilities).all():
        raise NotFiniteError("probabilities are not finite")
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
    interrupted stops where an uninterrupted one would.

    Args:
        progress: where the training stands; changed in place.
        monitor: the validation metric whose highest value is the best.
        patience: epochs without gain before the training stops.
        checkpoints: folder of the checkpoints.
        report: called after each epoch.
    """

    def __init__(
        self, progress: Progress, *, monitor: str, patience: int, checkpoints: Path, report: EpochReport
    ) -> None:
        super().__init__()
        self._progress, self._monitor, self._patience = progress, monitor, patience
        self._checkpoints, self._report = checkpoints, report
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
        if metrics[self._monitor] > progress.best_value:
            progress.best_value, progress.best_epoch = metrics[self._monitor], epoch + 1
        save_checkpoint(self._checkpoints, self.model, progress)
        self._report(epoch + 1, metrics)
        if progress.stopped(self._patience):
            self.model.stop_training = True


class EpochTable:
    """Prints a row for every epoch of a short training; of a longer one about ``ROWS``, and one each half minute.

    The history among the files of the training has every epoch.

    Args:
        config: names the monitored metric, whose best value so far is marked.
        name: what is trained.
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
