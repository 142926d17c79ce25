"""What a person reads of a stage: its own lines on the terminal; what libraries say goes to a file."""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

LOGS_FOLDER = "logs"
"""In the workspace: a file for each stage with what libraries have said."""
STANDARD_ERROR = 2


_shown: list[TextIO] = []
"""Standard error as the person sees it, while the lines of libraries go elsewhere; a process has one."""


def terminal() -> TextIO:
    """Standard error as the person sees it, wherever the lines of libraries go."""
    return _shown[-1] if _shown else sys.stderr


def say(text: str) -> None:
    """Print a line at once, beside whatever progress bar is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def progress(total: int, what: str, unit: str) -> "tqdm[Any]":
    """A progress bar on the terminal, which vanishes when it is closed; nothing where standard error is no terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit, disable=None, leave=False, file=terminal())


@dataclass(frozen=True)
class Log:
    """What libraries have said since a moment.

    Attributes:
        file: where it is kept; ``None``: it could not be written, and everything goes to the terminal.
        start: of this moment's part, in bytes.
    """

    file: Path | None
    start: int = 0

    def text(self) -> str:
        """What was added since then."""
        if self.file is None:
            return ""
        with self.file.open("rb") as stream:
            stream.seek(self.start)
            return stream.read().decode(errors="replace")


@contextmanager
def libraries_into(file: Path | None, *, programs_too: bool) -> Iterator[Log]:
    """Append to a file what libraries write to standard error; ``terminal()`` still leads to the person.

    Where it is for what comes from below Python, it is so again when the interpreter ends, after the program's last
    line: TensorFlow's threads may warn that there is no Python any more.

    Args:
        file: the log; ``None``: everything goes to the terminal.
        programs_too: also what comes from below Python (TensorFlow's C++ code) and from programs that are started.
    """
    if file is None:
        yield Log(None)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a", buffering=1, encoding="utf-8")
    except OSError:
        # Whether the workspace can be written is told by who needs it.
        yield Log(None)
        return
    with stream:
        stream.write(f"== {datetime.now().astimezone().isoformat(timespec='seconds')} {' '.join(sys.argv)}\n")
        log = Log(file, stream.tell())
        if programs_too:
            atexit.register(_lead_to, file.absolute())
        with _standard_error(stream, programs_too=programs_too):
            yield log


def _lead_to(file: Path) -> None:
    with suppress(OSError), file.open("a") as stream:
        os.dup2(stream.fileno(), STANDARD_ERROR)


@contextmanager
def _standard_error(stream: TextIO, *, programs_too: bool) -> Iterator[None]:
    """Lead Python's standard error to a stream, and if asked for that of the process below it."""
    before = sys.stderr
    before.flush()
    with ExitStack() as stack:
        shown = before
        if programs_too:
            kept = os.dup(STANDARD_ERROR)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, STANDARD_ERROR)
            os.dup2(stream.fileno(), STANDARD_ERROR)
            stack.callback(_flush, before)
        if programs_too and _is_standard_error(before):
            # It stays, as log handlers hold on to it: what they write goes where the descriptor leads.
            shown = stack.enter_context(os.fdopen(os.dup(kept), "w", buffering=1, errors="backslashreplace"))
        else:
            stack.enter_context(redirect_stderr(stream))
        _shown.append(shown)
        stack.callback(_shown.pop)
        yield


def _flush(stream: TextIO) -> None:
    """What is still held back."""
    with suppress(OSError):
        stream.flush()


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == STANDARD_ERROR
    except (OSError, ValueError):
        return False
