"""A training that was killed, wherever and however often, ends bit for bit where an undisturbed one does."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from killed import KILLED, nursery

from leadwise.datasets.store import Store, open_store
from leadwise.parameters import load_parameters
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained

WORK = """
import sys
from pathlib import Path
from leadwise.datasets.store import open_store
from leadwise.training.config import TrainingConfig
from leadwise.training.fit import TrainingBatches, fit_model

batch = TrainingBatches.__getitem__

def next_batch(self, index):
    sys.audit("batch", f"{self.epoch + 1}.{index}")
    return batch(self, index)

TrainingBatches.__getitem__ = next_batch

def work(store, folder, config):
    report = lambda epoch, metrics: sys.audit("report", f"epoch {epoch}")
    fit_model(TrainingConfig(**config), open_store(Path(store)), Path(folder), report=report)
"""

CASES: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    # Between two epochs, in one, while its checkpoint is written or the one before is removed, and at the very end.
    "metadata": (
        {},
        (
            "report:epoch 1",
            "batch:3.2",
            "open:.epoch-0003.partial-",
            "shutil.rmtree:epoch-0002",
            "open:.metadata.partial-",
            "shutil.rmtree:metadata-checkpoints",
        ),
    ),
    "fusion_augmented": (
        {"precision": "bfloat16"},
        ("open:random.json", "batch:2.2"),
    ),
}

Kill = Callable[[str, TrainingConfig, Path], None]


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def small(model: str, **changes: object) -> TrainingConfig:
    few = {"epochs-fusion": 4, "epochs-metadata": 4, "encoder": "original_cnn", "encoder-width": 8, "batch-size": 64}
    return with_values(training_config(model, load_parameters(few)), dict(changes))


def no_report(epoch: int, metrics: dict[str, float]) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def killed_at(simulated_store: Path) -> Iterator[Kill]:
    """Train, or go on, in a process that is killed at one point."""
    with nursery(WORK) as working:

        def killed(point: str, config: TrainingConfig, folder: Path) -> None:
            given = {name.replace("-", "_"): value for name, value in config.parameters().items()}
            assert working.run(point, simulated_store, folder, given) == [KILLED]

        yield killed


def assert_the_same(one: Path, other: Path) -> None:
    weights, others = (load_trained(folder).network.get_weights() for folder in (one, other))
    for weight, with_it in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, with_it)
    histories = []
    for folder in (one, other):
        history = json.loads((folder / "training.json").read_text())["history"]
        histories.append([{name: value for name, value in row.items() if "seconds" not in name} for row in history])
    assert histories[0] == histories[1]


@pytest.mark.parametrize("model", CASES)
def test_a_training_that_was_killed_again_and_again_ends_as_an_undisturbed_one(
    model: str, store: Store, killed_at: Kill, tmp_path: Path
) -> None:
    changes, points = CASES[model]
    config = small(model, **changes)
    fit_model(config, store, tmp_path / "undisturbed" / model, report=no_report)
    folder = tmp_path / "killed" / model
    for point in points:
        killed_at(point, config, folder)
    ended = fit_model(config, store, folder, report=no_report)
    assert ended["epochs"] == 4
    assert_the_same(tmp_path / "undisturbed" / model, folder)


def test_a_killed_training_stops_and_keeps_the_epoch_as_an_undisturbed_one(
    store: Store, killed_at: Kill, tmp_path: Path
) -> None:
    changes = {"patience": 2, "learning-rate": 0.05, "schedule": "constant", "ema-epochs": 0.0, "weight-decay": 0.0}
    config = small("metadata", epochs=60, **changes)
    undisturbed = fit_model(config, store, tmp_path / "undisturbed", report=no_report)
    last = undisturbed["epochs"]
    assert 2 < last == undisturbed["best_epoch"] + 2 < 60
    values = [row["val/macro_auroc"] for row in undisturbed["history"]]
    assert int(np.argmax(values)) + 1 == undisturbed["best_epoch"]
    killed_at(f"report:epoch {last - 1}", config, tmp_path / "killed")
    killed_at(f"report:epoch {last}", config, tmp_path / "killed")
    ended = fit_model(config, store, tmp_path / "killed", report=no_report)
    assert (ended["epochs"], ended["best_epoch"]) == (last, undisturbed["best_epoch"])
    assert_the_same(tmp_path / "undisturbed", tmp_path / "killed")


def test_what_is_left_of_a_checkpoint_is_no_checkpoint(store: Store, killed_at: Kill, tmp_path: Path) -> None:
    """One half removed, and one written by a version that did not keep the random states."""
    config = small("metadata")
    fit_model(config, store, tmp_path / "undisturbed", report=no_report)
    killed_at("report:epoch 2", config, tmp_path / "killed")
    checkpoint = tmp_path / "killed-checkpoints" / "epoch-0002"
    shutil.copytree(checkpoint, checkpoint.with_name("epoch-0001"))
    for epoch, lost in (("epoch-0001", "progress.json"), ("epoch-0002", "random.json")):
        (checkpoint.with_name(epoch) / lost).unlink()
    fit_model(config, store, tmp_path / "killed", report=no_report)
    assert_the_same(tmp_path / "undisturbed", tmp_path / "killed")
