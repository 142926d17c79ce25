"""The train stage under every named configuration, on simulated data: small, but as a user starts it."""

import json
from typing import TYPE_CHECKING

import pytest

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
    status, output = checkout.mlflow_run("train", configuration=name, workspace=workspace, **SMALL)
    assert status == 0, output[-4000:]
    folder = workspace / "models" / "clinical"
    training = json.loads((folder / "fusion" / "training.json").read_text())
    assert training["parameters"]["encoder-width"] == 8
    assert training["parameters"]["precision"] in ("float32", "bfloat16")
