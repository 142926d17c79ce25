"""A workspace as the train and evaluate stages leave it, a champion registered from it, and packages made by hand."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_package import small_network

from leadwise.config import Parameters
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.store import Store, open_store
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.evaluation.decisions import Decision
from leadwise.parameters import load_parameters
from leadwise.registry.candidates import Candidate, describe_package
from leadwise.registry.package import Package, Parity, write_beside_networks
from leadwise.registry.register import Registered, register_champion
from leadwise.registry.smoke_test import HeldOutRows

TOLD = ("AFIB", "IMI")
"""Statements that the registered champion tells, whatever their probabilities."""


@pytest.fixture(autouse=True)
def _search_path_as_before() -> Iterator[None]:
    """``load_model`` puts the model's own Leadwise, which is a part of it, before the one that later tests want."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, simulated_store: Path) -> Parameters:
    """Parameters whose workspace holds the metadata model and fusion_augmented, one epoch each, evaluated."""
    from leadwise.datasets.store import open_store
    from leadwise.evaluation import STATEMENTS_FILE
    from leadwise.evaluation.evaluate import evaluate_model
    from leadwise.reports.evaluation_page import write_evaluation
    from leadwise.training.config import training_config
    from leadwise.training.fit import fit_model
    from leadwise.training.prediction import load_trained

    workspace = tmp_path_factory.mktemp("champion") / "workspace"
    workspace.mkdir()
    (workspace / "store").symlink_to(simulated_store, target_is_directory=True)
    # Fold 9 of so few patients lacks positives of some class, which leaves no macro AUROC to monitor.
    asked = {"monitor": "val/binary_accuracy", "epochs-metadata": 1, "epochs-fusion": 1}
    asked |= {"encoder": "original_cnn", "encoder-width": 8}
    # One epoch teaches such a network nothing, and the tests' machine may be busy.
    floors = {"limits": "macro_auroc:0,auroc:0,ece:1", "p95-latency-ms": 10_000}
    parameters = load_parameters({"workspace": str(workspace), **asked, **floors})
    store = open_store(workspace / "store")
    for model in ("metadata", "fusion_augmented"):
        folder = workspace / "models" / "clinical" / model
        fit_model(training_config(model, parameters), store, folder, report=lambda epoch, metrics: None)
        evaluation = evaluate_model(load_trained(folder), store, bootstrap=100, seed=1)
        write_evaluation(evaluation, workspace / "evaluation" / "clinical" / model)
    file = workspace / "evaluation" / "clinical" / "fusion_augmented" / STATEMENTS_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    # So few simulated patients and so short a training leave nothing to trust.
    for entry in content["statements"]:
        if entry["code"] in TOLD:
            entry |= {"trusted": True, "reason": None, "slope": 1.1, "intercept": 0.3, "threshold": 0.0}
            entry["test"] |= {"precision": 0.5, "sensitivity": 1.0}
    file.write_text(json.dumps(content), encoding="utf-8")
    return parameters


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty tracking store and registry, in use while the fixture lives."""
    import mlflow

    folder = tmp_path_factory.mktemp("tracking")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("registry", artifact_location=str(folder / "runs")))
    yield mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="session")
def registered(trained: Parameters, tracking: str) -> Registered:
    """The champion, registered from ``trained``."""
    import mlflow

    with mlflow.start_run():
        return register_champion(trained)


MakePackage = Callable[..., Package]
RECORDS = 120
"""Of the simulated store, in ``gate_rows``."""


@pytest.fixture(scope="session")
def gate_rows(simulated_store: Path) -> HeldOutRows:
    """Simulated recordings with labels that a network of ``make_package`` can tell: how strong five leads are.

    One label in twelve is wrong, so that nobody reaches an AUROC of 1.
    """
    store = open_store(simulated_store)
    rows = HeldOutRows.read(replace(store, records=store.records.assign(strat_fold=10)))
    strength = np.abs(rows.signals[:RECORDS].astype(np.float64)).mean(axis=1)[:, :5]
    wrong = np.random.default_rng(3).random((RECORDS, 5)) < 1 / 12
    return replace(
        rows,
        patients=rows.patients[:RECORDS],
        labels=((strength > np.median(strength, axis=0)) ^ wrong).astype(np.float64),
        signals=rows.signals[:RECORDS],
        facts=rows.facts[:RECORDS],
    )


@pytest.fixture(scope="session")
def make_package(
    tmp_path_factory: pytest.TempPathFactory, simulated_store: Path, gate_rows: HeldOutRows
) -> MakePackage:
    """``make_package(distraction=0.0, digest=..., simulated=True)``: a package whose networks are computed by hand.

    The fusion network reads how strong the first five leads are, which is what the labels of ``gate_rows`` say, and
    with a distraction also, and more and more, how strong five other leads are.
    """
    store = open_store(simulated_store)

    def make(distraction: float = 0.0, digest: str = "", *, simulated: bool = True) -> Package:
        folder = tmp_path_factory.mktemp("package")
        manifest = store.manifest | {"simulated": simulated} | ({"digest": digest} if digest else {})
        candidates = {name: _candidate(name, manifest, store) for name in ("fusion", "metadata")}
        description = describe_package(candidates, replace(store, manifest=manifest))
        signal = SignalPreprocessing(**candidates["fusion"].preprocessing["signal"])
        _save_networks(folder, signal, gate_rows, distraction)
        parity = {"fusion": Parity(3e-7, 30), "metadata": Parity(1e-7, 30)}
        return replace(write_beside_networks(folder, description), parity=parity)

    return make


def _candidate(name: str, manifest: dict[str, Any], store: Store) -> Candidate:
    """What the train and evaluate stages would have left of a network, as far as a package describes it."""
    train = store.rows("train")
    signal = SignalPreprocessing.fit(store.signals, train, window_samples=1000, stride_samples=1000)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 5))
    decision = Decision.choose(labels, np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.2, labels.shape), 0.01, 0.99))
    return Candidate(
        name=name,
        folder=Path(),
        evaluation=Path("nowhere"),
        training={
            "digest": manifest["digest"],
            "simulated": manifest["simulated"],
            "feature_set": "clinical",
            "parameters": {"seed": 1},
        },
        validation={"val/macro_auroc": 0.91},
        preprocessing={
            "signal": None if name == "metadata" else signal.to_dict(),
            "metadata": MetadataTransformer.fit(store.patients().iloc[train], "clinical").to_dict(),
        },
        decision=decision.to_dict(),
        metrics={"test/macro_auroc": 0.9, "test/binary_accuracy": 0.88, "test/ece": 0.02},
    )


def _save_networks(folder: Path, signal: SignalPreprocessing, rows: HeldOutRows, distraction: float) -> None:
    """sigmoid(mean over time of the absolute signal @ weights + bias), and sigmoid(metadata @ weights)."""
    strength = np.abs(signal.standardise_units(rows.signals)).mean(axis=1)
    weights = np.zeros((12, 5), np.float32)
    weights[range(5), range(5)] = 4
    weights[range(6, 11), range(5)] = -4 * distraction
    bias = -np.median(strength @ weights, axis=0).astype(np.float32)
    nothing = np.zeros((14, 5), np.float32)
    onnx.save(small_network({"of_metadata": nothing, "of_strength": weights, "bias": bias}), folder / "fusion.onnx")
    of_facts = np.random.default_rng(1).normal(0, 0.3, (14, 5)).astype(np.float32)
    onnx.save(small_network({"of_metadata": of_facts}), folder / "metadata.onnx")
