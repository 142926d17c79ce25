"""What the demo promises: a network that has learned to read the simulated recordings."""

from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import open_store
from leadwise.datasets.synthetic import write_simulated_tree
from leadwise.parameters import load_parameters
from leadwise.training.config import training_config
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_demo_reads_every_class_off_the_recording(tmp_path: Path) -> None:
    parameters = load_parameters({"configuration": "demo"})
    tree = write_simulated_tree(tmp_path / "tree", patients=parameters.simulate.patients, seed=parameters.shared.seed)
    ingest(tree, tmp_path / "store", max_unreadable_share=0.0)
    store = open_store(tmp_path / "store")
    rows = store.rows("test")
    found = {}
    for model in ("metadata", "fusion"):
        fit_model(training_config(model, parameters), store, tmp_path / model, report=lambda epoch, metrics: None)
        answers = load_trained(tmp_path / model).answers(store, rows)["superclasses"]
        areas = roc_auc_score(store.labels()[rows], answers, average=None)
        found[model] = dict(zip(SUPERCLASSES, areas, strict=True))
    macro = {model: sum(areas.values()) / len(areas) for model, areas in found.items()}
    assert macro["fusion"] >= 0.90, found
    assert min(found["fusion"].values()) >= 0.80, found
    assert macro["fusion"] - macro["metadata"] >= 0.15, found
