"""All records of a tree, read by several processes into one ``signals.npy``, with a summary of each made on the way.

Every process holds one block of records at a time and writes it to its place in the file, so that memory stays flat.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import pandas as pd

from leadwise.contract import LEADS, LeadwiseError, StoredRate
from leadwise.datasets.releases import SUMS_FILE, sha256_of
from leadwise.datasets.store import SPLIT_FOLDS, SignalsFile, record_hash
from leadwise.datasets.waveforms import MissingWaveform, UnreadableRecord, read_record, samples_at
from leadwise.ecg.quality import quality_summary
from leadwise.terminal import progress

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Every processor has its process; none needs threads for a matrix product as well."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], processes: int, *, sizes: Sequence[int]
) -> list[Result]:
    """Apply a function of a module to every task; the results in the order of the tasks.

    Arguments and results must be such as can be sent to another process; with one process nothing is started. ``sizes``
    are the records of each task, for the progress bar.

    Raises:
        LeadwiseError: a process was killed. What ``function`` raises is passed on.
    """
    results = []
    processes = min(processes, len(tasks))
    with progress(sum(sizes), "records", "rec") as bar:
        if processes <= 1:
            for task, size in zip(tasks, sizes, strict=True):
                results.append(function(task))
                bar.update(size)
            return results
        with _pool(processes, function.__module__) as pool:
            try:
                with _starting():
                    waiting = pool.map(function, tasks)
                for result, size in zip(waiting, sizes, strict=True):
                    results.append(result)
                    bar.update(size)
            except BrokenProcessPool as error:
                raise LeadwiseError(
                    f"one of {processes} processes ended before its work was done; was it killed, or is memory short? "
                    "workers=1 does the work in one process"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return results


def _pool(processes: int, module: str) -> ProcessPoolExecutor:
    """Processes forked by a server that has imported one module and has no threads: safe, whatever this one has."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_the_parent)


def _end_with_the_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and do not wait for work from a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


@contextmanager
def _starting() -> Iterator[None]:
    """Start processes with ``ONE_THREAD``, where that is not set by hand, that know nothing of the program here.

    By default each imports its main module again: MLflow takes seconds, and a script without a guard would begin its
    work anew in every process.
    """
    main, added = sys.modules["__main__"], ONE_THREAD.keys() - os.environ.keys()
    os.environ.update({name: ONE_THREAD[name] for name in added})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in added:
            del os.environ[name]


BLOCK_RECORDS: Mapping[StoredRate, int] = {100: 125, 500: 25}
"""Records that a process holds at a time: 3 MB. The same for any number of processes, as the results are."""
RECORDS_PER_PROCESS = 1000
"""For fewer a further process takes longer to start than it saves."""

READ, WITHDRAWN_ABSENT, MISSING, UNREADABLE = "read", "withdrawn", "missing", "unreadable"
"""What became of a record: read; absent, as release 1.0.3 dropped it; absent; present but not to be trusted."""
SPLIT_OF_FOLD = {fold: name for name, folds in SPLIT_FOLDS.items() for fold in folds}


@dataclass(frozen=True)
class Reading:
    """What came of reading a tree.

    Attributes:
        summary: one row per row of the table: ``ecg_id``, ``filename``, ``status``, ``reason`` where it is not read,
            and for those that are the columns of ``quality_summary``, and ``same_as`` (an earlier record of the same
            samples).
        hashes: ``record_hash`` of every record that was read, in order.
        files: file below the tree -> SHA-256 of its bytes, of every file that could be read.
    """

    summary: pd.DataFrame
    hashes: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def is_read(self) -> np.ndarray:
        """``(row of the table,)`` bool."""
        return (self.summary["status"] == READ).to_numpy()

    def listed(self, *statuses: str) -> list[dict[str, object]]:
        """The records of a status, with the reason, as the manifest lists them."""
        rows = self.summary.loc[self.summary["status"].isin(statuses), ["ecg_id", "filename", "reason"]]
        return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


@dataclass(frozen=True)
class _Task:
    """One block of records, and where its signals go."""

    tree: Path
    filenames: tuple[str, ...]
    rate: StoredRate
    file: SignalsFile
    first: int


@dataclass(frozen=True)
class _Result:
    """What came of a block: per record status, reason, hash and files; a summary of those that were read."""

    outcomes: list[tuple[str, str | None]]
    hashes: list[str]
    files: list[dict[str, str]]
    summary: pd.DataFrame


def read_signals(
    tree: Path,
    ecg_ids: Sequence[int],
    filenames: Sequence[str],
    file: Path,
    *,
    rate: StoredRate = 100,
    workers: int = 1,
    withdrawn: Collection[int] = (),
    sums: Mapping[str, str] | None = None,
) -> Reading:
    """Read every record into one ``.npy`` file, ``(record, 10 * rate, 12)`` int16; what cannot be read is left out.

    Args:
        tree, ecg_ids, filenames: the records, and their paths below the tree, without extension.
        file: the ``.npy`` file to write.
        rate: sampling rate of the records in Hz.
        workers: processes that read; 1: this one; 0: as many as there are processors, if there is enough to read.
        withdrawn: ids of records that may be absent.
        sums: file below the tree -> SHA-256 that it must have, of those files for which that is known.

    Raises:
        LeadwiseError: a process was killed.
        SignalsFileError: the signals cannot be written, as the disk is full, say.
    """
    signals = SignalsFile(file, rate)
    step = BLOCK_RECORDS[rate]
    starts = range(0, len(filenames), step)
    tasks = [_Task(tree, tuple(filenames[start : start + step]), rate, signals, start) for start in starts]
    signals.create(len(filenames))
    processes = workers or max(1, min(len(os.sched_getaffinity(0)), len(filenames) // RECORDS_PER_PROCESS))
    results = run_in_processes(_read_block, tasks, processes, sizes=[len(task.filenames) for task in tasks])
    reading = _gathered(ecg_ids, filenames, results, withdrawn, sums or {})
    signals.keep(reading.is_read)
    return reading


def _read_block(task: _Task) -> _Result:
    """Read a block and write it to its place, records that cannot be trusted as well: they are closed up at the end."""
    out = np.zeros((len(task.filenames), samples_at(task.rate), len(LEADS)), dtype="<i2")
    outcomes: list[tuple[str, str | None]] = []
    hashes, files = [], []
    for row, filename in enumerate(task.filenames):
        contents: dict[str, bytes] = {}
        try:
            out[row] = read_record(task.tree / filename, task.rate, contents)
            outcomes.append((READ, None))
            hashes.append(record_hash(out[row]))
        except UnreadableRecord as problem:
            outcomes.append((MISSING if isinstance(problem, MissingWaveform) else UNREADABLE, problem.reason))
            hashes.append("")
        files.append(_file_hashes(task.tree, filename, contents))
    task.file.write(task.first, out)
    is_read = np.array([status == READ for status, _ in outcomes])
    # A summary of nothing has the columns of any other.
    measured = out if is_read.all() else out[is_read] if is_read.any() else np.zeros_like(out[:1])
    summary = quality_summary(measured, float(task.rate))
    return _Result(outcomes, hashes, files, summary.iloc[: int(is_read.sum())])


def _file_hashes(tree: Path, filename: str, contents: Mapping[str, bytes]) -> dict[str, str]:
    """File of a record below the tree -> SHA-256: of those that were read, and of its own two in any case."""
    folder = filename.rpartition("/")[0]
    found = {f"{folder}/{name}" if folder else name: sha256(content).hexdigest() for name, content in contents.items()}
    for name in (f"{filename}.hea", f"{filename}.dat"):
        if name not in found and (file := tree / name).is_file():
            # It has been named as unreadable already.
            with suppress(OSError):
                found[name] = sha256_of(file)
    return found


def _gathered(
    ecg_ids: Sequence[int],
    filenames: Sequence[str],
    results: Sequence[_Result],
    withdrawn: Collection[int],
    sums: Mapping[str, str],
) -> Reading:
    """Put the blocks together; a file that is not the one that was listed makes its record unreadable."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    hashes = [samples for result in results for samples in result.hashes]
    files = [files for result in results for files in result.files]
    was_read = [status == READ for status, _ in outcomes]
    for row, ecg_id in enumerate(ecg_ids):
        status, reason = outcomes[row]
        if status == MISSING and ecg_id in withdrawn:
            outcomes[row] = (WITHDRAWN_ABSENT, reason)
        elif differing := [name for name, found in files[row].items() if sums.get(name, found) != found]:
            names = " and ".join(name.rpartition("/")[2] for name in differing)
            why = f"{names} differ{'s' if len(differing) == 1 else ''} from {SUMS_FILE}"
            outcomes[row] = (MISSING if status == MISSING else UNREADABLE, f"{reason}; {why}" if reason else why)
    summary = pd.DataFrame(outcomes, columns=["status", "reason"], dtype=object)
    summary.insert(0, "ecg_id", list(ecg_ids))
    summary.insert(1, "filename", list(filenames))
    measured = pd.concat([result.summary for result in results], ignore_index=True)
    measured.index = summary.index[was_read]
    is_read = (summary["status"] == READ).to_numpy()
    measured = measured[is_read[was_read]]
    kept = [samples for samples, keep in zip(hashes, is_read, strict=True) if keep]
    ids = pd.Series(summary.loc[is_read, "ecg_id"].to_numpy(), index=kept)
    earlier = ids.groupby(level=0).transform("first")
    # The id of an earlier record of the same samples.
    measured["same_as"] = earlier.where(earlier != ids).to_numpy(dtype=float)
    return Reading(summary.join(measured), tuple(kept), {name: sha for found in files for name, sha in found.items()})


def signal_frame(summary: pd.DataFrame, folds: pd.Series) -> pd.DataFrame:
    """``Reading.summary`` as validation looks at it; a record that should have been read shows why not.

    ``folds`` are the records' by ``ecg_id``. ``same_as_elsewhere`` names the earlier record of the same samples where
    it is of another split.
    """
    frame = summary.drop(columns=["ecg_id", "filename", "reason"])
    frame.insert(0, "record", "ecg_id " + summary["ecg_id"].astype(str))
    for name in frame.columns.intersection(["flat_leads", "clipped_leads", "limb_reversal", "chest_reversal"]):
        frame[name] = frame[name].astype(object).where(frame[name].fillna("") != "", None)
    frame["status"] = [
        status if status in (READ, WITHDRAWN_ABSENT) else f"{status}: {reason}"
        for status, reason in zip(summary["status"], summary["reason"], strict=True)
    ]
    splits = folds.map(SPLIT_OF_FOLD).to_dict()
    pairs = list(zip(summary["ecg_id"], frame.pop("same_as"), strict=True))
    frame["same_as"] = pd.Series([f"ecg_id {same:.0f}" if same > 0 else None for _, same in pairs], dtype=object)
    frame["same_as_elsewhere"] = pd.Series(
        [
            f"ecg_id {same:.0f} ({splits[same]})" if same > 0 and splits[same] != splits[own] else None
            for own, same in pairs
        ],
        dtype=object,
    )
    return frame
