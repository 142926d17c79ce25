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

from leadwise.errors import naming

PARTIAL = ".partial-"
"""In the names of what is being written: ``.store.partial-x1y2z3a4`` becomes ``store``."""
REPLACED = ".replaced-"
"""In the name of a folder that gives way to another one; it is put back if that never came."""


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write beside, then rename: the file is whole or as it was before, and errors of the disk name it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    beside, held = _begin(file)
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

    A folder that stood there before is replaced as a whole; after an error it is as it was. That takes two renames:
    where a process is killed between them, ``put_back``, or the next that writes this folder, puts back the one before.
    Errors of the disk name the folder, or what was to lie in it, and not the folder beside.

    Args:
        folder: the folder to write; if it is a link, the folder that it points to.
        durable: wait until everything is on the disk first, so that the same holds when the power fails.
    """
    folder = Path(os.path.realpath(folder)) if folder.is_symlink() else folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    put_back(folder)
    beside, held = _begin(folder, folder_mode=0o777)
    try:
        with naming(folder, beside):
            yield beside
            for parent, _, names in os.walk(beside) if durable else ():
                for name in (*names, "."):
                    _fsync(Path(parent, name))
        with _giving_way(folder):
            os.replace(beside, folder)
        if durable:
            _fsync(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(held)


def put_back(folder: Path) -> None:
    """Put back a folder that gave way to another one that never came, as the process was killed between the two."""
    folder = Path(os.path.realpath(folder)) if folder.is_symlink() else folder
    for replaced in _unlocked(_beside(folder, REPLACED)):
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            with suppress(OSError):
                os.replace(replaced, folder)


@contextmanager
def temporary_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed after the block; those of the same name that killed runs have left are removed first.

    Without a ``parent`` it lies among the temporary files, for this user only.
    """
    target, mode = (_temporary(name), 0o700) if parent is None else (parent / name, 0o777)
    folder, held = _begin(target, folder_mode=mode)
    try:
        yield folder
    finally:
        # Under its name a thread that was left behind could go on writing, and the folder would stay.
        with suppress(OSError):
            folder = folder.replace(folder.with_name(f"{folder.name}-gone"))
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def clear_temporary_folders() -> list[Path]:
    """Remove, and return, every ``temporary_folder`` among the temporary files that a killed run has left."""
    pattern = _temporary("*")
    return _remove_unlocked(pattern.parent.glob(f".{pattern.name}{PARTIAL}*"))


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


def _beside(target: Path, kind: str) -> list[Path]:
    return list(target.parent.glob(f".{glob.escape(target.name)}{kind}*"))


def _new_name(target: Path, kind: str) -> Path:
    return target.parent / f".{target.name}{kind}{secrets.token_hex(4)}"


def _begin(target: Path, *, folder_mode: int | None = None) -> tuple[Path, int]:
    """A new locked file, open for reading and writing, or folder beside ``target``, and what holds its lock."""
    _remove_unlocked(_beside(target, PARTIAL))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if folder_mode is None else os.O_RDONLY | os.O_DIRECTORY
    while True:
        beside = _new_name(target, PARTIAL)
        with naming(target, beside):
            if folder_mode is not None:
                beside.mkdir(folder_mode)
            try:
                # Not mkstemp, whose files nobody else may read, whatever the umask says.
                held = os.open(beside, flags | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                if folder_mode is None:
                    raise
                # Between the two steps another run has taken it for a leftover, and cleared it away.
                continue
        _lock(held)
        if _is_at(beside, held):
            return beside, held
        os.close(held)


@contextmanager
def _giving_way(folder: Path) -> Iterator[None]:
    """Move a folder aside, locked so that nobody puts it back meanwhile; remove it, or after an error put it back."""
    if not folder.exists():
        yield
        return
    replaced = _new_name(folder, REPLACED)
    held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(held)
        os.replace(folder, replaced)
        try:
            yield
        except BaseException:
            os.replace(replaced, folder)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        os.close(held)


def _temporary(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"leadwise-{name}"


def _unlocked(paths: Iterable[Path]) -> Iterator[Path]:
    """Those of some files and folders that no living process holds, each locked while it is yielded."""
    for path in paths:
        with suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(held)


def _remove_unlocked(paths: Iterable[Path]) -> list[Path]:
    removed = []
    for path in _unlocked(paths):
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
            removed.append(path)
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


def _fsync(path: Path) -> None:
    held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
