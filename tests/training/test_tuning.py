"""Tuning: the defaults come first, every trial is a run, an interrupted study goes on, the result is readable."""

import json
from pathlib import Path

import mlflow
import optuna
import pytest

from leadwise.config import Parameters, load_parameters
from leadwise.data.store import open_store
from leadwise.training.recipe import recipe_for, tuned_file
from leadwise.training.tuning import tune_model


@pytest.fixture
def parameters(simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parameters:
    (tmp_path / "store").symlink_to(simulated_store)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("tuning")
    return load_parameters(
        {"workspace": str(tmp_path), "trials": 3, "timeout-min": 5, "tune-epochs": 2, "tune-records": 100}
    )


def test_a_study_runs_goes_on_and_feeds_the_train_stage(parameters: Parameters) -> None:
    store = open_store(parameters.shared.workspace / "store")
    with mlflow.start_run() as run:
        found = tune_model("metadata", parameters, store)
    trials = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'", output_format="list")
    assert sorted(trial.info.run_name for trial in trials) == [f"metadata/trial-00{number}" for number in range(3)]
    assert {trial.data.tags["trial.state"] for trial in trials} <= {"complete", "pruned"}
    first = min(trials, key=lambda trial: trial.info.run_name)
    defaults = recipe_for("metadata", parameters)
    assert float(first.data.params["learning-rate"]) == defaults.learning_rate
    assert found["digest"] == store.manifest["digest"]
    assert found["value"] == pytest.approx(max(t.data.metrics.get("best/val/macro_auroc", 0) for t in trials))

    tuned = parameters.model_copy(update={"train": parameters.train.model_copy(update={"use_tuned": True})})
    assert recipe_for("metadata", tuned).learning_rate == found["parameters"]["learning-rate"]

    with mlflow.start_run() as again:
        assert tune_model("metadata", parameters, store)["parameters"] == found["parameters"]
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{again.info.run_id}'")
    assert children.empty, "a finished study has nothing left to try"

    more = parameters.model_copy(update={"tune": parameters.tune.model_copy(update={"trials": 4})})
    with mlflow.start_run() as longer:
        tune_model("metadata", more, store)
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{longer.info.run_id}'")
    assert list(children["tags.mlflow.runName"]) == ["metadata/trial-003"]


def test_a_trial_that_was_killed_is_tried_again(parameters: Parameters) -> None:
    store = open_store(parameters.shared.workspace / "store")
    one = parameters.model_copy(update={"tune": parameters.tune.model_copy(update={"trials": 1})})
    with mlflow.start_run():
        name = tune_model("metadata", one, store)["study"]
    storage = f"sqlite:///{tuned_file('metadata', parameters).parent / 'studies.db'}"
    study = optuna.load_study(study_name=name, storage=storage)
    lost = study.ask({"learning-rate": optuna.distributions.FloatDistribution(3e-4, 1e-2, log=True)})
    two = parameters.model_copy(update={"tune": parameters.tune.model_copy(update={"trials": 2})})
    with mlflow.start_run():
        tune_model("metadata", two, store)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials[1:2]] == ["FAIL"]
    assert trials[2].params["learning-rate"] == lost.params["learning-rate"]
    assert json.loads(tuned_file("metadata", parameters).read_text())["trials"]["running"] == 0
