"""Where a study is kept: SQLite, a journal file, or a database server; and whose trials are no longer worked on."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from optuna import Study
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from leadwise.atomic import file_lock
from leadwise.contract import LeadwiseError
from leadwise.training.process_mark import has_ended

WORKER = "worker"
"""The attribute of a trial that holds the mark of the process that works on it."""
JOURNAL, JOURNAL_ENDINGS = "journal://", (".journal", ".log")
SQLITE = "sqlite:///"
WAIT_FOR_SQLITE_S = 60
BEATS = 5
"""Signs of life in the time after which a trial without one is taken for lost."""

WhenLost = Callable[[Study, FrozenTrial], None]


class StudyStorageError(LeadwiseError):
    """The address of the storage is not understood, or nothing answers there."""


@dataclass(frozen=True)
class StudyStorage:
    """An open storage.

    Attributes:
        storage: Optuna's.
        turn: what the workers of one machine take turns with: the storage's own file, if it is one.
    """

    storage: BaseStorage
    turn: Path


def open_storage(address: str, folder: Path, lost_after_s: int, when_lost: WhenLost) -> StudyStorage:
    """Open a storage in which a trial that lost its process is found.

    A worker that waits for its trial's turn on the disk or for the network is alive as long as its heartbeat is: a
    thread gives a sign every few seconds. The end of a process on this machine is seen at once.

    Args:
        address: empty: SQLite in ``folder``; a path that ends in ``.journal`` or ``.log``, or ``journal:///path``:
            Optuna's journal file; anything else: an address of SQLAlchemy.
        folder: of the tuned parameters.
        lost_after_s: seconds without a sign of life after which a trial is taken for lost.
        when_lost: called with each trial that was lost, once it has failed.

    Raises:
        StudyStorageError: the driver for the address is not installed, or nothing answers there.
    """
    beat_s = max(lost_after_s // BEATS, 1)
    if address.startswith(JOURNAL) or address.endswith(JOURNAL_ENDINGS):
        file = Path(address.removeprefix(JOURNAL))
        file.parent.mkdir(parents=True, exist_ok=True)
        return StudyStorage(WatchedJournal(file, beat_s, lost_after_s, when_lost), file)
    file = Path(address.removeprefix(SQLITE)) if address.startswith(SQLITE) else folder / "studies.db"
    url = address or f"{SQLITE}{file}"
    options = {"connect_args": {"timeout": WAIT_FOR_SQLITE_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings(), file_lock(file):
            # One worker makes the tables, the others find them.
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = WatchedDatabase(
                url,
                engine_kwargs=options,
                heartbeat_interval=beat_s,
                grace_period=lost_after_s,
                heartbeat_stale_trial_callback=when_lost,
            )
    except Exception as error:
        raise StudyStorageError(f"study-storage: {_without_password(url)}: {_first_line(error)}") from error
    return StudyStorage(storage, file)


class WatchedDatabase(RDBStorage):
    """Optuna's storage in a database, which also sees that a process of this machine has ended."""

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        assert self.grace_period is not None
        silent = {*super()._get_stale_trial_ids(study_id), *_without_a_worker(running, self.grace_period)}
        return sorted(silent | _ended_here(running))


class WatchedJournal(JournalStorage, BaseHeartbeat):
    """Optuna's storage in a journal file, with the heartbeat that Optuna has for databases only.

    Args:
        file: the journal. Processes that write at the same time wait for each other by Optuna's lock beside it.
        beat_s: seconds between two signs of life.
        lost_after_s: seconds without one after which a trial is taken for lost; clocks may differ by less than that.
        when_lost: called with each trial that was lost.
    """

    HEARTBEAT = "heartbeat"

    def __init__(self, file: Path, beat_s: int, lost_after_s: int, when_lost: WhenLost) -> None:
        super().__init__(JournalFileBackend(str(file)))
        self._beat_s, self._lost_after_s, self._when_lost = beat_s, lost_after_s, when_lost

    def record_heartbeat(self, trial_id: int) -> None:
        """A sign of life."""
        try:
            self.set_trial_system_attr(trial_id, self.HEARTBEAT, time.time())
        except UpdateFinishedTrialError:
            # Another worker took the trial for lost: the one that works on it learns so at its next report.
            return

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        oldest = time.time() - self._lost_after_s
        silent = {trial._trial_id for trial in running if trial.system_attrs.get(self.HEARTBEAT, oldest) < oldest}
        return sorted(silent | _without_a_worker(running, self._lost_after_s) | _ended_here(running))

    def get_heartbeat_interval(self) -> int:
        """Seconds between two signs of life."""
        return self._beat_s

    def get_heartbeat_stale_trial_callback(self) -> WhenLost:
        """What is called with each trial that was lost."""
        return self._when_lost


def _ended_here(running: list[FrozenTrial]) -> set[int]:
    return {trial._trial_id for trial in running if WORKER in trial.user_attrs and has_ended(trial.user_attrs[WORKER])}


def _without_a_worker(running: list[FrozenTrial], lost_after_s: int) -> set[int]:
    """Trials whose process ended between taking them and signing for them."""
    now = datetime.now()
    return {
        trial._trial_id
        for trial in running
        if WORKER not in trial.user_attrs
        and trial.datetime_start is not None
        and (now - trial.datetime_start).total_seconds() > lost_after_s
    }


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
