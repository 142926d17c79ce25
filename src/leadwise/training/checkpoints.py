"""Checkpoints after every epoch, from which an interrupted training goes on."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras

from leadwise.atomic import folder_written_atomically


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        fingerprint: of the recipe and the data; a checkpoint of another one is not taken up.
        epochs: finished epochs.
        best_value: the monitored validation metric at its best.
        best_epoch: the epoch, counted from 1, of the best value; 0 before the first.
        seconds: time spent in finished epochs.
        history: one row of metrics per finished epoch.
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

    It holds the network with its optimizer's state after the last epoch, the network of the best epoch, and the
    progress as JSON. A kill at any moment leaves this checkpoint or the one before it.
    """
    older = sorted(folder.glob("epoch-*"))
    with folder_written_atomically(folder / f"epoch-{progress.epochs:04d}") as target:
        network.save(target / "last.keras")
        improved = progress.best_epoch == progress.epochs
        shutil.copy2(target / "last.keras" if improved else older[-1] / "best.keras", target / "best.keras")
        (target / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")
    for outdated in older:
        shutil.rmtree(outdated)


def load_checkpoint(folder: Path, fingerprint: str) -> tuple[Progress, Path] | None:
    """The newest checkpoint with this fingerprint and its folder; checkpoints of other trainings are removed."""
    for checkpoint in sorted(folder.glob("epoch-*"), reverse=True):
        progress = Progress(**json.loads((checkpoint / "progress.json").read_text(encoding="utf-8")))
        if progress.fingerprint == fingerprint:
            return progress, checkpoint
        shutil.rmtree(checkpoint)
    return None
