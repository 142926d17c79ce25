"""Tuning with real trainings: every trial is a run, the result is readable, what fails or is pruned says why."""

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import optuna
import pytest
from mlflow.entities import Run

from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.datasets.store import Store, open_store
from leadwise.models.fusion import WIDTHS
from leadwise.models.spec import MODELS, Choice, Whole
from leadwise.parameters import load_parameters
from leadwise.reports.study_report import study_summary, write_study
from leadwise.training import trial as trial_module
from leadwise.training.config import training_config, tuned_file, tuned_from
from leadwise.training.fit import TrainingData
from leadwise.training.study import open_storage
from leadwise.training.trial import million_multiply_adds, trial_config
from leadwise.training.tuning import NothingFoundError, Tuned, tune_model

SMALL = {"trials": 3, "timeout-min": 10, "tune-epochs": 2, "tune-share": 0.3, "encoder-width": 8}


@pytest.fixture
def parameters(simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parameters:
    (tmp_path / "store").symlink_to(simulated_store)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("tuning")
    return load_parameters({"workspace": str(tmp_path), **SMALL})


@pytest.fixture
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def changed(parameters: Parameters, **values: Any) -> Parameters:
    return parameters.model_copy(update={"tune": parameters.tune.model_copy(update=values)})


def tuned(parameters: Parameters, store: Store, model: Any = "metadata") -> tuple[Tuned, list[Run]]:
    """The result of a study in a run of its own, and the runs of its trials, oldest first."""
    with mlflow.start_run() as run:
        found = tune_model(model, parameters, store)
    below = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    runs = mlflow.search_runs(filter_string=below, output_format="list")
    return found, sorted(runs, key=lambda one: str(one.info.run_name))


def study_of(parameters: Parameters, found: Tuned) -> optuna.Study:
    folder = tuned_file("metadata", parameters).parent
    return optuna.load_study(study_name=found.content["study"], storage=open_storage("", folder, 60))


def test_a_study_runs_goes_on_and_feeds_the_train_stage(parameters: Parameters, store: Store) -> None:
    found, runs = tuned(parameters, store)
    assert [run.info.run_name for run in runs] == [f"metadata/trial-00{number}" for number in range(3)]
    defaults = training_config("metadata", parameters)
    assert float(runs[0].data.params["learning-rate"]) == defaults.learning_rate
    assert found.content["digest"] == store.manifest["digest"]
    complete = [run for run in runs if run.data.tags["trial.state"] == "complete"]
    assert found.content["value"] == pytest.approx(max(run.data.metrics["best/val/macro_auroc"] for run in complete))
    assert found.content["defaults"] == pytest.approx(runs[0].data.metrics["best/val/macro_auroc"])
    courses = [len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "val/macro_auroc")) for run in complete]
    assert set(courses) == {2}
    assert all(run.data.metrics["trial/seconds"] > 0 for run in runs)
    assert json.loads(tuned_file("metadata", parameters).read_text()) == found.content

    taken = parameters.model_copy(update={"train": parameters.train.model_copy(update={"use_tuned": True})})
    assert training_config("metadata", taken).learning_rate == found.content["parameters"]["learning-rate"]
    assert tuned_from("metadata", taken)["tuned.study"] == found.content["study"]
    assert tuned_from("metadata", parameters) == {}
    assert trial_config("metadata", taken).learning_rate == defaults.learning_rate, "a study starts from the defaults"

    again, runs = tuned(parameters, store)
    assert (again.content, runs) == (found.content, [])
    _, runs = tuned(changed(parameters, trials=4), store)
    assert [run.info.run_name for run in runs] == ["metadata/trial-003"]


def test_a_pruned_trial_says_when_and_against_what(parameters: Parameters, store: Store) -> None:
    found, runs = tuned(changed(parameters, trials=5, tune_epochs=4), store)
    trials = study_of(parameters, found).trials
    pruned = [trial for trial in trials if trial.state == optuna.trial.TrialState.PRUNED]
    assert pruned, "of five trials some end at the first cut"
    for trial in pruned:
        run = runs[trial.number]
        assert (run.info.status, run.data.tags["trial.state"]) == ("KILLED", "pruned")
        told = re.fullmatch(
            r"after epoch (\d): val/macro_auroc ([\d.]+); (\d) of the (\d) other trials that had got there had more",
            run.data.tags["trial.reason"],
        )
        assert told, run.data.tags["trial.reason"]
        epoch = int(told[1])
        assert epoch == max(trial.intermediate_values) < 4
        value, before = trial.intermediate_values[epoch], trials[: trial.number]
        there = [one.intermediate_values[epoch] for one in before if epoch in one.intermediate_values]
        assert float(told[2]) == pytest.approx(value, abs=1e-4)
        assert (int(told[3]), int(told[4])) == (sum(one > value for one in there), len(there))
        assert int(told[3]) >= int(told[4]) / 2
    assert trials[0].state == optuna.trial.TrialState.COMPLETE

    page, (html, table) = write_study(found, store.manifest)
    text = html.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    for run in runs:
        assert run.data.tags.get("trial.reason", "") in text
    assert study_summary(found, page).html().count("data:image/png;base64,") == 1
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["state"].lower() for row in rows] == [run.data.tags["trial.state"] for run in runs]
    assert [row["user_attrs_run_id"] for row in rows] == [run.info.run_id for run in runs]


def test_time_that_is_up_is_told(parameters: Parameters, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = tuned(changed(parameters, timeout_min=0.02, tune_epochs=40), store)
    assert found.content["trials"]["complete"] == 1
    assert "1 of 3 trials, 0.02 minutes had passed" in capsys.readouterr().out


def too_large(*_: Any) -> np.ndarray:
    return np.empty(1 << 55, np.uint8)


def not_finite(config: Any, *arguments: Any) -> keras.Model:
    network = trial_module_compile(config, *arguments)
    network.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    return network


trial_module_compile = trial_module.compile_network


@pytest.mark.parametrize(
    ("place", "name", "breaking", "reason"),
    [
        (TrainingData, "batches", too_large, "out of memory: MemoryError: Unable to allocate"),
        (trial_module, "compile_network", not_finite, "diverged: epoch 1: answers are not finite"),
    ],
)
def test_a_trial_that_cannot_be_trained_fails_alone(
    parameters: Parameters,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    name: str,
    breaking: Callable[..., Any],
    reason: str,
) -> None:
    calls, whole = iter(range(99)), getattr(place, name)

    def second_breaks(*arguments: Any) -> Any:
        return (breaking if next(calls) == 1 else whole)(*arguments)

    monkeypatch.setattr(place, name, second_breaks)
    found, runs = tuned(changed(parameters, tune_epochs=1), store)
    assert found.content["trials"] == {"complete": 2, "failed": 1}
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FINISHED"]
    assert runs[1].data.tags["trial.reason"].startswith(reason)
    assert study_of(parameters, found).trials[1].user_attrs["reason"] == runs[1].data.tags["trial.reason"]


def test_a_study_of_which_nothing_comes_says_why(
    parameters: Parameters, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingData, "batches", too_large)
    with pytest.raises(NothingFoundError, match=r"clinical/metadata/.*: no trial was completed; out of memory"):
        tuned(changed(parameters, trials=1), store)
    assert not tuned_file("metadata", parameters).exists()


def test_accuracy_against_cost(parameters: Parameters, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # A space of the smallest networks: most of so short a trial is the making of its graph.
    monkeypatch.setitem(WIDTHS, "original_cnn", Whole(4, 16, 4))  # type: ignore[misc]
    few = replace(MODELS["fusion"], search_space={"encoder": Choice(("original_cnn",))})
    monkeypatch.setitem(MODELS, "fusion", few)
    small = parameters.train.model_copy(update={"encoder": "original_cnn"})
    asked = changed(
        parameters.model_copy(update={"train": small}), tune_epochs=1, objectives="score_and_cost", trials=3
    )
    found, runs = tuned(asked, store, "fusion")
    costs = [run.data.metrics["trial/million_multiply_adds"] for run in runs]
    assert costs[0] == million_multiply_adds(trial_config("fusion", asked), 14)
    front = found.content["front"]
    scores = [run.data.metrics["best/val/macro_auroc"] for run in runs]
    for one in front:
        cheaper = [score for score, cost in zip(scores, costs, strict=True) if cost <= one["million_multiply_adds"]]
        assert one["value"] == max(cheaper)
    assert found.content["value"] == front[-1]["value"] == max(scores)
    assert found.content["trials"] == {"complete": 3}
    _, (html, _) = write_study(found, store.manifest)
    assert "Accuracy against cost" in html.read_text(encoding="utf-8")


def test_a_trial_is_the_real_training_scaled_down(parameters: Parameters) -> None:
    whole = training_config("fusion", parameters)
    short = trial_config("fusion", changed(parameters, tune_epochs=11))
    assert (short.epochs, short.patience) == (11, 11)
    assert short.ema_epochs == pytest.approx(whole.ema_epochs / 2)
    assert short.schedule == whole.schedule == "one_cycle"
    assert trial_config("fusion", changed(parameters, tune_epochs=99)).epochs == whole.epochs


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(parameters: Parameters, tmp_path: Path) -> None:
    """As a user starts them: nothing that the killed one did is lost, nothing is counted twice."""
    database, trials = tmp_path / "study.db", 2
    command = [sys.executable, str(PROJECT_ROOT / "pipelines" / "tune.py"), "--model", "metadata"]
    command += ["--workspace", str(tmp_path), "--study-storage", f"sqlite:///{database}", "--trials", str(trials)]
    command += ["--tune-epochs", "12", "--tune-share", "0.1", "--timeout-min", "10", "--lost-after-s", "5"]
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }

    def running() -> optuna.trial.FrozenTrial | None:
        """The first trial, once it has reported."""
        if not database.is_file():
            return None
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            made = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            if connection.execute(made).fetchone() != (1,):
                return None
            if connection.execute("SELECT count(*) FROM alembic_version").fetchone() != (1,):
                # To open it now would make the tables a second time.
                return None
        storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
        for name in optuna.get_all_study_names(storage):
            for trial in optuna.load_study(study_name=name, storage=storage).trials[:1]:
                return trial if trial.intermediate_values else None
        return None

    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as victim:
        while (lost := running()) is None:
            assert victim.poll() is None
            time.sleep(0.05)
        victim.kill()
    assert lost.state == optuna.trial.TrialState.RUNNING
    time.sleep(6)
    worker = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert worker.returncode == 0, worker.stderr

    found = json.loads(tuned_file("metadata", parameters).read_text())
    counted = {state: number for state, number in found["trials"].items() if state != "lost"}
    assert sum(counted.values()) == trials
    assert found["trials"]["lost"] == 1
    rows = list(csv.DictReader(tuned_file("metadata", parameters).with_suffix(".trials.csv").open(encoding="utf-8")))
    (again,) = [row for row in rows if row["user_attrs_retry_of"] not in ("", "nan")]
    assert float(again["params_learning-rate"]) == lost.params["learning-rate"]
    run = mlflow.get_run(lost.user_attrs["run_id"])
    assert (run.info.status, run.data.tags["trial.state"]) == ("FAILED", "lost")
    assert run.data.tags["trial.reason"] == "its process ended in the middle of the trial"
    assert mlflow.get_run(again["user_attrs_run_id"]).data.tags["trial.retry_of"] == str(lost.number)
