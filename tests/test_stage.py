"""What every stage's run holds, whoever else writes to the tracking store at the same time."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import mlflow
import pytest
from free_port import free_port

from leadwise import stage
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LeadwiseError
from leadwise.parameters import load_parameters
from leadwise.stage import child_run, log_store, run_stage, stage_run
from leadwise.tracking_store import RETRIES

WORKERS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one tracking store for all tests: making one takes longer than using it."""
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture
def tracking_uri(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(RETRIES, "1")
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def tags_of(run: mlflow.ActiveRun) -> dict[str, str]:
    return dict(mlflow.get_run(run.info.run_id).data.tags)


def test_a_run_that_failed_tells_why_and_one_that_was_ended_on_purpose_does_not(tracking_uri: str) -> None:
    runs = []
    with (
        pytest.raises(LeadwiseError),
        stage_run("train", load_parameters()) as top,
        child_run("failing", "model", {}, {}) as failing,
    ):
        runs += [top, failing]
        with pytest.raises(ValueError, match="pruned"), child_run("pruned", "trial", {}, {}) as pruned:
            runs.append(pruned)
            mlflow.end_run("KILLED")
            raise ValueError("pruned")
        raise LeadwiseError("the reason")
    assert [tags_of(run).get("failure") for run in runs] == ["the reason", "the reason", None]
    assert [mlflow.get_run(run.info.run_id).info.status for run in runs] == ["FAILED", "FAILED", "KILLED"]


def project_run(entry_point: str) -> str:
    """A run as `mlflow run` makes it."""
    experiment = mlflow.set_experiment("leadwise").experiment_id
    tags = {"mlflow.project.entryPoint": entry_point, "mlflow.source.type": "PROJECT"}
    return str(mlflow.MlflowClient().create_run(experiment, tags=tags).info.run_id)


def test_a_stage_takes_the_run_that_mlflow_has_made_for_it(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri(tracking_uri)
    made = project_run("train")
    # MLflow logs what -P gave before the stage begins, as it was spelt.
    mlflow.MlflowClient().log_param(made, "learning-rate", "1e-2")
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    parameters = load_parameters({"learning-rate": "1e-2", "use-tuned": "True"}, entry_point="train")
    with stage_run("train", parameters) as run:
        assert "MLFLOW_RUN_ID" not in os.environ, "what the stage starts would take it, too"
    assert run.info.run_id == made
    logged = mlflow.get_run(made).data.params
    assert logged.keys() == parameters.flat("train").keys(), "every value can be searched for"
    assert (logged["learning-rate"], logged["use-tuned"], logged["seed"]) == ("1e-2", "true", "20")
    found = mlflow.search_runs(filter_string="params.`use-tuned` = 'true' and params.`batch-size` = '128'")
    assert list(found["run_id"]) == [made]
    assert "MLFLOW_RUN_ID" not in capsys.readouterr().err


@pytest.mark.parametrize("preset", ["of another stage", "used", "deleted", "no id at all"])
def test_a_preset_run_is_told_and_left_alone(
    tracking_uri: str, preset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    run_id = "my run" if preset == "no id at all" else project_run("ingest" if "stage" in preset else "train")
    if preset == "used":
        client.set_tag(run_id, "stage", "train")
    elif preset == "deleted":
        client.delete_run(run_id)
    before = None if preset == "no id at all" else client.get_run(run_id).to_dictionary()
    runs = []
    for stage_name in ("train", "evaluate"):
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        with stage_run(stage_name, load_parameters()) as run:
            runs.append(mlflow.get_run(run.info.run_id))
        assert f"leadwise {stage_name}: MLFLOW_RUN_ID={run_id} is ignored: " in capsys.readouterr().err
    assert len({run_id, *(run.info.run_id for run in runs)}) == 3
    assert all(run.data.params["seed"] == "20" for run in runs)
    assert before is None or client.get_run(run_id).to_dictionary() == before


def test_the_experiment_that_the_environment_names_is_taken(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def experiment(**environment: str) -> str:
        for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with stage_run("train", load_parameters()) as run:
            return str(mlflow.get_experiment(run.info.experiment_id).name)

    mlflow.set_tracking_uri(tracking_uri)
    number = mlflow.create_experiment("by number")
    assert experiment() == "leadwise"
    assert experiment(MLFLOW_EXPERIMENT_NAME="by name") == "by name"
    assert experiment(MLFLOW_EXPERIMENT_ID=number) == "by number"
    assert "ignored" not in capsys.readouterr().err
    assert experiment(MLFLOW_EXPERIMENT_ID="123456") == "leadwise"
    assert "leadwise train: MLFLOW_EXPERIMENT_ID=123456 is ignored: " in capsys.readouterr().err


def test_without_a_store_that_is_named_it_is_the_project_s_own(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the stage runs; its files, too."""
    copy = tmp_path / "project"
    for name in ("src", "pipelines"):
        ignored = shutil.ignore_patterns("__pycache__", "pretrained")
        shutil.copytree(PROJECT_ROOT / name, copy / name, ignore=ignored)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, str(copy / "pipelines" / "simulate.py"), "--tree", "tree", "--patients", "300"]
    subprocess.run(command, cwd=tmp_path / "elsewhere", env=environment | {"PYTHONPATH": str(copy / "src")}, check=True)
    made = sorted(file.name for file in (tmp_path / "elsewhere").iterdir() if file.name != "mlruns")
    assert made == ["tree", "workspace"], "the tree, and the log in the workspace"
    client = mlflow.MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("leadwise").experiment_id])
    assert run.info.status == "FINISHED"
    assert str(run.info.artifact_uri).startswith((copy / "mlruns").as_uri())


@pytest.mark.parametrize("installed", [True, False])
def test_a_long_run_logs_the_load_of_the_machine_in_silence(
    tracking_uri: str, installed: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    if not installed:
        monkeypatch.setattr(stage, "find_spec", lambda name: None)
    stage._quieten_libraries()
    with stage_run("train", load_parameters()):
        capfd.readouterr()
        with child_run("fusion", "model", {}, {}, long=True) as run:
            until = time.monotonic() + (30 if installed else 0.5)
            while time.monotonic() < until and not mlflow.get_run(run.info.run_id).data.metrics:
                time.sleep(0.1)
        assert capfd.readouterr().err == ""
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert ("system/cpu_utilization_percentage" in logged) is installed


def test_a_server_that_never_answers_ends_the_stage_with_a_sentence(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv(RETRIES, "2")
    monkeypatch.setattr(sys, "argv", ["pipelines/train.py"])

    def work(parameters: Any) -> None:
        raise AssertionError("it began without a run")

    with pytest.raises(SystemExit, match=f"leadwise train: error: the tracking server {address} did not answer"):
        run_stage("train", work)
    assert "Connection refused" in capsys.readouterr().err


def test_workers_that_log_a_new_data_set_at_once_all_have_it(tracking_uri: str, tmp_path: Path) -> None:
    """MLflow alone fails here in a third of the cases, as two workers insert the same data set."""
    mlflow.set_tracking_uri(tracking_uri)
    experiment = mlflow.create_experiment("race", artifact_location=(tmp_path / "artifacts").as_uri())

    def work(digest: str, barrier: Barrier) -> str:
        with mlflow.start_run(experiment_id=experiment) as run:
            barrier.wait(timeout=60)
            manifest = {"source": str(tmp_path), "simulated": True, "digest": digest, "release": "1.0.3"}
            log_store(manifest, "training")
        return run.info.run_id

    with ThreadPoolExecutor(WORKERS) as pool:
        for digest in (f"{number:012d}" for number in range(5)):
            barrier = Barrier(WORKERS)
            for run_id in pool.map(lambda _, d=digest, b=barrier: work(d, b), range(WORKERS)):
                logged = mlflow.get_run(run_id).inputs.dataset_inputs
                assert [entry.dataset.digest for entry in logged] == [digest]
