"""How far a long piece of work is: a bar on a terminal; elsewhere, a log file say, a line now and then."""

import sys
import time
from types import TracebackType

LINE_EVERY_S = 30.0


class Progress:
    """Files done of a known number, and megabytes per second, on standard error.

    Args:
        what: a word in front, such as ``fetching``.
        total: number of files.
        line_every_s: where there is no terminal.
    """

    def __init__(self, what: str, total: int, *, line_every_s: float = LINE_EVERY_S) -> None:
        from tqdm import tqdm

        self._what, self._total, self._line_every_s = what, total, line_every_s
        self._files = self._bytes = 0
        self._started = self._last_line = time.monotonic()
        # disable=None: no bar where standard error is no terminal.
        self._bar = tqdm(total=total, desc=what, unit="file", disable=None, smoothing=0.1)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, files: int, size: int = 0) -> None:
        """So many more files, of so many bytes, are done."""
        self._files += files
        self._bytes += size
        now = time.monotonic()
        if not self._bar.disable:
            if self._bytes:
                self._bar.set_postfix_str(self._rate(now), refresh=False)
            self._bar.update(files)
        elif now - self._last_line >= self._line_every_s:
            self._last_line = now
            rate = f", {self._rate(now)}" if self._bytes else ""
            print(f"{self._what}: {self._files:,} of {self._total:,} files{rate}", file=sys.stderr, flush=True)

    def _rate(self, now: float) -> str:
        return f"{self._bytes / 1e6 / max(now - self._started, 1e-3):.1f} MB/s"


def note(text: str) -> None:
    """Say something on standard error beside whatever bar is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
