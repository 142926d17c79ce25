"""The main entry point on a small simulated PTB-XL, as `mlflow run` starts it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from outward import cannot_watch

from leadwise.config import PROJECT_ROOT
from leadwise.reports.report_page import RUN_SUMMARY_FILE, SIMULATED
from leadwise.tracking_store import TAG

if TYPE_CHECKING:
    from conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("whole-run")]

MODELS = {"metadata", "fusion", "fusion_augmented"}
STAGES = ["ingest", "tune", "train", "evaluate", "register"]
TRIALS = 1
"""That of the defaults: the next may draw a network whose graph takes longer to make than the rest of the stage."""

SMALL = {
    "patients": 300,
    "with_tuning": "true",
    "trials": TRIALS,
    "tune_epochs": 1,
    "tune_share": 0.3,
    "timeout_min": 30,
    "epochs_metadata": 2,
    "epochs_fusion": 1,
    "encoder": "original_cnn",
    "encoder_width": 8,
    "bootstrap": 100,
    "robustness": 5,
    "p95_latency_ms": 10_000,
    # One epoch teaches a network of this width nothing.
    "limits": "macro_auroc:0,auroc:0,ece:1",
}


@dataclass(frozen=True)
class WholeRun:
    """What one run of the pipeline left behind."""

    checkout: "Checkout"
    output: str
    client: MlflowClient
    runs: list[Run]

    def children(self, parent: Run | None) -> list[Run]:
        """The runs below a run, oldest first; below none: the top of the tree."""
        parent_id = parent.info.run_id if parent else None
        return [run for run in self.runs if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent_id]

    def artifact(self, run: Run, name: str) -> Path:
        """A file that a run has logged."""
        return Path(self.client.download_artifacts(run.info.run_id, name))

    @property
    def main(self) -> Run:
        (main,) = self.children(None)
        return main

    def stage(self, name: str) -> Run:
        (found,) = [run for run in self.children(self.main) if run.data.tags["stage"] == name]
        return found


@pytest.fixture(scope="module")
def whole_run(new_checkout: "Callable[[], Checkout]") -> WholeRun:
    checkout = new_checkout()
    if not cannot_watch():
        checkout.attempts = []
    status, output = checkout.mlflow_run("main", **SMALL)
    assert status == 0, output[-6000:]
    client = MlflowClient(checkout.tracking_uri)
    experiment = client.get_experiment_by_name("leadwise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return WholeRun(checkout, output, client, list(runs))


def test_the_runs_form_one_tree(whole_run: WholeRun) -> None:
    stages = whole_run.children(whole_run.main)
    assert [run.data.tags["stage"] for run in stages] == STAGES
    for stage in ("tune", "train", "evaluate"):
        models = whole_run.children(whole_run.stage(stage))
        assert {run.data.tags["model"] for run in models} == MODELS
    for study in whole_run.children(whole_run.stage("tune")):
        assert len(whole_run.children(study)) == TRIALS
    assert {run.info.status for run in whole_run.runs} == {"FINISHED"}
    ingested = whole_run.stage("ingest")
    assert ingested.data.metrics["ingest/table/sex_coded"] == 0
    for folder, left in (
        (None, {"manifest.json"}),
        ("validation", {"validation/summary.html", "validation/data_docs"}),
    ):
        assert left <= {file.path for file in whole_run.client.list_artifacts(ingested.info.run_id, folder)}


def test_nothing_leaves_this_machine(whole_run: WholeRun) -> None:
    """Of the whole run, which lasts long enough for every library to call home."""
    if reason := cannot_watch():
        pytest.skip(reason)
    assert whole_run.checkout.attempts == []


def test_what_was_asked_of_main_reached_the_stages(whole_run: WholeRun) -> None:
    folder = whole_run.checkout.folder / "workspace" / "simulated"
    assert json.loads((folder / "store" / "manifest.json").read_text())["patients"] == 300
    assert whole_run.stage("train").data.params["use-tuned"] == "true"
    assert whole_run.stage("train").data.params["epochs-fusion"] == "1"
    assert whole_run.stage("tune").data.params["tune-share"] == "0.3"
    assert whole_run.stage("evaluate").data.params["bootstrap"] == "100"


def test_every_run_carries_what_a_person_filters_by(whole_run: WholeRun) -> None:
    known = {"level", "stage", "model", "feature_set", "seed", "backend", "host", "leadwise.version", "leadwise.commit"}
    manifest = whole_run.checkout.folder / "workspace" / "simulated" / "store" / "manifest.json"
    digest = json.loads(manifest.read_text())["digest"]
    for run in whole_run.runs:
        name, tags = run.info.run_name, run.data.tags
        assert known - tags.keys() <= ({"model"} if tags["stage"] == "ingest" else set()), name
        assert (tags["data.digest"], tags["data.simulated"], tags["seed"]) == (digest, "true", "20"), name
        assert all(digest.startswith(one.dataset.digest) for one in run.inputs.dataset_inputs), name
        grouped = {metric for metric in run.data.metrics if "/" in metric}
        assert run.data.metrics.keys() == grouped, name


def test_the_documented_filters_find_runs(whole_run: WholeRun) -> None:
    text = (PROJECT_ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")
    filters = text.partition("```sql\n")[2].partition("```")[0].splitlines()
    assert filters
    ids = [whole_run.main.info.experiment_id]
    for one in filters:
        assert whole_run.client.search_runs(ids, one), one
    names = {run.info.run_name for run in whole_run.client.search_runs(ids, filters[0])}
    assert names == {f"evaluate/{model}" for model in MODELS}


def test_every_stage_and_every_model_has_a_summary(whole_run: WholeRun) -> None:
    stages = [whole_run.main, *(whole_run.stage(name) for name in STAGES)]
    models = [run for stage in ("tune", "train", "evaluate") for run in whole_run.children(whole_run.stage(stage))]
    for run in (*stages, *models):
        page = whole_run.artifact(run, RUN_SUMMARY_FILE).read_text(encoding="utf-8")
        assert "What went in" in page, run.info.run_name
        assert SIMULATED in page
        assert "<script" not in page
        assert not re.search(r"(src|href)=[\"'](?!data:)", page), "loads something from elsewhere"


def test_it_closes_with_the_table_and_the_next_commands(whole_run: WholeRun) -> None:
    closing = whole_run.output[whole_run.output.rindex("macro AUROC") :]
    assert all(model in closing for model in MODELS)
    assert "make ui" in closing
    assert f"/#/experiments/{whole_run.main.info.experiment_id}/runs?" in closing
    assert "make serve MODEL=leadwise-demo" in closing
    assert "curl" in closing
    assert "\nGate passed: leadwise-demo version 1 (" in closing[closing.index("curl") :]


LIBRARIES = re.compile(
    r"warn|deprecat|cuda|oneDNN|^[EWI]\d{4} |mlflow\.|INFO|Traceback|--\w+ \S+ --\w+", re.IGNORECASE | re.MULTILINE
)
"""What libraries say beside the stages: warnings, log lines, commands with all their parameters."""
SCREENS = 80
"""Lines of two."""


def test_the_terminal_tells_a_story_that_fits_two_screens(whole_run: WholeRun) -> None:
    lines = [line for line in whole_run.output.splitlines() if "validation warnings: " not in line]
    assert [line for line in lines if LIBRARIES.search(line) and "make " not in line] == []
    assert len(lines) <= SCREENS
    assert max(map(len, lines)) <= 200
    told = [line.partition(":")[0].removeprefix("-- ") for line in lines if line.startswith("-- ")]
    assert told == STAGES, "a line with its time for each stage"
    logs = whole_run.checkout.folder / "workspace" / "simulated" / "logs"
    assert f"What libraries said: {logs}" in whole_run.output
    for stage in (whole_run.main, *map(whole_run.stage, STAGES)):
        assert (logs / f"{stage.data.tags['stage']}.log").is_file()
    assert "pipelines/train.py" in whole_run.artifact(whole_run.main, "log.txt").read_text(encoding="utf-8")


def test_the_saved_view_shows_what_was_evaluated(whole_run: WholeRun) -> None:
    experiment = whole_run.client.get_experiment(whole_run.main.info.experiment_id)
    view = json.loads(experiment.tags[TAG])
    runs = whole_run.client.search_runs(
        [experiment.experiment_id], view["searchFilter"], order_by=[f"{view['orderByKey']} DESC"]
    )
    assert {run.data.tags["model"] for run in runs} == MODELS
    for run in runs:
        shown = {f"metrics.`{name}`" for name in run.data.metrics} | {f"params.`{name}`" for name in run.data.params}
        assert set(view["selectedColumns"]) <= shown, run.info.run_name


def test_every_stage_writes_what_dvc_is_told_of(whole_run: WholeRun) -> None:
    folder = whole_run.checkout.folder
    values = yaml.safe_load((folder / "pipelines" / "params.yaml").read_text(encoding="utf-8"))
    stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    outs = [one if isinstance(one, str) else next(iter(one)) for stage in stages.values() for one in stage["outs"]]
    assert len(outs) > len(STAGES)
    for out in outs:
        name = re.sub(r"\$\{(\S+?)\.(\S+?)\}", lambda found: str(values[found[1]][found[2]]), out)
        assert (folder / name).exists(), out


def test_nothing_is_left_half_written(whole_run: WholeRun) -> None:
    folder = whole_run.checkout.folder
    hidden = [path for part in ("data", "workspace") for path in (folder / part).rglob(".*")]
    assert hidden == []
    status = whole_run.checkout.run("git", "status", "--porcelain")
    assert status.stdout == "", "a run changes no file of the project"


def test_the_champion_scores_a_folder(whole_run: WholeRun, tmp_path: Path) -> None:
    recordings = whole_run.checkout.folder / "data" / "simulated" / "records100" / "00000"
    output = tmp_path / "answers.parquet"
    champion = "models:/leadwise-demo@champion"
    status, printed = whole_run.checkout.mlflow_run("score", input=recordings, output=output, model=champion)
    assert status == 0, printed[-4000:]
    answers = pd.read_parquet(output)
    assert [Path(file).suffix for file in answers["file"].unique()] == [".hea"] * len(answers)
    assert answers["error"].isna().all()
    assert set(answers["registered_model"] + answers["version"]) == {"leadwise-demo1"}
    assert f"{output}: {len(answers)} records, 0 of them with an error" in printed
