"""A study that several processes may work on: where it is kept, who proposes, and what becomes of lost trials.

Each worker signs its trials with Optuna's heartbeat. A trial whose process was killed is tried again with the same
values under a new number, as is one that was interrupted.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from leadwise.atomic import file_lock
from leadwise.contract import LeadwiseError

Objective = Callable[[optuna.Trial], float | tuple[float, float]]
DEFAULTS, REASON, FAILED, RETRY_OF = "defaults", "reason", "failed", "retry_of"
"""Attributes of a trial: it has the configured values; why it did not complete; whether it failed by itself; which lost
trial it is for."""
COST, RUN = "million_multiply_adds", "run_id"
"""Attributes of a trial: what an answer of its network costs; its run in MLflow."""
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


def tag_state(state: str, reason: str, run_id: str | None = None) -> None:
    """Tell in a run, the active one or another, what became of its trial, and why."""
    import mlflow

    client, run = mlflow.MlflowClient(), run_id or mlflow.active_run().info.run_id
    client.set_tag(run, "trial.state", state)
    if reason:
        client.set_tag(run, "trial.reason", reason[:500])


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
