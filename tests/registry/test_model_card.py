"""The model card and scripts/bundle.py, on the workspace of a trained, evaluated and registered model."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bundle_script import script

from leadwise import __version__
from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.registry.package import Package, unpack_bundled
from leadwise.registry.register import Registered

# The first test waits until two networks are trained, packaged and registered.
pytestmark = [pytest.mark.xdist_group("champion"), pytest.mark.timeout(1500)]

MODEL = "fusion_augmented"


def read(file: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def card(registered: Registered, trained: Parameters) -> str:
    workspace = trained.shared.workspace
    package = Package.read(workspace / "package")
    return script.model_card(package, workspace, command="make run", commit="0123456789ab")


def table(card: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    lines = card[card.index(heading) :].splitlines()[1:]
    start = next(k for k, line in enumerate(lines) if line.startswith("|---"))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_figures_are_those_of_the_evaluation(card: str, trained: Parameters) -> None:
    folder = trained.shared.workspace / "evaluation" / "clinical" / MODEL
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
    rows = table(card, "## Figures per class")
    assert [row[0] for row in rows] == [f"{name}: {SUPERCLASS_NAMES[name]}" for name in SUPERCLASSES]
    for name, row in zip(SUPERCLASSES, rows, strict=True):
        assert int(row[1]) == metrics["rows"]["test_positives"][name] > 0
        low, high = metrics["intervals"][f"test/auroc/{name}"]
        assert row[2] == f"{metrics['metrics'][f'test/auroc/{name}']:.3f} [{low:.3f}, {high:.3f}]"
        assert row[-1] == f"{decision['thresholds'][name]:.3f}"
    headline = dict(table(card, "# Model card"))
    assert headline["macro AUROC"].startswith(f"{metrics['metrics']['test/macro_auroc']:.3f} [")
    assert headline["its floor"].startswith(f"{metrics['metrics']['test/floor/binary_accuracy']:.3f}")
    assert f"{metrics['rows']['test']} records of {metrics['rows']['test_patients']} patients" in card


def test_it_says_what_the_model_is_and_is_not(card: str, trained: Parameters) -> None:
    assert f"\n---\n\n# Model card: Leadwise {__version__}, `{MODEL}`\n" in card
    assert DISCLAIMER in card
    assert "**Trained on simulated data: its answers and these figures say nothing about patients.**" in card
    development = dict(table(card, "## Development"))
    assert development["network"].startswith("original_cnn of width 8")
    assert re.search(r"^\d[\d,]+, 0\.\d MiB as ONNX with the metadata-only network$", development["parameters"])
    assert development["made by"] == "`make run`"
    assert development["data"].startswith("a simulated PTB-XL, digest `")
    assert development["code"].endswith("commit `0123456789ab`")
    assert "encoder-width: 8" in card
    assert len(table(card, "## Subgroups")) > 3
    assert "AFIB" in card[card.index("## Secondary findings") : card.index("## Subgroups")]
    assert "## Corrupted recordings" not in card, "this evaluation corrupted nothing"
    assert not re.search(r"\{[{%]|\bNone\b|\bnan\b", card)


def test_its_head_files_it_on_a_hub_with_the_figures_of_the_evaluation(card: str, trained: Parameters) -> None:
    file = trained.shared.workspace / "evaluation" / "clinical" / MODEL / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    empty, head, _ = card.split("---\n", 2)
    found = yaml.safe_load(head)
    assert empty == ""
    assert (found["license"], found["library_name"], found["language"]) == ("apache-2.0", "onnx", ["en"])
    assert found["datasets"] == ["synthetic"]
    (index,) = found["model-index"]
    (result,) = index["results"]
    assert index["name"] == "leadwise-demo"
    assert result["dataset"]["name"] == "a simulated PTB-XL"
    assert result["dataset"]["args"] == {"fold": 10, "records": metrics["rows"]["test"]}
    measured = {one["name"]: one["value"] for one in result["metrics"]}
    assert measured["macro AUROC"] == pytest.approx(metrics["metrics"]["test/macro_auroc"], abs=5e-5)
    for name in SUPERCLASSES:
        assert measured[f"AUROC, {name}"] == pytest.approx(metrics["metrics"][f"test/auroc/{name}"], abs=5e-5)
    assert {one["type"] for one in result["metrics"]} == set(found["metrics"]) >= {"roc_auc", "accuracy", "f1"}


def ship(workspace: Path, destination: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT_ROOT / "scripts" / "bundle.py"), "--workspace", str(workspace)]
    command += ["--command", "make run DATA=somewhere", "--destination", str(destination), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_ship_writes_package_and_card_where_they_are_found(
    registered: Registered, trained: Parameters, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(trained.shared.workspace, workspace, symlinks=True)
    description = read(workspace / "package" / "model.json")
    # Only weights from PTB-XL are shipped; those would take an hour.
    (workspace / "package" / "model.json").write_text(json.dumps(description | {"simulated": False}), encoding="utf-8")
    (tmp_path / "found.md").write_text("| a hospital | 0.9 |\n", encoding="utf-8")
    finished = ship(workspace, tmp_path / "pretrained", "--elsewhere", str(tmp_path / "found.md"))
    assert finished.returncode == 0, finished.stderr
    assert "MODEL_CARD.md" in finished.stdout
    package = unpack_bundled(tmp_path / "package", tmp_path / "pretrained")
    assert package.description == description | {"simulated": False}
    card = (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| made by | `make run DATA=somewhere` |" in card
    assert "Trained on simulated data" not in card
    assert "## Elsewhere\n\n| a hospital | 0.9 |\n\n" in card
