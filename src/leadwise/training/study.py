"""The study of one model, on which several processes may work, and what it has found for the train stage.

Each worker signs its trials with Optuna's heartbeat. A trial whose process was killed is tried again with the same
values under a new number, as is one that was interrupted.
"""

import hashlib
import json
import textwrap
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from leadwise.atomic import file_lock, write_atomically
from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store
from leadwise.training.config import TrainingConfig, tuned_file
from leadwise.training.epochs import WARM_UP_SHARE
from leadwise.training.fit import require_measurable
from leadwise.training.trial import (
    COST,
    DEFAULTS,
    FAILED,
    REASON,
    RETRY_OF,
    RUN,
    SearchSpace,
    TrialRunner,
    said,
    space_of,
    tag_state,
    trial_config,
    trial_rows,
)

KEPT = 2
"""One trial in so many goes on after each cut."""
Objective = Callable[[optuna.Trial], float | tuple[float, float]]
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
"""What uses up a trial of the study. In Optuna a trial that failed by itself is a pruned one."""
MOST_RETRIES = 2
"""Values that take their process with them each time, as those that need too much memory do, are given up."""
WORKERS = "workers"
"""Attribute of a study: how many have opened it."""
WAIT_FOR_SQLITE_S = 60
BEATS = 5
"""Signs of life in the time after which a trial without one is taken for lost."""
LOST = "its process ended in the middle of the trial"


@contextmanager
def _experimental() -> Iterator[None]:
    """Optuna calls heartbeats and grouped sampling experimental, each time anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def open_storage(address: str, folder: Path, lost_after_s: int) -> RDBStorage:
    """Open a storage whose trials give signs of life.

    Args:
        address: of SQLAlchemy; empty: SQLite in ``folder``.
        folder: of the tuned parameters; workers of one machine take turns there to make the tables.
        lost_after_s: seconds without a sign of life after which a trial is taken for lost.

    Raises:
        LeadwiseError: the driver for the address is not installed, or nothing answers there.
    """
    file = folder / "studies.db"
    url = address or f"sqlite:///{file}"
    options = {"connect_args": {"timeout": WAIT_FOR_SQLITE_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        with _experimental(), file_lock(file):
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=max(lost_after_s // BEATS, 1),
                grace_period=lost_after_s,
                heartbeat_stale_trial_callback=_lost,
            )
    except Exception as error:
        raise LeadwiseError(f"study-storage: {_without_password(url)}: {_first_line(error)}") from error


def open_study(
    name: str,
    storage: RDBStorage,
    *,
    pruner: BasePruner,
    directions: list[Literal["minimize", "maximize"]],
    defaults: dict[str, Any],
    seed: int,
) -> optuna.Study:
    """Make a study or open it; its first trial has the configured values, whoever made it.

    A tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023) proposes, several parameters at a time.

    Every worker draws with a seed of its own, made from the study's seed and how many have opened the study before:
    with one seed for all, two of them would try the same random values side by side, and so would one that goes on.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, pruner=pruner, directions=directions, load_if_exists=True
    )
    before = study.user_attrs.get(WORKERS, 0)
    study.set_user_attr(WORKERS, before + 1)
    own = int(np.random.SeedSequence((seed, before)).generate_state(1)[0])
    with _experimental():
        study.sampler = TPESampler(seed=own, multivariate=True, group=True)
    study.enqueue_trial(defaults, user_attrs={DEFAULTS: True}, skip_if_exists=True)
    return study


def work_on(study: optuna.Study, objective: Objective, *, trials: int, seconds: float) -> None:
    """Run trials until the study has as many as asked for, whoever ran them, or the time is up.

    ``trials`` are those of all workers, ``seconds`` this one's. Trials that lost their process do not count. Each
    worker ends the trial that it has begun, so that several of them may come to a few trials more.
    """
    until = time.monotonic() + seconds
    begun, orderly = -1, True

    def followed(trial: optuna.Trial) -> float | tuple[float, float]:
        nonlocal begun, orderly
        begun, orderly = trial.number, True
        try:
            return objective(trial)
        except (optuna.TrialPruned, UpdateFinishedTrialError):
            raise
        except BaseException:
            orderly = False
            raise

    with _experimental():
        # What is left of those that were killed, also where the study is complete.
        optuna.storages.fail_stale_trials(study)
    while len(study.get_trials(deepcopy=False, states=COUNTED)) < trials and time.monotonic() < until:
        try:
            budget = MaxTrialsCallback(trials, states=COUNTED)
            study.optimize(followed, timeout=until - time.monotonic(), callbacks=[budget])
        except BaseException as error:
            broken = study.trials[begun] if begun >= 0 else None
            if broken is None or broken.state in COUNTED:
                raise
            if not orderly or not isinstance(error, ValueError | AssertionError | UpdateFinishedTrialError):
                try_again(study, broken, most=None)
                raise
            # How Optuna puts it that another worker took this one for lost, because it slept.
            begun = -1


def try_again(study: optuna.Study, trial: FrozenTrial, most: int | None = MOST_RETRIES) -> None:
    """Put the values of a trial that did not come to its end in line, unless they were tried again so often before."""
    trial.user_attrs = {RETRY_OF: trial.number} | ({DEFAULTS: True} if DEFAULTS in trial.user_attrs else {})
    with _experimental():
        RetryHeartbeatStaleTrialCallback(max_retry=most)(study, trial)


def _lost(study: optuna.Study, trial: FrozenTrial) -> None:
    """A trial lost its process: end its run, which nobody else will, and try its values again."""
    run = trial.user_attrs.get(RUN)
    try_again(study, trial)
    if run is None:
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        tag_state("lost", LOST, run)
        mlflow.MlflowClient().set_terminated(run, "FAILED")
    except MlflowException:
        # The other worker reports to another tracking server.
        return


def state_of(trial: FrozenTrial) -> str:
    """As in Optuna, with trials that lost their process told from those that failed by themselves."""
    if trial.state == TrialState.FAIL:
        return "lost"
    return "failed" if trial.user_attrs.get(FAILED) else trial.state.name.lower()


def defaults_of(study: optuna.Study) -> FrozenTrial | None:
    """The trial with the configured values, if it was completed."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((trial for trial in completed if DEFAULTS in trial.user_attrs), None)


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.partition("@")[0].partition(":")[0]


def _first_line(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, ImportError) and error.__cause__ else error
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else 'no message'}"


@dataclass(frozen=True)
class Tuned:
    """What a study has found: the content of the ``file`` that the train stage reads, and what it comes from.

    ``config`` is that of a trial with the configured values.
    """

    content: dict[str, Any]
    study: optuna.Study
    space: SearchSpace
    config: TrainingConfig
    file: Path


def tune_model(model: str, parameters: Parameters, store: Store) -> Tuned:
    """Run the study of one model, or what is left of it, and write the best parameters for the train stage.

    Raises:
        LeadwiseError: no trial was completed; ``study-storage`` cannot be opened; fold 9 cannot tell one trial from
            another.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tune, config = parameters.tune, trial_config(model, parameters)
    require_measurable(config, store)
    space, file = space_of(config), tuned_file(model, parameters)
    storage = open_storage(tune.study_storage, file.parent, tune.lost_after_s)
    with file_lock(file):
        study = open_study(
            study_name(config, space, parameters, store),
            storage,
            pruner=halving(config.epochs) if tune.objectives == "score" else NopPruner(),
            directions=["maximize"] if tune.objectives == "score" else ["maximize", "minimize"],
            defaults=space.drawn_from(config),
            seed=config.seed,
        )
    runner = TrialRunner(config, space, store, trial_rows(config, store, tune.tune_share))
    work_on(study, runner, trials=tune.trials, seconds=tune.timeout_min * 60)
    with file_lock(file):
        # The last worker to get here has seen every trial.
        content = _content(study, space, config, store)
        write_atomically(file, json.dumps(content, indent=2))
    done, why = sum(trial.state in COUNTED for trial in study.trials), "that was all"
    if done < tune.trials:
        why = f"{tune.timeout_min:g} minutes had passed"
    print(f"{model}: {done} of {tune.trials} trials, {why}", flush=True)
    before = "" if content["defaults"] is None else f" ({content['defaults']:.4f} as configured)"
    print(f"best: trial {content['trial']}, {config.monitor} {content['value']:.4f}{before}")
    if content["parameters"] == space.config_values(space.drawn_from(config)):
        print("  its values are the configured ones")
    else:
        values = said(content["parameters"])
        print(textwrap.fill(values, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
    return Tuned(content, study, space, config, file)


def study_name(config: TrainingConfig, space: SearchSpace, parameters: Parameters, store: Store) -> str:
    """The name of a study.

    Trials may only be compared within one: the same data, records, epochs, space, objectives and fixed parameters.
    """
    tune = parameters.tune
    ranges = {name: str(one) for name, one in {**space.dimensions, **space.widths}.items()}
    what = [config.fingerprint(store.manifest), tune.tune_share, tune.objectives, ranges]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{config.feature_set}/{config.model}/{digest[:12]}/tpe"


def halving(epochs: int) -> SuccessiveHalvingPruner:
    """Asynchronous successive halving (Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning).

    The first cut comes when the learning rate has risen: before that a trial says little about itself. Not Hyperband:
    Optuna's splits the trials into brackets of which each has a sampler's start of its own, and a study of forty trials
    would be random throughout.
    """
    return SuccessiveHalvingPruner(min_resource=max(round(WARM_UP_SHARE * epochs), 1), reduction_factor=KEPT)


def _content(study: optuna.Study, space: SearchSpace, config: TrainingConfig, store: Store) -> dict[str, Any]:
    """What a study has found, for the train stage; of equally good trials the cheapest, then the first."""
    front = sorted(study.best_trials, key=lambda one: (one.user_attrs[COST], one.number))
    if not front:
        reasons = sorted({trial.user_attrs[REASON] for trial in study.trials if REASON in trial.user_attrs})
        why = "; ".join(reasons) or "none had the time"
        raise LeadwiseError(f"{study.study_name}: no trial was completed; {why}")
    best, defaults = max(front, key=lambda one: one.values[0]), defaults_of(study)
    return {
        "study": study.study_name,
        "digest": store.manifest["digest"],
        "monitor": config.monitor,
        "value": best.values[0],
        "trial": best.number,
        "defaults": defaults.values[0] if defaults else None,
        "trials": dict(Counter(state_of(trial) for trial in study.trials)),
        "parameters": space.config_values(best.params),
        "front": [
            {
                "trial": one.number,
                "value": one.values[0],
                "million_multiply_adds": one.values[1],
                "parameters": space.config_values(one.params),
            }
            for one in front
            if len(study.directions) > 1
        ],
    }
