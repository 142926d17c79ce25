"""A version for one site, through the stage: taken where it is better for patients it has not seen, else refused.

The site's labels are drawn from the answers of the bundled networks, so that it is known how far these are off there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.cohort import CohortError
from leadwise.datasets.synthetic import simulate_record
from leadwise.decision import logit, sigmoid
from leadwise.registry.load import load_scorer, package_folder
from leadwise.registry.site import class_rates, fit_site

pytestmark = [pytest.mark.xdist_group("site"), pytest.mark.timeout(600)]
RECORDINGS = 160
SHIFT = np.array([-2.0, 1.5, 1.5, 1.5, 2.5])
"""Of the site, in logits: fewer normal and more of everything else than the answers say."""


def request(number: int) -> dict[str, Any]:
    """A recording of any kind."""
    record = simulate_record(SUPERCLASSES[number % 5], number)
    facts = {name: value for name, value in record.patient.items() if value is not None}
    return {"id": f"r{number}", "signal": record.signal_mv, "leads": list(LEADS), "fs_hz": 100, "units": "mV"} | facts


def probabilities(model: str, rows: list[dict[str, Any]]) -> np.ndarray:
    answers = load_scorer(model).score(rows)
    return np.array([[answer["probabilities"][name] for name in SUPERCLASSES] for answer in answers])


@dataclass(frozen=True)
class Site:
    """Where the stage runs, and what it said of a site whose answers are off, and of the same site once more.

    Attributes:
        folder: of everything.
        taken: what the stage printed first, and its status.
        refused: the same of the second time, when it began with the version of the first.
    """

    folder: Path
    taken: tuple[int, str]
    refused: tuple[int, str]

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "workspace" / "sites" / name / "gate.json").read_text())
        return found


OPTIONS = '{"columns": {"file": "trace"}}'
"""The table calls its files so."""


def stage(folder: Path, **given: str) -> tuple[int, str]:
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "PYTHONPATH": str(PROJECT_ROOT / "src")}
    command = [sys.executable, str(PROJECT_ROOT / "pipelines" / "recalibrate.py"), *words]
    done = subprocess.run(
        [*command, "--source", "records.csv", "--workspace", "workspace", "--options", OPTIONS],
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    rows = [request(number) for number in range(RECORDINGS)]
    p = probabilities("pretrained", rows)
    labels = np.random.default_rng(1).random(p.shape) < sigmoid(logit(p) + SHIFT)
    table = []
    for row, of_row in zip(rows, labels, strict=True):
        np.savez(folder / f"{row['id']}.npz", signal=row["signal"], fs_hz=100, units="mV", leads=np.array(LEADS))
        facts = {"age": row["age"], "sex": ("male", "female")[int(row["sex"])]}
        table.append(
            {"trace": f"{row['id']}.npz", "patient_id": row["id"]}
            | facts
            | dict(zip(SUPERCLASSES, of_row.astype(int), strict=True))
        )
    pd.DataFrame(table).to_csv(folder / "records.csv", index=False)
    taken = stage(folder, site="a", model="pretrained")
    return Site(folder, taken, stage(folder, site="b", model="models:/leadwise@site-a"))


@pytest.fixture
def registry(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the registry of the stage."""
    address, before = f"sqlite:///{site.folder / 'mlflow.db'}", mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def test_a_site_with_other_patients_gets_a_version_that_fits_them(site: Site, registry: Any) -> None:
    status, said = site.taken
    assert status == 0, said
    assert "Gate passed: leadwise version 1 for site a" in said
    version = registry.get_model_version_by_alias("leadwise", "site-a")
    assert (version.tags["site"], version.tags["site.dataset"], version.tags["gate"]) == ("a", "table", "passed")
    assert "champion" not in registry.get_registered_model("leadwise").aliases
    checks = {check["name"]: check for check in site.report("a")["checks"]}
    assert checks["log loss"]["value"] < -0.2
    assert checks["ranking: largest difference of AUROC"]["passed"]
    assert checks["answers differ by the calibration alone"]["passed"]
    told = json.loads((site.folder / "workspace" / "sites" / "a" / "site.json").read_text())
    assert told["records"]["fitted"] == told["records"]["judged"] == RECORDINGS / 2
    assert (told["from"], told["dataset"], told["digest"]) == ("pretrained", "table", version.tags["site.digest"])


def test_where_nothing_is_off_the_version_is_refused_and_has_no_alias(site: Site, registry: Any) -> None:
    status, said = site.refused
    assert status == 1, said
    last = said.strip().splitlines()[-1]
    assert last.startswith(
        "leadwise recalibrate: error: Gate FAILED: leadwise version 2 for site b, compared with version 1"
    )
    assert last.endswith("It has no alias.")
    assert "log loss" in said
    assert list(registry.get_registered_model("leadwise").aliases) == ["site-a"]
    assert str(registry.get_model_version_by_alias("leadwise", "site-a").version) == "1"
    version = registry.get_model_version("leadwise", "2")
    assert version.tags["gate"] == "failed"
    assert "log loss" in version.tags["gate.failed"]
    assert version.description.startswith("Gate FAILED")
    run = registry.get_run(version.run_id)
    assert (run.info.status, run.data.tags["site"]) == ("FAILED", "b")


def test_served_answers_differ_by_the_calibration_alone(site: Site, registry: Any) -> None:
    rows = [request(1000 + number) for number in range(8)]
    before, after = load_scorer("pretrained").score(rows), load_scorer("models:/leadwise@site-a").score(rows)
    changes = json.loads((site.folder / "workspace" / "sites" / "a" / "site.json").read_text())["changes"]
    for one, other in zip(before, after, strict=True):
        assert (other["registered_model"], other["version"]) == ("leadwise", "1")
        for name, change in changes.items():
            expected = sigmoid(logit(one["probabilities"][name]) * change["slope"] + change["offset"])
            assert other["probabilities"][name] == pytest.approx(float(expected), abs=2e-5)
            assert other["decisions"][name] == (other["probabilities"][name] >= other["thresholds"][name])
        for same in ("findings", "quality", "warnings", "policy", "model"):
            assert other[same] == one[same]
    without = [{name: value for name, value in row.items() if name in ("id", "age", "sex")} for row in rows]
    np.testing.assert_array_equal(
        probabilities("pretrained", without), probabilities("models:/leadwise@site-a", without)
    )


def test_the_networks_are_the_same_files_and_old_figures_are_gone(site: Site, registry: Any) -> None:
    with package_folder("pretrained") as old, package_folder("models:/leadwise@site-a") as new:
        for name in ("fusion.onnx", "metadata.onnx"):
            assert (old / name).read_bytes() == (new / name).read_bytes()
        before, after = (json.loads((folder / "model.json").read_text()) for folder in (old, new))
    fusion = after["networks"]["fusion"]
    # What ranks alike stays; what rests on probabilities or decisions goes.
    ranks = {"macro_auroc", "floor/binary_accuracy", *(f"auroc/{name}" for name in SUPERCLASSES)}
    assert set(fusion["test"]) == ranks
    assert "policy_rates" not in fusion
    assert fusion["decision"]["chosen_on"] == "half of the patients of site a"
    assert fusion["statements"] == before["networks"]["fusion"]["statements"]
    assert after["networks"]["metadata"] == before["networks"]["metadata"]
    assert after["site"]["name"] == "a"


def test_how_common_a_class_was_is_the_package_or_its_dataset() -> None:
    with package_folder("pretrained") as folder:
        bundled: Mapping[str, Any] = json.loads((folder / "model.json").read_text())
    assert class_rates(bundled)["MI"] == pytest.approx(5469 / 21799)
    decision = bundled["networks"]["fusion"]["decision"]
    newer = bundled | {"networks": {"fusion": {"decision": decision | {"records": 2183}}}}
    assert class_rates(newer)["MI"] == pytest.approx(540 / 2183, abs=0.01)
    with pytest.raises(CohortError, match="labels=known"):
        class_rates(bundled | {"data": {"dataset": "synthetic", "release": "simulated"}, "simulated": True})


def test_without_labels_the_first_half_tells_how_common_each_class_is() -> None:
    rng = np.random.default_rng(2)
    ill = rng.random((6000, 5)) < 0.1
    p = sigmoid(2 * rng.normal(np.where(ill, 1, -1), 1) + logit(0.4))
    positives = dict.fromkeys(SUPERCLASSES, 400)
    description = {"networks": {"fusion": {"decision": {"positives": positives, "records": 1000}}}, "data": {}}
    nothing = np.full((3000, 5), np.nan)
    found = fit_site(nothing, p[:3000], description, "none")
    assert found.apply(p[3000:]).mean(axis=0) == pytest.approx([0.1] * 5, abs=0.02)
    assert {one.how for one in found.changes.values()} == {"prior shift"}
    with_labels = fit_site(nothing, p[:3000], description, "known")
    assert {one.how for one in with_labels.changes.values()} == {"unchanged"}
