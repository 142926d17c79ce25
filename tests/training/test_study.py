"""A study with several workers, without networks: one budget, one first trial, nothing lost, nothing counted twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from leadwise.config import PROJECT_ROOT
from leadwise.training.process_mark import has_ended, mark_of_this_process
from leadwise.training.study import (
    DEFAULTS,
    MOST_TRIES,
    REASON,
    RETRY_OF,
    TrialFailed,
    counts,
    end_lost_trials,
    open_study,
    try_again,
    work_on,
)
from leadwise.training.study_sampler import NumberedSampler, SamplerName
from leadwise.training.study_storage import WORKER, StudyStorage, StudyStorageError, open_storage

NAME = "clinical/fusion/abc/tpe"
STORAGES = ("sqlite", "journal", "postgresql")
LONG_S = 600

WORKER_PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_study import opened, work_on

folder, address, trials, seconds_a_trial = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
study, kept = opened(folder, address)

def objective(trial, drawn):
    x = trial.suggest_float("x", 0, 1)
    drawn()
    trial.report(x, 1)
    print(trial.number, flush=True)
    time.sleep(seconds_a_trial)
    return x

work_on(study, objective, trials=trials, seconds=600, turn=kept.turn)
"""


def opened(folder: Path, address: str, sampler: SamplerName = "tpe") -> tuple[optuna.Study, StudyStorage]:
    """A study of one parameter whose configured value is 0.5."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = open_storage(address, folder, 5, try_again)
    study = open_study(
        NAME,
        kept,
        sampler=NumberedSampler(sampler, 20),
        pruner=optuna.pruners.NopPruner(),
        directions=["maximize"],
        defaults={"x": 0.5},
    )
    return study, kept


def square(trial: optuna.Trial, drawn: Callable[[], None]) -> float:
    x = trial.suggest_float("x", 0, 1)
    drawn()
    return -((x - 0.3) ** 2)


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture(params=STORAGES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_address"))
    return {"sqlite": "", "journal": str(tmp_path / "study.journal")}[request.param]


@pytest.fixture
def start(tmp_path: Path, address: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts workers; whatever is left of them is killed."""
    workers = []

    def worker(trials: int, seconds_a_trial: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER_PROGRAM, str(Path(__file__).parent), str(tmp_path), address]
        process = subprocess.Popen(
            [*command, str(trials), str(seconds_a_trial)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT / "src"), *sys.path])},
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(process)
        return process

    yield worker
    for process in workers:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def first_number(worker: subprocess.Popen[str]) -> int:
    """The trial that a worker begins with, once it has reported."""
    assert worker.stdout is not None
    return int(worker.stdout.readline())


def test_two_workers_of_which_one_is_killed(
    tmp_path: Path, address: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    victim = start(trials=5, seconds_a_trial=LONG_S)
    lost = first_number(victim)
    survivor = start(trials=5, seconds_a_trial=0.05)
    first_number(survivor)
    study, _ = opened(tmp_path, address)
    assert study.trials[lost].state == TrialState.RUNNING, "a trial that is worked on is left alone"
    victim.send_signal(signal.SIGKILL)
    assert survivor.wait(timeout=120) == 0

    trials = study.get_trials()
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [lost]
    (again,) = [trial for trial in trials if trial.user_attrs.get(RETRY_OF) == lost]
    assert (again.state, again.params) == (TrialState.COMPLETE, trials[lost].params)
    assert sum(map(counts, trials)) == 5
    assert states(study).count("COMPLETE") == 5
    assert len({trial.params["x"] for trial in trials if trial.state == TrialState.COMPLETE}) == 5
    assert sum(DEFAULTS in trial.user_attrs for trial in trials) == (2 if lost == 0 else 1)
    assert {trial.params["x"] for trial in trials if DEFAULTS in trial.user_attrs} == {0.5}


def test_two_workers_share_one_budget(
    tmp_path: Path, address: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    both = [start(trials=7, seconds_a_trial=0.1) for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in both] == [0, 0]
    study, _ = opened(tmp_path, address)
    assert states(study) == ["COMPLETE"] * 7
    assert len({trial.params["x"] for trial in study.trials}) == 7
    assert len({trial.user_attrs[WORKER]["pid"] for trial in study.trials}) == 2


def test_what_another_machine_no_longer_works_on_is_tried_again(tmp_path: Path, address: str) -> None:
    study, _ = opened(tmp_path, address)
    elsewhere = mark_of_this_process() | {"host": "elsewhere", "space": "another kernel", "pid": 1}
    trial = study.ask()
    trial.set_user_attr(WORKER, elsewhere)
    trial.suggest_float("x", 0, 1)
    study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    end_lost_trials(study)
    assert states(study) == ["RUNNING"], "it gave a sign of life just now"
    time.sleep(7)
    end_lost_trials(study)
    assert states(study) == ["FAIL", "WAITING"]
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trial.report(0.5, 1)


def test_a_trial_that_was_taken_over_ends_without_a_word_and_the_worker_goes_on(tmp_path: Path, address: str) -> None:
    study, kept = opened(tmp_path, address)

    def slow(trial: optuna.Trial, drawn: Callable[[], None]) -> float:
        value = square(trial, drawn)
        if trial.number == 0:
            # What another worker does that takes this one for lost.
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            try_again(study, study.trials[0])
        return value

    work_on(study, slow, trials=2, seconds=60, turn=kept.turn)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[1].params == study.trials[0].params == {"x": 0.5}


def test_the_configured_values_come_first_and_once(tmp_path: Path, address: str) -> None:
    study, kept = opened(tmp_path, address)
    work_on(study, square, trials=2, seconds=60, turn=kept.turn)
    again, kept = opened(tmp_path, address)
    work_on(again, square, trials=4, seconds=60, turn=kept.turn)
    assert again.trials[0].params == {"x": 0.5}
    assert [DEFAULTS in trial.user_attrs for trial in again.trials] == [True, False, False, False]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_was_interrupted_proposes_what_an_uninterrupted_one_does(
    tmp_path: Path, sampler: SamplerName
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, kept = opened(tmp_path / "whole", "", sampler)
    work_on(whole, square, trials=14, seconds=60, turn=kept.turn)
    for trials in (3, 12, 14):
        parts, kept = opened(tmp_path / "parts", "", sampler)
        work_on(parts, square, trials=trials, seconds=60, turn=kept.turn)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]


def test_a_trial_that_fails_by_itself_fails_alone_and_counts(tmp_path: Path) -> None:
    study, kept = opened(tmp_path, "")

    def failing(trial: optuna.Trial, drawn: Callable[[], None]) -> float:
        if trial.number == 1:
            trial.set_user_attr(REASON, "diverged")
            raise TrialFailed("diverged")
        return square(trial, drawn)

    work_on(study, failing, trials=3, seconds=60, turn=kept.turn)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_defect_ends_the_study_and_its_trial_does_not_count(tmp_path: Path) -> None:
    study, kept = opened(tmp_path, "")

    def broken(trial: optuna.Trial, drawn: Callable[[], None]) -> float:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        work_on(study, broken, trials=2, seconds=60, turn=kept.turn)
    study, kept = opened(tmp_path, "")
    work_on(study, square, trials=2, seconds=60, turn=kept.turn)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[1].params == {"x": 0.5}


def test_what_was_interrupted_by_hand_is_tried_again(tmp_path: Path) -> None:
    study, kept = opened(tmp_path, "")

    def interrupted(trial: optuna.Trial, drawn: Callable[[], None]) -> float:
        square(trial, drawn)
        if trial.number == 1:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        work_on(study, interrupted, trials=3, seconds=60, turn=kept.turn)
    study, kept = opened(tmp_path, "")
    work_on(study, square, trials=3, seconds=60, turn=kept.turn)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == study.trials[1].params


def test_a_trial_that_ends_its_process_every_time_is_given_up(tmp_path: Path) -> None:
    study, _ = opened(tmp_path, "")
    for _ in range(MOST_TRIES):
        trial = study.ask()
        study.tell(trial, state=TrialState.FAIL)
        lost: FrozenTrial = study.trials[trial.number]
        try_again(study, lost)
    assert states(study) == ["FAIL"] * MOST_TRIES
    assert [counts(trial) for trial in study.trials] == [False] * (MOST_TRIES - 1) + [True]


def test_a_mark_tells_whether_its_process_has_ended() -> None:
    own = mark_of_this_process()
    child = subprocess.Popen(
        [sys.executable, "-c", MARK],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT / "src"), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    other = json.loads(child.stdout.readline())
    assert not has_ended(own)
    assert not has_ended(other)
    child.communicate()
    assert has_ended(other)
    assert has_ended(own | {"started": 1}), "the number was given to another process"
    assert not has_ended(other | {"space": "another kernel"}), "nobody can tell from here"


MARK = """
import json, sys
from leadwise.training.process_mark import mark_of_this_process
print(json.dumps(mark_of_this_process()), flush=True)
sys.stdin.read()
"""


def test_an_address_that_nothing_answers_at_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StudyStorageError, match="study-storage: nosuchdb://user:") as error:
        open_storage("nosuchdb://user:secret@host/db", tmp_path, 60, try_again)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("address", ["journal://{}/a.log", "{}/a.log", "{}/a.journal", "sqlite:///{}/a.log.db"])
def test_a_study_lies_where_the_address_says(tmp_path: Path, address: str) -> None:
    kept = open_storage(address.format(tmp_path / "deep"), tmp_path / "elsewhere", 60, try_again)
    optuna.create_study(study_name=NAME, storage=kept.storage)
    assert kept.turn.is_file()
    assert kept.turn.is_relative_to(tmp_path / "deep")
