"""Errors in one line that a user can act on, whoever raised them.

A disk that refuses: which file, why, and how much is free there. A package that is not installed: which extra has it.
"""

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from leadwise.contract import LeadwiseError

WITHOUT_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITTEN = (*WITHOUT_ROOM, errno.EFBIG, errno.EROFS)
"""Errors that only writing gives."""
REFUSED = (
    *NOT_WRITTEN, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
    errno.EMFILE, errno.ENFILE, errno.ESTALE,
)  # fmt: skip
"""What a user can act on. A file that is not there is none of them: that is asked before, or is a defect."""
SQLITE_REFUSED = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM
)  # fmt: skip

DISTRIBUTIONS = {"pil": "pillow", "sklearn": "scikit-learn", "alembic": "mlflow", "flask": "mlflow"}
"""Where a module has another name than what installs it."""

SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says when not all of an array could be written, and not why."""


def refusal(error: BaseException, data_base: str = "") -> str | None:
    """One line on what ended the work; ``None`` where that is nothing a user can act on, but a defect.

    It is an error of ours, a package that is not there, or the disk's error that another one is, or comes from.
    Libraries wrap what the system says, and some follow it with an error of their own: of all that is chained, the
    first that names a file counts, or else the first.

    Args:
        error: what ended the work.
        data_base: what to call a data base in SQLite, whose errors do not name it.
    """
    if isinstance(error, LeadwiseError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return missing_extra(error) or None
    found = [each for each in chain(error) if isinstance(each, OSError) and _is_refused(each)]
    if found:
        told = next((each for each in found if _file_of(each)), found[0])
        file = _file_of(told)
        reason = os.strerror(told.errno) if told.errno else told.strerror or str(told)
        room = f"; {_free(file)}" if file and told.errno in (*WITHOUT_ROOM, None) else ""
        return f"{file or 'a file that the system does not name'}: {reason}{room}"
    for each in chain(error):
        # The lower byte is the kind of error, the others say more of it.
        code = getattr(each, "sqlite_errorcode", 0) & 0xFF if isinstance(each, sqlite3.Error) else 0
        if code in SQLITE_REFUSED:
            file = data_base.removeprefix("sqlite:///")
            room = f"; {_free(file)}" if file and code == sqlite3.SQLITE_FULL else ""
            return f"{file or 'a data base in SQLite'}: {each}{room}"
    return None


@contextmanager
def naming(file: Path, beside: Path | None = None) -> Iterator[None]:
    """Let the disk's errors that arise inside name a file.

    Args:
        file: what is being written; writing, unlike opening, does not say which file it was.
        beside: how the path begins at which it lies until it is whole, a name that nobody knows.
    """
    try:
        yield
    except Exception as error:
        for each in chain(error):
            if isinstance(each, OSError) and _is_refused(each):
                if each.filename is None and each.errno in (*NOT_WRITTEN, None):
                    each.filename, each.strerror = str(file), each.strerror or str(each)
                for attribute in ("filename", "filename2"):
                    name = getattr(each, attribute)
                    if beside is not None and isinstance(name, str) and name.startswith(str(beside)):
                        _, inside, below = name.removeprefix(str(beside)).partition("/")
                        setattr(each, attribute, f"{file}{inside}{below}")
        raise


def missing_extra(error: ImportError) -> str:
    """``needs leadwise[app]: pip install 'leadwise[app]'``; empty where no extra brings what was not found.

    ``pip install leadwise`` has what scoring needs.
    """
    module = (error.name or "").partition(".")[0].lower()
    name = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    try:
        asked = requires("leadwise") or []
    except PackageNotFoundError:
        return ""
    for requirement in asked:
        if re.match(rf"{re.escape(name)}\b(?!-)", requirement, re.IGNORECASE) and (
            extra := re.search(r"""extra == ['"]([a-z]+)""", requirement)
        ):
            return f"needs leadwise[{extra[1]}]: pip install 'leadwise[{extra[1]}]'"
    return ""


def _is_refused(error: OSError) -> bool:
    return error.errno in REFUSED or (error.errno is None and SHORT_WRITE.search(str(error)) is not None)


def _file_of(error: OSError) -> str:
    """The file that could not be written, where the error knows: of a copy the second."""
    copied = error.errno in NOT_WRITTEN and error.filename2 is not None
    name = error.filename2 if copied else error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes) else ""


def _free(file: str) -> str:
    """What is free where a file would lie, once what was half written is cleared away."""
    place = Path(file).absolute()
    while not place.exists():
        place = place.parent
    return f"{shutil.disk_usage(place).free / 1e6:,.1f} MB are free there now"


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that it comes from."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [origin for origin in (each.__context__, each.__cause__) if origin is not None]
