"""Every named configuration trains, on simulated data: small, and each for one epoch."""

from pathlib import Path

import pytest

from leadwise.config import CONFIGURATIONS
from leadwise.datasets.store import open_store
from leadwise.parameters import load_parameters
from leadwise.training.config import training_config
from leadwise.training.fit import fit_model


@pytest.mark.parametrize("name", sorted(file.stem for file in CONFIGURATIONS.glob("*.yaml")))
def test_a_named_configuration_trains(name: str, simulated_store: Path, tmp_path: Path) -> None:
    small = {"epochs-fusion": 1, "encoder": "original_cnn", "encoder-width": 8, "monitor": "val/binary_accuracy"}
    config = training_config("fusion_augmented", load_parameters({"configuration": name, **small}))
    training = fit_model(config, open_store(simulated_store), tmp_path / "fusion", report=lambda epoch, metrics: None)
    assert training["parameters"] == config.parameters()
    assert training["epochs"] == 1
