"""A study with several workers, without networks: one first trial, nothing lost, nothing counted twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LeadwiseError
from leadwise.training import study as study_module
from leadwise.training.study import (
    COUNTED,
    DEFAULTS,
    MOST_RETRIES,
    RETRY_OF,
    open_storage,
    open_study,
    try_again,
    work_on,
)

LONG_S, LOST_AFTER_S = 600, 5

WORKER_PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_study import opened, work_on

study = opened(Path(sys.argv[2]), sys.argv[3])

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 1)
    print(trial.number, flush=True)
    time.sleep(float(sys.argv[5]))
    return x

work_on(study, objective, trials=int(sys.argv[4]), seconds=600)
"""


def opened(folder: Path, address: str = "") -> optuna.Study:
    """A study of one parameter whose configured value is 0.5."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(address, folder, LOST_AFTER_S)
    return open_study(
        "clinical/fusion/abc/tpe",
        storage,
        pruner=NopPruner(),
        directions=["maximize"],
        defaults={"x": 0.5},
        seed=20,
    )


def square(trial: optuna.Trial) -> float:
    return -((trial.suggest_float("x", 0, 1) - 0.3) ** 2)


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """A SQLite file beside the results; where a test asks for it, a PostgreSQL server."""
    asked = getattr(request, "param", "sqlite")
    return "" if asked == "sqlite" else str(request.getfixturevalue("postgresql_address"))


on_both = pytest.mark.parametrize("address", ["sqlite", "postgresql"], indirect=True)
"""Where workers meet, each kind of storage has locks of its own."""


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


@on_both
def test_two_workers_of_which_one_is_killed(
    tmp_path: Path, address: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    victim = start(trials=7, seconds_a_trial=LONG_S)
    lost = first_number(victim)
    survivor = start(trials=7, seconds_a_trial=1.5)
    first_number(survivor)
    study = opened(tmp_path, address)
    assert study.trials[lost].state == TrialState.RUNNING, "a trial that is worked on is left alone"
    victim.send_signal(signal.SIGKILL)
    assert survivor.wait(timeout=120) == 0

    trials = study.get_trials()
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [lost]
    (again,) = [trial for trial in trials if trial.user_attrs.get(RETRY_OF) == lost]
    assert (again.state, again.params) == (TrialState.COMPLETE, trials[lost].params)
    assert states(study).count("COMPLETE") == 7
    assert len({trial.params["x"] for trial in trials if trial.state == TrialState.COMPLETE}) == 7
    assert {trial.params["x"] for trial in trials if DEFAULTS in trial.user_attrs} == {0.5}


@on_both
def test_two_workers_share_one_budget_but_for_a_trial(
    tmp_path: Path, address: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    both = [start(trials=7, seconds_a_trial=0.5) for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in both] == [0, 0]
    study = opened(tmp_path, address)
    assert states(study) in (["COMPLETE"] * 7, ["COMPLETE"] * 8)
    assert len({trial.params["x"] for trial in study.trials}) == len(study.trials)
    assert [DEFAULTS in trial.user_attrs for trial in study.trials].count(True) == 1


def test_a_study_that_is_complete_still_ends_what_was_lost(
    tmp_path: Path, address: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    victim = start(trials=2, seconds_a_trial=LONG_S)
    first_number(victim)
    # Its first sign of life comes right after the number.
    time.sleep(1)
    victim.kill()
    study = opened(tmp_path, address)
    work_on(study, square, trials=1, seconds=60)
    assert states(study) == ["RUNNING", "COMPLETE"], "it gave a sign of life just now"
    time.sleep(LOST_AFTER_S + 2)
    work_on(study, square, trials=1, seconds=60)
    assert states(study) == ["FAIL", "COMPLETE", "WAITING"]
    work_on(study, square, trials=2, seconds=60)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == {"x": 0.5}


@pytest.mark.parametrize("reports", [True, False])
def test_a_trial_that_was_taken_over_ends_without_a_word_and_the_worker_goes_on(
    tmp_path: Path, address: str, reports: bool
) -> None:
    study, other = opened(tmp_path, address), opened(tmp_path, address)

    def slow(trial: optuna.Trial) -> float:
        value = square(trial)
        if trial.number == 0:
            # What another worker does that takes this one for lost.
            try_again(other, other.tell(0, state=TrialState.FAIL))
            if reports:
                trial.report(value, 1)
        return value

    work_on(study, slow, trials=2, seconds=60)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[1].params == study.trials[0].params == {"x": 0.5}


def test_a_study_goes_on_with_new_values(tmp_path: Path, address: str) -> None:
    for trials in (2, 4, 14):
        study = opened(tmp_path, address)
        work_on(study, square, trials=trials, seconds=60)
        assert states(study) == ["COMPLETE"] * trials
    assert len({trial.params["x"] for trial in study.trials}) == 14
    assert study.trials[0].params == {"x": 0.5}
    assert [DEFAULTS in trial.user_attrs for trial in study.trials] == [True] + [False] * 13


def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    drawn = []
    for place in ("one", "other"):
        study = opened(tmp_path / place)
        work_on(study, square, trials=14, seconds=60)
        drawn.append([trial.params["x"] for trial in study.trials])
    assert drawn[0] == drawn[1]


def test_time_that_is_up_ends_the_study_after_the_trial_that_has_begun(tmp_path: Path) -> None:
    study = opened(tmp_path)

    def slow(trial: optuna.Trial) -> float:
        time.sleep(0.5)
        return square(trial)

    work_on(study, slow, trials=99, seconds=0.2)
    assert states(study) == ["COMPLETE"]


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt()])
def test_what_ends_the_whole_program_is_tried_again_and_does_not_count(tmp_path: Path, error: BaseException) -> None:
    def broken(trial: optuna.Trial) -> float:
        value = square(trial)
        if trial.number > 0:
            raise error
        return value

    times = MOST_RETRIES + 2
    for _ in range(times):
        study = opened(tmp_path)
        with pytest.raises(type(error)):
            work_on(study, broken, trials=3, seconds=60)
    work_on(study, square, trials=3, seconds=60)
    assert states(study) == ["COMPLETE"] + ["FAIL"] * times + ["COMPLETE"] * 2
    assert len({trial.params["x"] for trial in study.trials[1:-1]}) == 1


def test_a_trial_that_ends_its_process_every_time_is_given_up(tmp_path: Path) -> None:
    study = opened(tmp_path)
    for _ in range(MOST_RETRIES + 1):
        trial = study.ask()
        square(trial)
        try_again(study, study.tell(trial, state=TrialState.FAIL))
    assert states(study) == ["FAIL"] * (MOST_RETRIES + 1)
    assert {trial.params["x"] for trial in study.trials} == {0.5}
    work_on(opened(tmp_path), square, trials=2, seconds=60)
    assert [trial.state in COUNTED for trial in study.trials] == [False] * (MOST_RETRIES + 1) + [True] * 2


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("nosuchdb://user:secret@host/db", "nosuchdb://user:"),
        ("study.journal", "study.journal"),
        ("sqlite:////nowhere/at/all.db", "sqlite:////nowhere/at/all.db"),
    ],
)
def test_an_address_that_nothing_answers_at_is_named_without_its_password(
    tmp_path: Path, address: str, named: str
) -> None:
    with pytest.raises(LeadwiseError, match=f"study-storage: {named}") as error:
        open_storage(address, tmp_path, 60)
    assert "secret" not in str(error.value)


def test_a_storage_that_another_process_has_locked_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(tmp_path)
    with sqlite3.connect(tmp_path / "studies.db", check_same_thread=False, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(2, holder.rollback)
        timer.start()
        work_on(study, square, trials=2, seconds=60)
        timer.join()
        assert states(study) == ["COMPLETE"] * 2
        monkeypatch.setattr(study_module, "WAIT_FOR_SQLITE_S", 0.1)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LeadwiseError, match="database is locked"):
            open_storage("", tmp_path, 60)
        holder.rollback()
    holder.close()
