"""``SHA256SUMS.txt``, the list that PhysioNet publishes with every data set: read it, and check files against it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Literal

from leadwise.contract import LeadwiseError

LONGEST = 255
"""Characters of a whole path: PTB-XL's have 30."""


def path_problem(name: str) -> str | None:
    """What is wrong with a name that should be a plain relative path with ``/`` between its parts; None if nothing is.

    The answer is the same on every operating system, so that what one accepts cannot leave the folder on another.
    """
    if not name or name.strip() != name:
        return "is empty, or begins or ends with a space"
    if len(name) > LONGEST:
        return f"has {len(name):,} characters; allowed: {LONGEST}"
    if not name.isprintable():
        return "holds a control character"
    if "\\" in name or ":" in name:
        return "holds a backslash or a colon (a path or a drive of Windows)"
    if name[0] in "/~":
        return "is absolute or begins with ~"
    parts = name.split("/")
    if ".." in parts:
        return "leaves the folder (..)"
    if "" in parts or "." in parts:
        return "has an empty part or one that is a dot"
    return None


def shortened(name: str, most: int = 80) -> str:
    """A foreign text as a message may show it: quoted, control characters escaped, never long."""
    return repr(name if len(name) <= most else f"{name[: most - 3]}...")


MOST_BYTES = 64 * 2**20
"""PTB-XL's list with the 500 Hz records has 9 MB."""

FileState = Literal["whole", "damaged", "absent"]
"""A file against its checksum: right; there, but with another content; not there as a regular file."""

# PhysioNet writes one space; `sha256sum` writes two, or a space and a `*` (binary), and `./` when `find` named it.
_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *]?(?:\./)?(.+)", re.DOTALL)
_BATCH = 256


class ChecksumError(LeadwiseError):
    """A checksum list is absent or is none; the message names the file and the line."""


def read_sha256sums(file: Path) -> dict[str, str]:
    """Read a list of SHA-256 sums.

    Args:
        file: lines of ``<64 hexadecimal digits> <path>``, as PhysioNet and ``sha256sum`` write them; a byte order
            mark, CRLF and blank lines are tolerated.

    Returns:
        Path relative to the list's folder, with ``/`` between its parts -> sum in lower case, in the list's order.

    Raises:
        ChecksumError: the file cannot be read, a line is no such line, a path leaves the folder, one path has two
            different sums, or nothing is listed.
    """
    try:
        with Path(file).open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ChecksumError(f"{file}: cannot be read: {error.strerror or error}") from error
    return parse_sha256sums(raw, str(file))


def parse_sha256sums(raw: bytes, where: str) -> dict[str, str]:
    """Parse the content of a list of SHA-256 sums; ``where`` names it in messages. See ``read_sha256sums``."""
    if len(raw) > MOST_BYTES:
        raise ChecksumError(f"{where}: has more than {MOST_BYTES:,} bytes; a list of SHA-256 sums is expected")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise ChecksumError(f"{where}: line {number} is not UTF-8 text; a list of SHA-256 sums is expected") from None
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line in ("", "\r"):
            continue
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found is None:
            raise ChecksumError(
                f"{where}: line {number}: received {shortened(line)}; expected 64 hexadecimal digits, a space, a path"
            )
        digest, name = found[1].lower(), found[2]
        if problem := path_problem(name):
            raise ChecksumError(f"{where}: line {number}: the path {shortened(name)} {problem}")
        if sums.setdefault(name, digest) != digest:
            raise ChecksumError(f"{where}: line {number}: a second, different sum of {shortened(name)}")
    if not sums:
        raise ChecksumError(f"{where}: lists no file; lines of a SHA-256 sum and a path are expected")
    return sums


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content in lower-case hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(file).open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_problem(content: bytes, digest: str) -> str | None:
    """What is wrong with a content that should have this SHA-256; None if it has."""
    found = hashlib.sha256(content).hexdigest()
    if found == digest:
        return None
    return f"wrong content: {len(content):,} bytes with SHA-256 {found[:12]}..., listed is {digest[:12]}..."


def check_files(
    tree: Path, sums: Mapping[str, str], *, progress: Callable[[int], object] = lambda files: None
) -> dict[str, FileState]:
    """Check files against their sums, several at a time.

    Args:
        tree: the folder that the paths start from.
        sums: path relative to ``tree`` -> SHA-256.
        progress: told how many more have been checked.

    Returns:
        The state of each path, in the order of ``sums``. A file that cannot be read counts as damaged.
    """
    states: dict[str, FileState] = {}
    with ThreadPool() as pool:
        checked = pool.imap(lambda listed: (listed[0], _state(tree / listed[0], listed[1])), sums.items(), _BATCH)
        for name, state in checked:
            states[name] = state
            progress(1)
    return states


def _state(file: Path, digest: str) -> FileState:
    try:
        if not file.is_file():
            return "absent"
        return "whole" if sha256_of(file) == digest else "damaged"
    except OSError:
        return "damaged"
