"""Work spread over processes that end with this one, whatever ends it."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType
from typing import TypeVar

from leadwise.contract import LeadwiseError

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Every processor has its process; none needs threads for a matrix product as well."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class ProcessDied(LeadwiseError):
    """A process that did part of the work is gone."""


def run_in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], processes: int, *, sizes: Sequence[int]
) -> list[Result]:
    """Apply a function of a module to every task, with a progress bar; the results in the order of the tasks.

    Args:
        function: it and its arguments and results must be such as can be sent to another process.
        tasks: its arguments.
        processes: how many; with 1 nothing is started.
        sizes: records of each task, for the progress bar.

    Raises:
        ProcessDied: a process was killed. What ``function`` raises is passed on.
    """
    from tqdm import tqdm

    results = []
    processes = min(processes, len(tasks))
    with tqdm(total=sum(sizes), desc="records", unit="rec", disable=None) as progress:
        if processes <= 1:
            for task, size in zip(tasks, sizes, strict=True):
                results.append(function(task))
                progress.update(size)
            return results
        with _pool(processes, function.__module__) as pool:
            try:
                with _environment(ONE_THREAD), _without_main():
                    waiting = pool.map(function, tasks)
                for result, size in zip(waiting, sizes, strict=True):
                    results.append(result)
                    progress.update(size)
            except BrokenProcessPool as error:
                raise ProcessDied(
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
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile; what was set by hand stays."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that know nothing of the program that runs here.

    By default each imports its main module again: MLflow takes seconds, and a script without a guard would begin its
    work anew in every process.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
