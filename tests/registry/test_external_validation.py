"""A model on another hospital's recordings, end to end: through the stage, through the command, and on real data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from cohort_sources import write_ludb, write_table
from sklearn.metrics import recall_score, roc_auc_score

from leadwise.cli import main
from leadwise.config import PROJECT_ROOT, Validate
from leadwise.contract import SUPERCLASSES
from leadwise.datasets.base import cohort_named, parse_options
from leadwise.datasets.cohort import CohortError
from leadwise.registry.external_validation import validate_model
from leadwise.registry.register import HEADING, LONGEST_DESCRIPTION, Registered, with_elsewhere

champion = pytest.mark.xdist_group("champion")
"""What needs two networks that are trained, packaged and registered: once."""
SECTIONS = ("verdict", "classes", "calibration", "quality", "subgroups", "disagreements", "data", "limits")


def content(folder: Path) -> dict[str, dict[str, object]]:
    """``metrics.json`` of a report."""
    found: dict[str, dict[str, object]] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def stage_run(
    registered: Registered, tracking: str, simulated_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The validate stage on the simulated dataset's test part with the registered champion; the folder of reports."""
    output = tmp_path_factory.mktemp("validated")
    given = {"source": simulated_tree, "model": registered.uri, "output": output, "bootstrap": 100, "drawn": 2}
    words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "pipelines" / "validate.py"), *words],
        cwd=output,
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking, "PYTHONPATH": str(PROJECT_ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"answered by {registered.name} version {registered.version}" in done.stdout
    assert str(output / "synthetic-strict" / "report.html") in done.stdout
    return output / "synthetic-strict"


@champion
def test_the_stage_measures_what_scikit_learn_would(stage_run: Path) -> None:
    answers, found = pd.read_parquet(stage_run / "answers.parquet"), content(stage_run)
    assert found["split"] == "test" and set(answers["split"]) == {"test"}
    assert found["records"] == len(answers)
    for name in SUPERCLASSES:
        truth = answers[name].to_numpy(bool)
        figures, state = found["metrics"], found["labels"][name]
        assert state == {"present": truth.sum(), "absent": (~truth).sum(), "unknown": 0}
        assert figures[f"auroc/{name}"] == pytest.approx(roc_auc_score(truth, answers[f"p_{name}"]))
        said = answers[f"p_{name}"] >= found["thresholds"][name]
        assert figures[f"chosen/sensitivity/{name}"] == pytest.approx(recall_score(truth, said))
        assert (said == answers[f"said_{name}"].to_numpy(bool)).mean() > 0.99, "but for what was rounded"


@champion
def test_the_report_has_every_section_and_loads_nothing(stage_run: Path) -> None:
    page = (stage_run / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 id="(\w+)"', page) == list(SECTIONS)
    assert "Simulated data: these figures say nothing about patients." in page
    assert "http" not in re.sub(r"doi\S+", "", page)
    disagreements = page.partition('<h2 id="disagreements"')[2].partition('<h2 id="data"')[0]
    assert disagreements.count("<img") == 2 and "Written of it: " in disagreements


@champion
def test_the_run_and_the_registered_version_keep_what_was_found(
    stage_run: Path, registered: Registered, tracking: str
) -> None:
    client = mlflow.MlflowClient(tracking)
    version = client.get_model_version(registered.name, registered.version)
    reached = json.loads(version.tags["elsewhere.synthetic.strict"])
    found = content(stage_run)
    assert reached["digest"] == str(found["digest"])[:12] and reached["records"] == found["records"]
    run = client.get_run(reached["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["validate/synthetic/auroc/NORM"] == pytest.approx(found["metrics"]["auroc/NORM"])
    assert run.data.params["label-map"] == "strict" and run.data.params["model"] == registered.uri
    assert run.inputs.dataset_inputs[0].dataset.digest == reached["digest"]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "metrics.json", "answers.parquet"} <= files
    described = version.description or ""
    assert described.count(HEADING) == 1 and f"| synthetic, strict | {found['records']} |" in described
    assert "fold 10 macro AUROC" in described, "the gate's verdict stays before it"


def test_a_description_that_is_too_long_keeps_the_table() -> None:
    reached = {"records": 9, "digest": "ab", "classes": [], "macro_auroc": None, "ece": None, "verdict": "worse"}
    tags = {"elsewhere.ludb.wide": json.dumps(reached), "gate": "passed"}
    once = with_elsewhere("x" * LONGEST_DESCRIPTION, tags)
    assert len(once) <= LONGEST_DESCRIPTION and once.endswith("`ab` |")
    assert with_elsewhere(once, tags).count(HEADING) == 1


def test_the_command_counts_unknown_labels_neither_as_present_nor_as_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [{"NORM": "1", "MI": "0"}, {"NORM": "0", "MI": ""}, {"NORM": "", "MI": "1"}, {"NORM": "1", "MI": ""}]
    rows = [{"file": f"{n}.npz", "patient_id": f"p{n}", "age": 60, "sex": "male"} | of for n, of in enumerate(labels)]
    source = write_table(tmp_path / "own", rows) / "records.csv"
    given = ["validate", str(source), "--model", "pretrained", "--output", str(tmp_path / "out"), "--bootstrap", "100"]
    assert main(given) == 0
    found = content(tmp_path / "out" / "table-strict")
    assert found["labels"]["NORM"] == {"present": 2, "absent": 1, "unknown": 1}
    assert found["labels"]["MI"] == {"present": 1, "absent": 1, "unknown": 2}
    assert found["labels"]["CD"] == {"present": 0, "absent": 0, "unknown": 4}
    answers = pd.read_parquet(tmp_path / "out" / "table-strict" / "answers.parquet").set_index("record_id")
    known = answers[answers["MI"].notna()]
    assert len(known) == 2
    expected = roc_auc_score(known["MI"].to_numpy(bool), known["p_MI"])
    assert found["metrics"]["auroc/MI"] == pytest.approx(expected)
    assert "auroc/CD" not in found["metrics"] and found["counted_in_means"] == []
    assert found["verdict"]["name"] == "cannot_tell"
    assert "too few" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--dataset", "ludbb"], "dataset: received 'ludbb'; allowed: ptbxl"),
        (["--options", "gain:louder"], "ludb: gain: received 'louder'"),
        (["--options", "louder:1"], "options: labels, gain"),
        (["--options", "labels:wide"], "options: received labels 'wide'; the parameter label-map"),
        (["--options", "gain"], "options: received 'gain'; allowed: name:value"),
        (["--policy", "mine"], "policy: received 'mine'; allowed: best_f1"),
        (["--without", "sex", "--without", "shoes"], "without: received 'shoes'; allowed: age, sex, height_cm"),
        (["--without", "bmi"], "without: received 'bmi'; allowed: age, sex"),
        (["--split", "mine"], "split: received 'mine'; there is none"),
        (["--bootstrap", "7"], "bootstrap: received '7'"),
        (["--model", "nowhere"], "model: nowhere: no package of Leadwise"),
    ],
)
def test_what_is_not_allowed_is_named_and_leaves_nothing(
    given: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_ludb(tmp_path / "ludb", {"1": ["Rhythm: Sinus rhythm"]})
    command = ["validate", str(source), "--model", "pretrained", "--output", str(tmp_path / "out"), *given]
    assert main(command) == 1
    assert says in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_what_is_left_out_the_model_is_not_told_and_the_report_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"age": 84, "pacemaker": "1", "sex": "female"}
    rows = [{"file": f"{n}.npz", "patient_id": f"p{n}", "NORM": str(n % 2)} | facts for n in range(3)]
    told = write_table(tmp_path / "told", rows) / "records.csv"
    bare = write_table(tmp_path / "bare", [row | {"age": "", "pacemaker": ""} for row in rows]) / "records.csv"

    def probabilities(source: Path, variant: str, *given: str) -> pd.DataFrame:
        out = tmp_path / "out" / source.parent.name
        command = ["validate", str(source), "--model", "pretrained", "--output", str(out), "--bootstrap", "100", *given]
        assert main(command) == 0
        return pd.read_parquet(out / variant / "answers.parquet")[[f"p_{name}" for name in SUPERCLASSES]]

    without = "table-strict.without-age.without-pacemaker"
    found = probabilities(told, without, "--without", "pacemaker", "--without", "age")
    assert "not told age, pacemaker; refused 0" in capsys.readouterr().out
    pd.testing.assert_frame_equal(found, probabilities(bare, "table-strict"))
    assert not found.equals(probabilities(told, "table-strict"))
    report = tmp_path / "out" / "told" / without
    assert content(report)["without"] == ["age", "pacemaker"]
    page = (report / "report.html").read_text(encoding="utf-8")
    assert ", not told age, pacemaker, on 3 recordings" in page and "--without pacemaker,age" in page
    digests = {str(content(tmp_path / "out" / "told" / name)["digest"]) for name in (without, "table-strict")}
    assert len(digests) == 2, "something else was scored"


def test_options_are_pairs_or_json() -> None:
    assert parse_options("") == {}
    assert parse_options("gain:header, georgia_gain:header") == {"gain": "header", "georgia_gain": "header"}
    assert parse_options('{"columns": {"file": "trace"}}') == {"columns": {"file": "trace"}}
    with pytest.raises(CohortError, match="no JSON object"):
        parse_options("{gain}")


@pytest.mark.real
def test_ludb_is_where_it_was_measured(ludb_tree: Path, tmp_path: Path) -> None:
    done = validate_model(Validate(source=ludb_tree, model="pretrained", bootstrap=100, drawn=0), tmp_path / "ludb")
    assert (done.evaluation.records, done.evaluation.known["HYP"].present) == (200, 142)
    found = done.evaluation.metrics["macro_auroc"]
    assert found.value == pytest.approx(0.8087, abs=5e-4)
    assert found.interval.low < found.value < found.interval.high
    assert done.evaluation.verdict.name == "worse" and done.evaluation.verdict.drop.value == pytest.approx(
        0.1287, abs=5e-4
    )


@pytest.mark.real
@pytest.mark.slow
def test_fold_10_is_what_the_package_says(whole_ptbxl: Path, tmp_path: Path) -> None:
    done = validate_model(Validate(source=whole_ptbxl, model="pretrained", bootstrap=100, drawn=0), tmp_path / "fold10")
    assert done.evaluation.records == 2198 and done.evaluation.patients == 1904
    # The package was measured before anything was taken out of a recording, as it is now of 1 % of them.
    assert done.evaluation.metrics["macro_auroc"].value == pytest.approx(0.9374, abs=5e-4)
    for name in SUPERCLASSES:
        found, package = done.evaluation.metrics[f"auroc/{name}"], done.evaluation.reference.metrics[f"auroc/{name}"]
        assert found.value == pytest.approx(package, abs=2e-3)
        measured = done.evaluation.reference.rates["sensitivity"][name][0]
        assert done.evaluation.metrics[f"chosen/sensitivity/{name}"].value == pytest.approx(measured, abs=1e-2)
    published = done.package.description["networks"]["fusion"]["test"]["binary_accuracy"]
    right = (done.scored.probabilities > 0.5) == (done.scored.labels > 0.5)
    assert right[done.scored.answered].mean() == pytest.approx(published, abs=0.002)
    assert done.evaluation.verdict.name == "as_before"
    assert np.isfinite(done.evaluation.metrics["calibration_slope/HYP"].value)


def test_codes_are_written_out_where_their_map_names_them() -> None:
    assert cohort_named("challenge2021").written("164865005;12") == [
        "164865005: myocardial infarction",
        "12",
    ]
    assert cohort_named("ptbxl").written('{"IMI": 100.0, "XX": 0.0}') == ["IMI: inferior myocardial infarction", "XX"]
    assert cohort_named("ludb").written("Rhythm: Sinus rhythm; STEMI: septal") == [
        "Rhythm: Sinus rhythm",
        "STEMI: septal",
    ]
