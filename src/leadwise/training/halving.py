"""Successive halving over the epochs: trials that lag behind end early, and say against what they lost."""

from typing import Any

import keras
import optuna
from optuna.pruners import SuccessiveHalvingPruner

from leadwise.training.checkpoints import WARM_UP_SHARE
from leadwise.training.study import DEFAULTS

KEPT = 2
"""One trial in so many goes on after each cut."""
RUNG = "completed_rung_"
"""Optuna's name, in a trial's system attributes, for the value at a cut."""


def first_cut(epochs: int) -> int:
    """The epoch of the first cut: while the learning rate only rises, a trial says little about itself."""
    return max(round(WARM_UP_SHARE * epochs), 1)


def cuts(epochs: int) -> list[int]:
    """The epochs after which trials of so many epochs are compared, each twice the one before."""
    found = [first_cut(epochs)]
    while found[-1] < epochs:
        found.append(KEPT * found[-1])
    return [cut for cut in found if cut < epochs]


def halving(epochs: int) -> SuccessiveHalvingPruner:
    """Asynchronous successive halving (Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning).

    Not Hyperband: Optuna's splits the trials into brackets of which each has a sampler's start of its own, and a study
    of forty trials would be random throughout.
    """
    return SuccessiveHalvingPruner(min_resource=first_cut(epochs), reduction_factor=KEPT)


class HalvingReport(keras.callbacks.Callback):
    """Reports each epoch to the study and ends a trial that is not among the better half at a cut.

    The trial with the configured values is never ended: it is what the others are compared with.

    Args:
        trial: the trial.
        monitor: the reported metric.
        epochs: of a whole trial; after the last one there is nothing to save.
    """

    def __init__(self, trial: optuna.Trial, monitor: str, epochs: int) -> None:
        super().__init__()
        self._trial, self._monitor, self._epochs = trial, monitor, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report, and ask whether to go on."""
        value, reached = float((logs or {})[self._monitor]), epoch + 1
        self._trial.report(value, step=reached)
        if reached >= self._epochs or not self._trial.should_prune() or DEFAULTS in self._trial.user_attrs:
            return
        raise optuna.TrialPruned(f"after epoch {reached}: {self._monitor} {value:.4f}{self._against()}")

    def _against(self) -> str:
        found = self._trial.study.get_trials(deepcopy=False)
        own = found[self._trial.number].system_attrs
        rung = max(int(name.removeprefix(RUNG)) for name in own if name.startswith(RUNG))
        values = sorted(t.system_attrs[f"{RUNG}{rung}"] for t in found if f"{RUNG}{rung}" in t.system_attrs)
        better = max(len(values) // KEPT, 1)
        return (
            f", where the best {better} of the {len(values)} trials that had got there "
            f"had {values[-better]:.4f} or more"
        )
