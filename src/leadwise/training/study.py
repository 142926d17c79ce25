"""A study that several processes may work on: one budget, nothing lost, nothing counted twice.

A trial that lost its process is tried again with the same values under a new number. Every other trial counts once,
whether it was completed, was pruned, or failed by itself.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from leadwise.atomic import file_lock
from leadwise.contract import LeadwiseError
from leadwise.training.process_mark import mark_of_this_process
from leadwise.training.study_storage import WORKER, StudyStorage

DEFAULTS, REASON, ERROR, RETRY_OF, TRIES = "defaults", "reason", "error", "retry_of", "tries"
"""Attributes of a trial: it has the configured values; why it did not complete; what ended the whole program in the
middle of it; which lost trial it is for, and how many times those values have been tried."""
MOST_TRIES = 3
"""A trial that takes its process with it each time, as one that needs too much memory does, is given up."""
LOOK_EVERY_S = 1.0
PATIENCE_WITH_A_MAKER_S = 3.0

Direction = Literal["minimize", "maximize"]
Objective = Callable[[optuna.Trial, Callable[[], None]], float | Sequence[float]]
"""Called with a trial, and with what is to be called once its values are drawn, so that another worker may draw."""


class TrialFailed(LeadwiseError):
    """A trial came to nothing for a reason of its own; the study goes on."""


def open_study(
    name: str,
    kept: StudyStorage,
    *,
    sampler: BaseSampler,
    pruner: BasePruner,
    directions: Sequence[Direction],
    defaults: Mapping[str, Any],
) -> optuna.Study:
    """Make a study or open it; its first trial has the configured values, whoever made it.

    Args:
        name: of the study.
        kept: its storage.
        sampler: proposes values.
        pruner: stops trials that lag behind.
        directions: of each objective.
        defaults: the configured values, as a trial would draw them.
    """
    with file_lock(kept.turn):
        try:
            study = optuna.create_study(
                study_name=name, storage=kept.storage, sampler=sampler, pruner=pruner, directions=list(directions)
            )
        except DuplicatedStudyError:
            study = optuna.load_study(study_name=name, storage=kept.storage, sampler=sampler, pruner=pruner)
            waited_until = time.monotonic() + PATIENCE_WITH_A_MAKER_S
            while not study.get_trials(deepcopy=False) and time.monotonic() < waited_until:
                # A worker of another machine makes the study at this moment, or was killed doing so.
                time.sleep(LOOK_EVERY_S / 10)
        if not _has_defaults(study):
            study.enqueue_trial(dict(defaults), user_attrs={DEFAULTS: True})
        return study


def _has_defaults(study: optuna.Study) -> bool:
    """Whether the configured values are tried, or have been."""
    return any(
        DEFAULTS in trial.user_attrs and (trial.state != TrialState.FAIL or counts(trial))
        for trial in study.get_trials(deepcopy=False)
    )


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial has used up one of the study's trials."""
    if trial.state == TrialState.FAIL:
        return REASON in trial.user_attrs or trial.user_attrs.get(TRIES, 1) >= MOST_TRIES
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def try_again(study: optuna.Study, lost: FrozenTrial) -> None:
    """Put the values of a trial that lost its process in line, unless they were tried too often."""
    tries = lost.user_attrs.get(TRIES, 1)
    if tries >= MOST_TRIES:
        return
    drawn = {**lost.system_attrs.get("fixed_params", {}), **lost.params}
    kept = {DEFAULTS: True} if DEFAULTS in lost.user_attrs else {}
    study.enqueue_trial(drawn, user_attrs={RETRY_OF: lost.number, TRIES: tries + 1, **kept})


def end_lost_trials(study: optuna.Study) -> None:
    """End the trials whose processes have ended, or have given no sign of life; their values are tried again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def work_on(study: optuna.Study, objective: Objective, *, trials: int, seconds: float, turn: Path) -> None:
    """Run trials until the study has as many as asked for, whoever ran them, or the time is up.

    Optuna's own MaxTrialsCallback counts what has ended: with several workers it begins more than it was asked for,
    and a worker that sees nothing left to begin leaves while another's last trial may yet be lost. So the workers of
    one machine count, draw and begin one at a time, and stay until the last trial has ended.

    Args:
        study: what to work on; its storage finds the trials that were lost.
        objective: runs a trial. A ``TrialFailed`` that it raises fails this trial alone.
        trials: of the study, all workers together.
        seconds: for this worker; a trial that has begun is ended.
        turn: a path beside which the workers hold their lock.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with ExitStack() as turn_held:
            turn_held.enter_context(file_lock(turn))
            end_lost_trials(study)
            found = study.get_trials(deepcopy=False)
            done = sum(counts(trial) for trial in found)
            running = sum(trial.state == TrialState.RUNNING for trial in found)
            if done >= trials:
                return
            if done + running < trials:
                _run_one(study, objective, turn_held.close)
                continue
        time.sleep(LOOK_EVERY_S)


def _run_one(study: optuna.Study, objective: Objective, drawn: Callable[[], None]) -> None:
    begun: list[int] = []
    orderly = False

    def signed(trial: optuna.Trial) -> float | Sequence[float]:
        nonlocal orderly
        begun.append(trial.number)
        try:
            trial.set_user_attr(WORKER, mark_of_this_process())
            value = objective(trial, drawn)
        except (optuna.TrialPruned, TrialFailed):
            orderly = True
            raise
        except UpdateFinishedTrialError as error:
            orderly = True
            raise TrialFailed("another worker took this trial for lost, and tries its values again") from error
        orderly = True
        return value

    try:
        study.optimize(signed, n_trials=1, catch=(TrialFailed,))
    except KeyboardInterrupt:
        for number in begun:
            try_again(study, study.get_trials(deepcopy=False)[number])
        raise
    except (ValueError, AssertionError, UpdateFinishedTrialError):
        # How Optuna puts it that the trial was ended by somebody else.
        if not orderly:
            raise
