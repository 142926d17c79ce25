"""Every input of the packaged networks is looked at by its name."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_package import small_network

from leadwise.features import feature_names
from leadwise.registry.gate_checks import leak_check
from leadwise.registry.register import RegistrationError, register_challenger


@pytest.fixture
def folder(make_package: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(make_package().folder, tmp_path / "package"))


def change(folder: Path, **metadata: Any) -> None:
    """Change what model.json says of the fusion network's metadata."""
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    description["networks"]["fusion"]["preprocessing"]["metadata"] |= metadata
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")


def test_clinical_networks_pass_and_their_inputs_are_listed(folder: Path) -> None:
    check = leak_check(folder)
    assert check.passed
    assert check.measured == ", ".join(["signal", *feature_names("clinical")])


def test_a_feature_that_is_read_off_the_diagnosis_is_named(folder: Path) -> None:
    change(folder, feature_set="original", features=list(feature_names("original")))
    check = leak_check(folder)
    assert check.passed is False
    assert "fusion sees infarction_stadium1; fusion sees infarction_stadium2" in check.note


def test_the_original_feature_set_is_refused_by_its_name_alone(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(description | {"feature_set": "original"}), encoding="utf-8")
    assert leak_check(folder).note == "feature set original, only clinical is served"


def test_an_input_of_the_network_that_nothing_describes_is_named(folder: Path) -> None:
    model = small_network({"of_metadata": np.zeros((15, 5), np.float32)})
    model.graph.input.append(helper.make_tensor_value_info("report", TensorProto.FLOAT, ["batch", 15]))
    onnx.save(model, folder / "metadata.onnx")
    check = leak_check(folder)
    assert check.passed is False
    assert check.note == "metadata sees report; metadata: takes 15 numbers of metadata, 14 of them have names"


def test_such_a_package_is_never_registered(make_package: Any, folder: Path, tracking: str) -> None:
    from dataclasses import replace

    import mlflow

    change(folder, feature_set="original", features=list(feature_names("original")))
    package = replace(make_package(), folder=folder)
    with pytest.raises(RegistrationError, match=r"fusion sees infarction_stadium1.*never registered"):
        register_challenger(package, "leaking")
    assert not mlflow.MlflowClient().search_registered_models("name = 'leaking'")
