"""A workspace as the train and evaluate stages leave it, and a champion registered from it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadwise.config import Parameters, load_parameters
from leadwise.registry.registration import Registered, register_champion

TOLD = ("AFIB", "IMI")
"""Statements that the registered champion tells, whatever their probabilities."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, simulated_store: Path) -> Parameters:
    """Parameters whose workspace holds the metadata model and fusion_augmented, one epoch each, evaluated."""
    from leadwise.data.store import open_store
    from leadwise.evaluation.evaluate import evaluate_model
    from leadwise.evaluation.files import STATEMENTS_FILE
    from leadwise.training.fit import fit_model
    from leadwise.training.prediction import load_trained
    from leadwise.training.recipe import recipe_for

    workspace = tmp_path_factory.mktemp("champion") / "workspace"
    workspace.mkdir()
    (workspace / "store").symlink_to(simulated_store, target_is_directory=True)
    # Fold 9 of so few patients lacks positives of some class, which leaves no macro AUROC to monitor.
    asked = {"monitor": "val/binary_accuracy", "epochs-metadata": 1, "epochs-fusion": 1, "encoder-width": 8}
    parameters = load_parameters({"workspace": str(workspace), **asked})
    store = open_store(workspace / "store")
    for model in ("metadata", "fusion_augmented"):
        folder = workspace / "models" / "clinical" / model
        fit_model(recipe_for(model, parameters), store, folder, report=lambda epoch, metrics: None)
        evaluation = evaluate_model(load_trained(folder), store, bootstrap=100, seed=1)
        evaluation.write(workspace / "evaluation" / "clinical" / model)
    file = workspace / "evaluation" / "clinical" / "fusion_augmented" / STATEMENTS_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    # So few simulated patients and so short a training leave nothing to trust.
    for entry in content["statements"]:
        if entry["code"] in TOLD:
            entry |= {"trusted": True, "reason": None, "slope": 1.1, "intercept": 0.3, "threshold": 0.0}
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
