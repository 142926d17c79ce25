"""The study of one model: what its trials measure and leave in MLflow, and what is written for the train stage."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
from mlflow.exceptions import MlflowException
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from leadwise.atomic import one_at_a_time, write_atomically
from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store
from leadwise.reports.report_page import Card
from leadwise.stage import child_run
from leadwise.tracking_server import given_up
from leadwise.training.config import TrainingConfig, tuned_file, with_values
from leadwise.training.fit import TrainingData, require_measurable
from leadwise.training.halving import halving
from leadwise.training.search_space import SearchSpace, space_of
from leadwise.training.study import ERROR, REASON, RETRY_OF, Direction, TrialFailed, open_study, try_again, work_on
from leadwise.training.study_card import study_card
from leadwise.training.study_page import write_study_page
from leadwise.training.study_sampler import NumberedSampler
from leadwise.training.study_storage import StudyStorage, open_storage
from leadwise.training.study_table import COST, RUN, StudyTable
from leadwise.training.trial import million_multiply_adds, train_trial, trial_recipe, trial_rows

DIRECTIONS: Mapping[str, tuple[Direction, ...]] = {
    "score": ("maximize",),
    "score_and_cost": ("maximize", "minimize"),
}


class NothingFoundError(LeadwiseError):
    """No trial of a study was completed."""


@dataclass(frozen=True)
class Tuned:
    """What a study has found.

    Attributes:
        content: of the file that the train stage reads, or would read if an earlier study had not found better.
        page: the report.
        table: one line per trial.
        card: the short form of the report.
    """

    content: dict[str, Any]
    page: Path
    table: Path
    card: Card


def tune_model(model: str, parameters: Parameters, store: Store) -> Tuned:
    """Run the study of one model, or what is left of it, and write the best parameters for the train stage.

    Raises:
        NothingFoundError: no trial was completed.
        StudyStorageError: ``study-storage`` cannot be opened.
        ValidationFoldError: fold 9 cannot tell one trial from another.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tune, recipe = parameters.tune, trial_recipe(model, parameters)
    require_measurable(recipe, store)
    rows = trial_rows(recipe, store, tune.tune_share)
    space = space_of(recipe)
    file = tuned_file(model, parameters)
    kept = open_storage(tune.study_storage, file.parent, tune.lost_after_s, _lost)
    name = f"{study_family(recipe, space, parameters, store)}/{tune.sampler}"
    study = open_study(
        name,
        kept,
        sampler=NumberedSampler(tune.sampler, recipe.seed),
        pruner=halving(recipe.epochs) if tune.objectives == "score" else optuna.pruners.NopPruner(),
        directions=DIRECTIONS[tune.objectives],
        defaults=space.drawn_from(recipe),
    )
    work_on(
        study,
        TrialRunner(recipe, space, store, rows),
        trials=tune.trials,
        seconds=tune.timeout_min * 60,
        turn=kept.turn,
    )
    with one_at_a_time(file):
        # The last worker to get here has seen every trial.
        return _write(study, kept, recipe, space, store, file)


def study_family(recipe: TrainingConfig, space: SearchSpace, parameters: Parameters, store: Store) -> str:
    """The name of a study but for its sampler.

    Trials may only be compared within one: the same data, records, epochs, space, objectives and fixed parameters.
    """
    tune = parameters.tune
    what = [recipe.fingerprint(store.manifest), tune.tune_share, tune.objectives, asdict(space)]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{recipe.feature_set}/{recipe.model}/{digest[:12]}"


class TrialRunner:
    """Runs a trial in a run of its own, below the study's.

    Args:
        recipe: of a trial with the configured values.
        space: what trials draw from.
        store: the ingested data.
        rows: the training records of every trial.
    """

    def __init__(self, recipe: TrainingConfig, space: SearchSpace, store: Store, rows: np.ndarray) -> None:
        self._recipe, self._space, self._store, self._rows = recipe, space, store, rows

    def __call__(self, trial: optuna.Trial, drawn: Callable[[], None]) -> float | tuple[float, float]:
        """One trial: the score, and with two objectives the cost."""
        values = self._space.draw(trial)
        drawn()
        recipe = with_values(self._recipe, values)
        name = f"{recipe.model}/trial-{trial.number:03d}"
        tags = {"stage": "tune", "model": recipe.model, "feature_set": recipe.feature_set, "trial.state": "running"}
        if RETRY_OF in trial.user_attrs:
            tags["trial.retry_of"] = str(trial.user_attrs[RETRY_OF])
        began = time.monotonic()
        with child_run(name, "trial", tags | {"study": trial.study.study_name}, values) as run:
            trial.set_user_attr(RUN, run.info.run_id)
            try:
                score, cost = self._measured(trial, recipe)
            except optuna.TrialPruned as pruned:
                self._end(trial, "pruned", str(pruned), began)
                raise
            except TrialFailed as failed:
                self._end(trial, "failed", str(failed), began)
                raise
            except KeyboardInterrupt as error:
                self._break(trial, "interrupted; its values are tried again", error)
                raise
            except Exception as error:
                self._break(trial, f"{type(error).__name__}: {error}", error)
                raise
            mlflow.log_metric(f"best/{recipe.monitor}", score)
            self._end(trial, "complete", "", began)
        print(f"{name}: {recipe.monitor} {score:.4f}, {cost:.3g} million multiply-adds, {_said(values)}", flush=True)
        return score if len(trial.study.directions) == 1 else (score, cost)

    def _measured(self, trial: optuna.Trial, recipe: TrainingConfig) -> tuple[float, float]:
        data = TrainingData.prepare(recipe, self._store, self._rows)
        cost = million_multiply_adds(recipe, data.metadata.width)
        trial.set_user_attr(COST, cost)
        mlflow.log_metric("trial/million_multiply_adds", cost)
        return train_trial(trial, recipe, data), cost

    def _end(self, trial: optuna.Trial, state: str, reason: str, began: float) -> None:
        mlflow.log_metric("trial/seconds", time.monotonic() - began)
        _tell_why(state, reason)
        if reason:
            trial.set_user_attr(REASON, reason)
            print(f"{self._recipe.model}/trial-{trial.number:03d}: {state} {reason}", flush=True)
        if state == "pruned":
            # Not a failure: MLflow's own storage for Optuna marks it the same way.
            mlflow.end_run("KILLED")

    def _break(self, trial: optuna.Trial, reason: str, error: BaseException) -> None:
        """The whole program ends: the trial does not count."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(ERROR, reason)
        if not given_up(error):
            _tell_why("failed", reason)


def _tell_why(state: str, reason: str) -> None:
    mlflow.set_tags({"trial.state": state} | ({"trial.reason": reason[:500]} if reason else {}))


def _said(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values.items())


def _lost(study: optuna.Study, trial: FrozenTrial) -> None:
    """A trial lost its process: end its run, which nobody else will, and try its values again."""
    try_again(study, trial)
    if RUN not in trial.user_attrs:
        return
    client = mlflow.MlflowClient()
    try:
        client.set_tag(trial.user_attrs[RUN], "trial.state", "lost")
        client.set_tag(trial.user_attrs[RUN], "trial.reason", "its process ended in the middle of the trial")
        client.set_terminated(trial.user_attrs[RUN], "FAILED")
    except MlflowException:
        # The other worker reports to another tracking server.
        return


def _write(
    study: optuna.Study, kept: StudyStorage, recipe: TrainingConfig, space: SearchSpace, store: Store, file: Path
) -> Tuned:
    """The file for the train stage, the page and the table, from all that the study holds now."""
    table = StudyTable.of(study, space, recipe)
    best = table.best
    if best is None:
        reasons = sorted({trial.reason for trial in table.trials if trial.reason})
        why = "; ".join(reasons) or "none had the time"
        raise NothingFoundError(f"{study.study_name}: no trial was completed; {why}")
    content = {
        "study": study.study_name,
        "digest": store.manifest["digest"],
        "monitor": recipe.monitor,
        "value": best.score,
        "trial": best.number,
        "defaults": table.defaults.score if table.defaults else None,
        "trials": table.tally,
        "parameters": best.values,
        "front": [
            {"trial": one.number, "value": one.score, "million_multiply_adds": one.cost, "parameters": one.values}
            for one in table.front
        ],
    }
    if not _found_better(file, content):
        write_atomically(file, json.dumps(content, indent=2))
    beside = [StudyTable.of(other, space, recipe) for other in _beside(study, kept)]
    page, trials = file.with_suffix(".html"), file.with_suffix(".trials.csv")
    write_atomically(trials, table.as_csv())
    write_study_page(page, table, beside, store.manifest)
    return Tuned(content, page, trials, study_card(table, beside, store.manifest))


def _found_better(file: Path, content: dict[str, Any]) -> bool:
    """Whether the file is of the same kind of study with another sampler, and that one found better."""
    try:
        other = json.loads(file.read_text(encoding="utf-8"))
        alike = other["study"].rpartition("/")[0] == content["study"].rpartition("/")[0]
        return bool(alike and other["study"] != content["study"] and other["value"] > content["value"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _beside(study: optuna.Study, kept: StudyStorage) -> list[optuna.Study]:
    """The same study with another sampler, if there is one in the storage."""
    family = study.study_name.rpartition("/")[0]
    names = [one.study_name for one in kept.storage.get_all_studies()]
    alike = [name for name in names if name.rpartition("/")[0] == family and name != study.study_name]
    return [optuna.load_study(study_name=name, storage=kept.storage) for name in sorted(alike)]
