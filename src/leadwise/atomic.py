"""Outputs that are whole or as they were before: write beside, then rename. What killed runs left is cleared away.

Whatever is being written holds a lock (flock), which ends with its process however that ends: so the next run can tell
what a killed one left from what another is still writing. Where a file system knows no such locks nothing is cleared.
"""

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leadwise.disk import naming

PARTIAL = ".partial-"
"""In the names of what is being written: ``.store.partial-x1y2z3a4`` becomes ``store``."""


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write beside, then rename: the file is whole or as it was before, and errors of the disk name it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    beside, held = _begin_file(file)
    try:
        with naming(file, beside):
            with os.fdopen(held, "r+b", closefd=False) as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(held)


@contextmanager
def folder_written_atomically(folder: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a folder beside ``folder`` that takes its place when the block ends without an error.

    A folder that stood there before is replaced as a whole, by two renames with a moment between them in which there is
    none; after an error it is as it was. Errors of the disk name the folder, or what was to lie in it, and not the
    folder beside.

    Args:
        folder: the folder to write; if it is a link, the folder that it points to.
        durable: wait until everything is on the disk first, so that the same holds when the power fails.
    """
    folder = Path(os.path.realpath(folder)) if folder.is_symlink() else folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside, held = _begin_folder(folder)
    try:
        with naming(folder, beside):
            yield beside
            if durable:
                _wait_for_the_disk(beside)
        retired = _new_name(folder)
        if folder.exists():
            os.replace(folder, retired)
        try:
            os.replace(beside, folder)
        except BaseException:
            if retired.exists():
                os.replace(retired, folder)
            raise
        shutil.rmtree(retired, ignore_errors=True)
        if durable:
            _fsync(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(held)


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a folder in ``parent`` for files that are not whole yet; after the block, or a kill, it goes."""
    beside, held = _begin_folder(parent / name)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(held)


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder among the temporary files, for this user only, removed after the block.

    Args:
        name: what it is for; those of the same name that runs which were killed have left are removed first.
    """
    folder, held = _begin_folder(_temporary(name), 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def clear_temporary_folders() -> list[Path]:
    """Remove every ``temporary_folder`` that a run which was killed has left.

    Returns:
        Those that were removed.
    """
    pattern = _temporary("*")
    return _remove_unlocked(pattern.parent.glob(f"{_prefix(pattern)}*"))


@contextmanager
def file_lock(target: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock beside ``target``; whoever comes second waits, after calling ``waiting``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    file = target.parent / f".{target.name}.lock"
    with naming(target, file):
        held = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _lock(held, waiting)
        while not _is_at(file, held):
            # The one before has removed the file that was waited for.
            os.close(held)
            held = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _lock(held, waiting)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(held)


def _prefix(target: Path) -> str:
    return f".{target.name}{PARTIAL}"


def _new_name(target: Path) -> Path:
    return target.parent / f"{_prefix(target)}{secrets.token_hex(4)}"


def _begin_file(target: Path) -> tuple[Path, int]:
    """A new locked file beside ``target``, open for reading and writing."""
    _clear_leftovers(target)
    while True:
        beside = _new_name(target)
        with naming(target, beside):
            # Not mkstemp, whose files nobody else may read, whatever the umask says.
            held = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        _lock(held)
        if _is_at(beside, held):
            return beside, held
        os.close(held)


def _begin_folder(target: Path, mode: int = 0o777) -> tuple[Path, int]:
    """A new locked folder beside ``target``, and what holds its lock."""
    _clear_leftovers(target)
    while True:
        beside = _new_name(target)
        with naming(target, beside):
            beside.mkdir(mode)
        # Between the two steps another run may take it for a leftover, and clear it away.
        with suppress(FileNotFoundError):
            held = os.open(beside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _lock(held)
            if _is_at(beside, held):
                return beside, held
            os.close(held)


def _temporary(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"leadwise-{name}"


def _clear_leftovers(target: Path) -> None:
    """Remove what runs that were killed have left beside ``target``; what is still being written is locked."""
    _remove_unlocked(target.parent.glob(f"{glob.escape(_prefix(target))}*"))


def _remove_unlocked(paths: Iterable[Path]) -> list[Path]:
    removed = []
    for path in paths:
        with suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
                removed.append(path)
            finally:
                os.close(held)
    return removed


def _lock(held: int, waiting: Callable[[], object] = lambda: None) -> None:
    """Lock an open file or folder, unless the file system has no locks."""
    with suppress(OSError):
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(held, fcntl.LOCK_EX)


def _is_at(path: Path, held: int) -> bool:
    """Whether an open file or folder is the one that now stands at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(held))
    except FileNotFoundError:
        return False


def _wait_for_the_disk(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _fsync(Path(parent, name))
        _fsync(Path(parent))


def _fsync(path: Path) -> None:
    held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
