"""The model that ships: written once, checked whenever it is taken; and what a served version needs."""

import json
from pathlib import Path
from typing import Any

import pytest
from bundle_script import script

from leadwise.contract import LeadwiseError
from leadwise.registry.load import ModelError
from leadwise.registry.package import SERVED_PACKAGES, Package, served_requirements, unpack_bundled
from leadwise.serving.scorer import Scorer

CARD = "# Model card\n"


@pytest.fixture
def place(make_package: Any, tmp_path: Path) -> Path:
    """A folder with a small package of networks that do not count as simulated."""
    script.bundle(make_package(simulated=False), CARD, tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_what_was_bundled_is_unpacked_and_answers_alike(place: Path, make_package: Any, tmp_path: Path) -> None:
    original = make_package(simulated=False)
    names = ["MODEL_CARD.md", "SHA256SUMS.txt", "fusion.onnx", "input_example.json", "metadata.onnx", "model.json"]
    assert sorted(file.name for file in place.iterdir()) == names
    package = unpack_bundled(tmp_path / "workspace" / "package", place)
    assert (package.model, package.simulated, package.parity) == ("fusion", False, {})
    assert package.description == original.description
    expected = Scorer.load(original.folder).score([original.example])
    assert Scorer.load(package.folder).score([package.example]) == expected
    assert len(list(package.folder.glob("code/leadwise_served_*/serving/scorer.py"))) == 1
    assert (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8") == CARD


@pytest.mark.parametrize("name", ["fusion.onnx", "model.json", "MODEL_CARD.md"])
def test_a_changed_file_is_named_and_nothing_is_unpacked(place: Path, tmp_path: Path, name: str) -> None:
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[:-1] + b"?")
    with pytest.raises(ModelError, match=rf"{name}: SHA-256 is \w{{12}}, expected \w{{12}}: the file was changed"):
        unpack_bundled(tmp_path / "package", place)
    (place / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: does not exist; take another copy"):
        unpack_bundled(tmp_path / "package", place)
    assert not (tmp_path / "package").exists()


def test_without_a_package_the_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"source: {tmp_path}: no pretrained package there"):
        unpack_bundled(tmp_path / "package", tmp_path)


def test_simulated_weights_are_not_bundled_and_the_old_ones_stay(place: Path, make_package: Any) -> None:
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    with pytest.raises(ModelError, match=r"trained on simulated data; only models of PTB-XL are bundled"):
        script.bundle(make_package(), "another card", place)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


def test_a_package_that_is_too_large_is_refused(
    make_package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package: Package = make_package(simulated=False)
    monkeypatch.setattr(script, "LARGEST_BYTES", 2**10)
    with pytest.raises(ModelError, match=r"received 0\.\d MiB; allowed: 0\.000976562 MiB"):
        script.bundle(package, CARD, tmp_path / "pretrained")
    assert not (tmp_path / "pretrained").exists()


def test_only_what_passed_the_gate_is_bundled(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gate\.json: no report of the gate .*run the register stage first"):
        script.require_passed(tmp_path)
    report = {"passed": False, "verdict": "Gate FAILED: leadwise version 2."}
    (tmp_path / "gate.json").write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(ModelError, match=r"gate\.json: Gate FAILED: leadwise version 2\."):
        script.require_passed(tmp_path)
    (tmp_path / "gate.json").write_text(json.dumps(report | {"passed": True}), encoding="utf-8")
    script.require_passed(tmp_path)


def test_a_package_that_the_lock_does_not_pin_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lines = [f"{name}==1.0 \\\n    --hash=sha256:00" for name in SERVED_PACKAGES if name != "uvloop"]
    lock.write_text("\n".join([*lines, "uvloop==1.0 ; python_full_version < '3.8'"]), encoding="utf-8")
    with pytest.raises(LeadwiseError, match="no pin for uvloop"):
        served_requirements(lock)
