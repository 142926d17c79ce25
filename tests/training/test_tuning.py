"""Tuning with real trainings: every trial is a run, the result is readable, what fails or is pruned says why."""

import csv
import json
import re
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
from killed import KILLED, nursery
from mlflow.entities import Run

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store, open_store
from leadwise.models.fusion import WIDTHS
from leadwise.models.spec import MODELS, Choice, Whole
from leadwise.parameters import load_parameters
from leadwise.reports.study_report import study_summary, write_study
from leadwise.training import trial as trial_module
from leadwise.training.config import training_config, tuned_file, tuned_from
from leadwise.training.fit import TrainingData
from leadwise.training.study import RETRY_OF, Tuned, open_storage, tune_model
from leadwise.training.trial import million_multiply_adds, trial_config

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


def too_large(*_: Any) -> np.ndarray:
    return np.empty(1 << 55, np.uint8)


def not_finite(config: Any, *arguments: Any) -> keras.Model:
    network = trial_module_compile(config, *arguments)
    network.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    return network


trial_module_compile = trial_module.compile_network


def test_trials_that_cannot_be_trained_fail_alone(
    parameters: Parameters, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_second(place: object, name: str, breaking: Callable[..., Any]) -> None:
        calls, whole = iter(range(99)), getattr(place, name)
        monkeypatch.setattr(place, name, lambda *given: (breaking if next(calls) == 1 else whole)(*given))

    break_second(TrainingData, "batches", too_large)
    # Its second call is that of the third trial.
    break_second(trial_module, "compile_network", not_finite)
    found, runs = tuned(changed(parameters, tune_epochs=1, trials=4), store)
    assert found.content["trials"] == {"complete": 2, "failed": 2}
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FAILED", "FINISHED"]
    reasons = ("out of memory: MemoryError: Unable to allocate", "diverged: epoch 1: answers are not finite")
    for number, reason in enumerate(reasons, start=1):
        assert runs[number].data.tags["trial.reason"].startswith(reason)
        assert study_of(parameters, found).trials[number].user_attrs["reason"] == runs[number].data.tags["trial.reason"]


def test_a_study_of_which_nothing_comes_says_why(
    parameters: Parameters, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingData, "batches", too_large)
    with pytest.raises(LeadwiseError, match=r"clinical/metadata/.*: no trial was completed; out of memory"):
        tuned(changed(parameters, trials=1), store)
    assert not tuned_file("metadata", parameters).exists()


def test_accuracy_against_cost(parameters: Parameters, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # A space of the smallest networks: most of so short a trial is the making of its graph.
    monkeypatch.setitem(WIDTHS, "original_cnn", Whole(4, 16, 4))  # type: ignore[misc]
    few = replace(MODELS["fusion"], search_space={"encoder": Choice(("original_cnn",))})
    monkeypatch.setitem(MODELS, "fusion", few)
    small = parameters.train.model_copy(update={"encoder": "original_cnn"})
    asked = changed(
        parameters.model_copy(update={"train": small}), tune_epochs=1, objectives="score_and_cost", trials=2
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
    assert found.content["trials"] == {"complete": 2}
    _, (html, _) = write_study(found, store.manifest)
    assert "Accuracy against cost" in html.read_text(encoding="utf-8")


def test_a_trial_is_the_real_training_scaled_down(parameters: Parameters) -> None:
    whole = training_config("fusion", parameters)
    short = trial_config("fusion", changed(parameters, tune_epochs=11))
    assert (short.epochs, short.patience) == (11, 11)
    assert short.ema_epochs == pytest.approx(whole.ema_epochs / 2)
    assert short.schedule == whole.schedule == "one_cycle"
    assert trial_config("fusion", changed(parameters, tune_epochs=99)).epochs == whole.epochs


TUNES = """
import sys
import mlflow
import optuna
from leadwise.datasets.store import open_store
from leadwise.parameters import load_parameters
from leadwise.training.study import tune_model

report = optuna.Trial.report

def reported(self, value, step):
    report(self, value, step)
    sys.audit("reported", str(step))

optuna.Trial.report = reported

def work(given, tracking):
    mlflow.set_tracking_uri(tracking)
    mlflow.set_experiment("tuning")
    parameters = load_parameters(given)
    with mlflow.start_run():
        tune_model("metadata", parameters, open_store(parameters.shared.workspace / "store"))
"""


def test_a_worker_that_is_killed_loses_nothing(parameters: Parameters, store: Store, tmp_path: Path) -> None:
    """Nothing that the killed one did is lost, nothing is counted twice."""
    given = {"workspace": str(tmp_path), **SMALL, "lost-after-s": 5}
    with nursery(TUNES) as working:
        assert working.run("reported:1", given, mlflow.get_tracking_uri()) == [KILLED]
    storage = open_storage("", tuned_file("metadata", parameters).parent, 60)
    (name,) = optuna.get_all_study_names(storage)
    (lost,) = optuna.load_study(study_name=name, storage=storage).trials
    assert lost.state == optuna.trial.TrialState.RUNNING and lost.intermediate_values
    time.sleep(6)
    found, runs = tuned(load_parameters(given), store)
    counted = {state: number for state, number in found.content["trials"].items() if state != "lost"}
    assert sum(counted.values()) == SMALL["trials"] == len(runs)
    assert found.content["trials"]["lost"] == 1
    (again,) = [trial for trial in found.study.trials if RETRY_OF in trial.user_attrs]
    assert (again.params, again.user_attrs[RETRY_OF]) == (lost.params, lost.number)
    assert mlflow.get_run(again.user_attrs["run_id"]).data.tags["trial.retry_of"] == str(lost.number)
    run = mlflow.get_run(lost.user_attrs["run_id"])
    assert (run.info.status, run.data.tags["trial.state"]) == ("FAILED", "lost")
    assert run.data.tags["trial.reason"] == "its process ended in the middle of the trial"
