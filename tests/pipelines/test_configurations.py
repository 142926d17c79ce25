"""The train stage under every named configuration, on simulated data: small, but as a user starts it."""

import json
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient

from leadwise.config import CONFIGURATIONS
from leadwise.datasets.store import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Checkout

pytestmark = [pytest.mark.slow]

SMALL = {"epochs-fusion": 1, "encoder": "original_cnn", "encoder-width": 8, "model": "fusion"}


@pytest.fixture(scope="module")
def store(simulated_store: "Path") -> Store:
    return open_store(simulated_store)


@pytest.mark.parametrize("name", sorted(file.stem for file in CONFIGURATIONS.glob("*.yaml")))
def test_a_named_configuration_trains(name: str, checkout: "Checkout", store: Store) -> None:
    workspace = checkout.folder / "workspace" / name
    workspace.mkdir(parents=True)
    (workspace / "store").symlink_to(store.folder)
    small = SMALL | ({"teachers": 2} if name == "champion" else {})
    status, output = checkout.mlflow_run("train", configuration=name, workspace=workspace, **small)
    assert status == 0, output[-4000:]
    folder = workspace / "models" / "clinical"
    training = json.loads((folder / "fusion" / "training.json").read_text())
    teachers = training["parameters"]["teachers"]
    if name == "champion":
        assert teachers == 2
        assert f"mean of {teachers} teachers: fold 9 macro AUROC 0." in output
        assert len(list((folder / "teachers").iterdir())) == teachers
        client = MlflowClient(checkout.tracking_uri)
        experiment = client.get_experiment_by_name("leadwise")
        assert experiment is not None
        (taught,) = client.search_runs([experiment.experiment_id], "metrics.`teachers/val/macro_auroc` > 0")
        below = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{taught.info.run_id}'")
        assert len([run for run in below if run.data.tags["model"].startswith("teacher/")]) == teachers
    else:
        assert teachers == 0
