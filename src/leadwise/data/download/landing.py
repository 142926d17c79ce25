"""The folder that a tree arrives in: each file whole or not at all, whatever ends the process, whoever else writes."""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType

from leadwise.contract import LeadwiseError
from leadwise.data.download.published import SIMULATION_FILE

PREFIX = ".leadwise-download-"
"""Of the folder for files that are not whole yet: it lies in the tree, so that a rename moves them into place."""

_MARKS = ("SHA256SUMS.txt", "ptbxl_database.csv", "scp_statements.csv", "records100", "records500")
_HARMLESS = ("lost+found",)

_OF_ONE_FILE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG)
"""Something stands where one file belongs; after any other error, a full disk say, no other can be written either."""


class DownloadError(LeadwiseError):
    """The tree cannot be completed; the message says what is wrong, with which file, and how to go on."""


class NotPlaced(Exception):
    """One file cannot be written, others can."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Landing:
    """A tree's folder while files are put there: ``with Landing(dest) as landing: landing.place(name, content)``.

    Leftovers of calls that were killed are removed; those of a call that still runs are left alone.
    """

    def __init__(self, dest: Path) -> None:
        self.dest = Path(dest)
        self._numbers = count()
        self._beside: Path | None = None
        self._lock = -1
        self._new = False

    def __enter__(self) -> "Landing":
        _require_suitable(self.dest)
        try:
            self._new = not self.dest.exists()
            self.dest.mkdir(parents=True, exist_ok=True)
            for leftover in self.dest.glob(f"{PREFIX}*"):
                _remove_if_abandoned(leftover)
            self._beside, self._lock = _locked_folder(self.dest)
        except OSError as error:
            raise DownloadError(f"{self.dest}: cannot be written: {error.strerror or error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
            os.close(self._lock)
        if self._new:
            # Only an empty folder can be removed like this: nothing came.
            with suppress(OSError):
                self.dest.rmdir()

    def place(self, name: str, content: bytes) -> None:
        """Write a file of the tree: beside, then renamed.

        It is not forced to the disk: after a loss of power the next call finds by its checksum what did not get there.

        Raises:
            NotPlaced: something stands in this file's way.
            DownloadError: nothing can be written any more: the disk is full, say. Nothing of the file is left.
        """
        if self._beside is None:
            raise DownloadError(f"{self.dest}: closed, {name} is not written")
        beside = self._beside / str(next(self._numbers))
        target = self.dest / name
        try:
            beside.write_bytes(content)
            try:
                os.replace(beside, target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(beside, target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            if error.errno in _OF_ONE_FILE:
                raise NotPlaced(f"cannot be written: {error.strerror}") from error
            raise DownloadError(f"{target}: cannot be written: {error.strerror or error}") from error

    def require_same_kind(self, listed: Collection[str]) -> None:
        """Real and simulated records are never mixed.

        Raises:
            DownloadError: the folder holds a simulated tree, and what is to come is not simulated.
        """
        if SIMULATION_FILE not in listed and (self.dest / SIMULATION_FILE).exists():
            raise DownloadError(f"{self.dest}: holds a simulated tree; real records are never mixed with it")

    def require_space(self, sizes: Iterable[int]) -> None:
        """Compare what is to come with what is free.

        Raises:
            DownloadError: it does not fit.
        """
        needed, free = sum(sizes), shutil.disk_usage(self.dest).free
        if needed > free:
            raise DownloadError(
                f"{self.dest}: about {megabytes(needed)} are needed and {megabytes(free)} are free on its disk; "
                "nothing was fetched. Free some space, or name a folder on another disk"
            )


def megabytes(size: float) -> str:
    """A number of bytes as people read it (1 MB = 1,000,000 bytes)."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _require_suitable(dest: Path) -> None:
    """A folder that is new, empty or a PTB-XL tree: 43,600 files in the wrong place are a nuisance to remove."""
    try:
        present = sorted(entry.name for entry in dest.iterdir()) if dest.exists() else []
    except NotADirectoryError:
        raise DownloadError(f"{dest}: is no folder; name one that is empty or does not exist") from None
    except OSError as error:
        raise DownloadError(f"{dest}: cannot be read: {error.strerror or error}") from error
    others = [name for name in present if not name.startswith(".") and not name.endswith(".zip")]
    if not set(others) & set(_MARKS) and set(others) - set(_HARMLESS):
        raise DownloadError(
            f"{dest}: holds other files ({others[0]}) and no PTB-XL; name a folder that is empty or does not exist"
        )


def _locked_folder(dest: Path) -> tuple[Path, int]:
    """A new folder in the tree, and the open handle whose lock says that its owner lives."""
    while True:
        beside = Path(tempfile.mkdtemp(prefix=PREFIX, dir=dest))
        handle = os.open(beside, os.O_RDONLY)
        _lock(handle)
        # Another call may have removed it between its making and its locking.
        if beside.exists():
            return beside, handle
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the lock was had. The system gives it up when the process ends, however it ends."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_if_abandoned(leftover: Path) -> None:
    """Remove a folder of half files unless its owner still runs, which where locks do not work is assumed."""
    try:
        handle = os.open(leftover, os.O_RDONLY)
    except OSError:
        return
    try:
        if _lock(handle):
            shutil.rmtree(leftover, ignore_errors=True)
    finally:
        os.close(handle)
