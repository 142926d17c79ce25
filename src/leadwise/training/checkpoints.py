"""Checkpoints after every epoch, from which an interrupted training goes on."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from leadwise.atomic import folder_written_atomically
from leadwise.models.framework import keras

RANDOM_FILE = "random.json"
"""Layer -> states of its random generators. Keras keeps no such state in a network's file: drop-out of a network that
was loaded would begin anew, with a seed of its own."""


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
