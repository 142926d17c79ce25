"""What PhysioNet publishes as PTB-XL: releases, addresses, files and their sums, the 71 statements, the citation.

Imports nothing that takes time, so that the command line can show it at once. Groups and superclasses of statements are
those of ``scp_statements.csv`` (Wagner et al., Scientific Data 2020, 7:154): diagnoses, forms of the waves, rhythms.
Four statements count as both diagnosis and form; they stand among the diagnoses.
"""

import csv
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from leadwise.contract import STATEMENTS, LeadwiseError

RELEASES: Mapping[str, Mapping[str, int]] = {
    "1.0.3": {
        "rows": 21_799, "patients": 18_869,
        "NORM": 9_514, "MI": 5_469, "STTC": 5_235, "CD": 4_898, "HYP": 2_649, "unlabelled": 411,
    },
    "1.0.1": {
        "rows": 21_837, "patients": 18_885,
        "NORM": 9_528, "MI": 5_486, "STTC": 5_250, "CD": 4_907, "HYP": 2_655, "unlabelled": 407,
    },
}  # fmt: skip
"""Release -> what is counted over all rows of its table, newest first."""

RATES_HZ: tuple[int, ...] = (100, 500)

SOURCES: tuple[str, ...] = (
    "https://physionet.org/files/ptb-xl/{release}/",
    "https://physionet-open.s3.amazonaws.com/ptb-xl/{release}/",
)
"""PhysioNet, then its public mirror on S3: each a folder that holds ``SHA256SUMS.txt`` and the files listed there."""

SUMS_FILE = "SHA256SUMS.txt"
REQUIRED_TABLES: tuple[str, ...] = ("ptbxl_database.csv", "scp_statements.csv")
SIMULATION_FILE = "simulation.json"
"""Marks a tree as simulated."""
ALSO_WANTED: tuple[str, ...] = ("LICENSE.txt", SIMULATION_FILE)
"""Fetched where they are listed: the licence, and the mark of a tree that is simulated, which must not get lost."""

LICENCE = "Creative Commons Attribution 4.0 (CC BY 4.0)"

CITATIONS: dict[str, str] = {
    "1.0.3": "Wagner, P., Strodthoff, N., Bousseljot, R., Samek, W., Schaeffter, T. (2022). PTB-XL, a large publicly "
    "available electrocardiography dataset (version 1.0.3). PhysioNet. doi:10.13026/kfzx-aw45",
    "1.0.1": "Wagner, P., Strodthoff, N., Bousseljot, R., Samek, W., Schaeffter, T. (2020). PTB-XL, a large publicly "
    "available electrocardiography dataset (version 1.0.1). PhysioNet. doi:10.13026/x4td-x982",
}
PAPERS: tuple[str, ...] = (
    "Wagner, P. et al. (2020). PTB-XL, a large publicly available electrocardiography dataset. Scientific Data 7:154. "
    "doi:10.1038/s41597-020-0495-6",
    "Goldberger, A. et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220.",
)


def needed_files(listed: Collection[str], rate_hz: int) -> list[str]:
    """Which of the listed files Leadwise reads: the tables and the licence first, then the records of one rate."""
    tables = [name for name in (*REQUIRED_TABLES, *ALSO_WANTED) if name in listed]
    return tables + sorted(name for name in listed if name.startswith(f"records{rate_hz}/"))


def listing_problem(listed: Collection[str], rate_hz: int, release: str | None) -> str | None:
    """Why a list of checksums is not that of PTB-XL at this rate (and of this release, if one is named)."""
    if absent := [name for name in REQUIRED_TABLES if name not in listed]:
        return f"lists no {' and no '.join(absent)}"
    records = sum(name.endswith(".hea") for name in needed_files(listed, rate_hz))
    if not records:
        return f"lists no record in records{rate_hz}/"
    other = next((name for name, counts in RELEASES.items() if counts["rows"] == records), release)
    if release and other != release:
        return f"lists the {records:,} records of release {other}, not of {release}"
    return None


def expected_size(name: str) -> int:
    """Bytes that a file takes on a disk, known from its place: signals have one length, headers fill one block."""
    if name.endswith(".hea"):
        return 4096
    if name.endswith(".dat"):
        return 122_880 if name.startswith("records500/") else 24_576
    return 8 * 2**20 if name == "ptbxl_database.csv" else 65_536


Group = Literal["diagnostic", "form", "rhythm"]
GROUPS: tuple[Group, ...] = get_args(Group)
ALSO_FORM = frozenset({"NDT", "NST_", "DIG", "LNGQT"})
"""Diagnoses that are forms as well."""


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement: its code as PTB-XL writes it, its name in plain English, the group where it is listed.

    Only a diagnosis has a superclass and a subclass. About ``per_10000`` of 10,000 PTB-XL records carry it.
    """

    code: str
    name: str
    group: Group
    superclass: str
    subclass: str
    per_10000: int

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that it belongs to; the tasks of Strodthoff et al. 2021 count so: 44, 19 and 12 statements."""
        return (self.group, "form") if self.code in ALSO_FORM else (self.group,)


with Path(__file__).with_name("statements.csv").open(encoding="utf-8", newline="") as _stream:
    _rows: list[dict[str, Any]] = list(csv.DictReader(_stream))
STATEMENT_BY_CODE = {row["code"]: Statement(**row | {"per_10000": int(row["per_10000"])}) for row in _rows}
STATEMENT_TABLE: tuple[Statement, ...] = tuple(STATEMENT_BY_CODE[code] for code in STATEMENTS)
"""All of them in the order of ``STATEMENTS``."""


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


def shortened(name: str) -> str:
    """A foreign text as a message may show it: quoted, control characters escaped, never long."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


MOST_BYTES = 64 * 2**20
"""PTB-XL's list with the 500 Hz records has 9 MB."""

FileState = Literal["whole", "damaged", "absent"]
"""A file against its checksum: right; there, but with another content; not there as a regular file."""

# PhysioNet writes one space; `sha256sum` writes two, or a space and a `*` (binary), and `./` when `find` named it.
_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *]?(?:\./)?(.+)", re.DOTALL)
_BATCH = 256


def read_sha256sums(file: Path) -> dict[str, str]:
    """Read a list of SHA-256 sums.

    Args:
        file: lines of ``<64 hexadecimal digits> <path>``, as PhysioNet and ``sha256sum`` write them; a byte order
            mark, CRLF and blank lines are tolerated.

    Returns:
        Path relative to the list's folder, with ``/`` between its parts -> sum in lower case, in the list's order.

    Raises:
        LeadwiseError: the file cannot be read, a line is no such line, a path leaves the folder, one path has two
            different sums, or nothing is listed.
    """
    try:
        with Path(file).open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise LeadwiseError(f"{file}: cannot be read: {error.strerror or error}") from error
    return parse_sha256sums(raw, str(file))


def parse_sha256sums(raw: bytes, where: str) -> dict[str, str]:
    """Parse the content of a list of SHA-256 sums; ``where`` names it in messages. See ``read_sha256sums``."""
    if len(raw) > MOST_BYTES:
        raise LeadwiseError(f"{where}: has more than {MOST_BYTES:,} bytes; a list of SHA-256 sums is expected")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise LeadwiseError(f"{where}: line {number} is not UTF-8 text; a list of SHA-256 sums is expected") from None
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line in ("", "\r"):
            continue
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found is None:
            raise LeadwiseError(
                f"{where}: line {number}: received {shortened(line)}; expected 64 hexadecimal digits, a space, a path"
            )
        digest, name = found[1].lower(), found[2]
        if problem := path_problem(name):
            raise LeadwiseError(f"{where}: line {number}: the path {shortened(name)} {problem}")
        if sums.setdefault(name, digest) != digest:
            raise LeadwiseError(f"{where}: line {number}: a second, different sum of {shortened(name)}")
    if not sums:
        raise LeadwiseError(f"{where}: lists no file; lines of a SHA-256 sum and a path are expected")
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
    """The state of files below a tree, several at a time, in the order of ``sums``: path below it -> SHA-256.

    A file that cannot be read counts as damaged. ``progress`` is told how many more have been checked.
    """
    from multiprocessing.pool import ThreadPool

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
