"""Many small waits at a time in threads that never keep the program from ending."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

GRACE_S = 1.0


class Workers:
    """Threads that do one piece of work after another: ``with Workers(...) as workers: for ... in workers.results()``.

    Unlike those of ``concurrent.futures`` they are not waited for when the program ends: one that hangs in a
    connection does not delay Ctrl-C.

    Args:
        names: what to work on, in this order.
        work: called with a name, in a thread.
        jobs: number of threads.
        stop: called at the end, whatever the reason, so that work that waits gives up.
    """

    def __init__(
        self, names: Iterable[str], work: Callable[[str], int], jobs: int, *, stop: Callable[[], object]
    ) -> None:
        self._names, self._work, self._stop = list(names), work, stop
        self._todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, int | BaseException]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"download-{number}", daemon=True)
            for number in range(min(jobs, len(self._names)))
        ]

    def __enter__(self) -> "Workers":
        for name in self._names:
            self._todo.put(name)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._stop()
        until = time.monotonic() + GRACE_S
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def results(self) -> Iterator[tuple[str, int | BaseException]]:
        """Each name once, as it gets done, with what ``work`` returned or raised."""
        for _ in self._names:
            yield self._done.get()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                name = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._done.put((name, self._work(name)))
            except BaseException as error:
                self._done.put((name, error))
