"""Recordings and a table of labels that a visitor sends, put into a folder: all is judged before any is written.

What is sent is somebody else's: nothing in it decides where a file goes, how much is written, or what is read. A zip
archive is taken apart only if its names stay inside of it and what it declares is allowed; ``zipfile`` gives no more of
a member than it declares.
"""

import io
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow
import pyarrow.parquet

from leadwise.contract import LeadwiseError
from leadwise.datasets.cohort import TABLES, Cohort
from leadwise.datasets.releases import path_problem, shortened
from leadwise.ecg.formats.read import BAD_ZIP, DIRECTORY_ENTRY, packed_files

MOST_RECORDINGS = 500
MOST_FILES = 10_000
"""LUDB has 14 files for each recording, most of them annotations."""
MOST_RECEIVED = 64 * 2**20
MOST_UNPACKED = 256 * 2**20
"""500 recordings of 10 s, 12 leads at 500 Hz have 60 MB as WFDB, 210 MB as text."""
LARGEST_TABLE = 2 * 2**20
"""4 kB a recording."""
TABLE_STEM = "records"
ARCHIVE = ".zip"


class _Sent(NamedTuple):
    """A file: its bytes when uncompressed, and how to have it."""

    size: int
    content: Callable[[], bytes]


def unpack_uploads(files: Sequence[tuple[str, bytes]], folder: Path, cohort: Cohort) -> Path:
    """Put recordings and their table into a folder.

    The table is ``records.csv`` or ``records.parquet``, or the only ``.csv`` or ``.parquet`` file; a folder that holds
    all of an archive counts for nothing. ``file`` in the table counts from the table's folder.

    Args:
        files: name and content of each: recordings, the table, and zip archives of them.
        folder: empty, and for nobody else.
        cohort: ``table``, with its options chosen.

    Returns:
        The table, in the folder.

    Raises:
        LeadwiseError: something is too large or too many, a name leaves the folder, or there is no table (then nothing
            was written but the table); the table is not as it must be, or a member of an archive is broken.
    """
    received = sum(len(content) for _, content in files)
    if received > MOST_RECEIVED:
        raise LeadwiseError(f"received {megabytes(received)} in all; {megabytes(MOST_RECEIVED)} at most are taken")
    sent: dict[str, _Sent] = {}
    for name, content in files:
        whole = _Sent(len(content), partial(bytes, content))
        found = _archived(name, content) if name.casefold().endswith(ARCHIVE) else {name: whole}
        for path, one in found.items():
            if problem := path_problem(path):
                raise LeadwiseError(f"{shortened(name)}: the name {shortened(path)} {problem}")
            if path in sent:
                raise LeadwiseError(f"received {shortened(path)} twice; every name once is needed")
            sent[path] = one
    if len(sent) > MOST_FILES:
        raise LeadwiseError(f"received {len(sent):,} files; {MOST_FILES:,} at most are taken")
    unpacked = sum(one.size for one in sent.values())
    if unpacked > MOST_UNPACKED:
        raise LeadwiseError(f"received {megabytes(unpacked)} unpacked; {megabytes(MOST_UNPACKED)} at most are taken")
    table = _write(folder, *_table(sent))
    _check_table(table, cohort)
    for path, one in sent.items():
        if folder / path != table:
            _write(folder, path, one)
    return table


def megabytes(size: int) -> str:
    """``64.0 MiB``."""
    return f"{size / 2**20:,.1f} MiB"


def _archived(name: str, content: bytes) -> Mapping[str, _Sent]:
    """The files of an archive by their paths in it; none of them is unpacked."""
    # A stored archive in it has entries of its own.
    if content.count(DIRECTORY_ENTRY) > 5 * MOST_FILES:
        raise LeadwiseError(f"{shortened(name)}: holds more than {MOST_FILES:,} files, which is the most")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except BAD_ZIP as error:
        raise LeadwiseError(
            f"{shortened(name)}: is no whole zip archive ({type(error).__name__}); pack it anew"
        ) from None
    found: dict[str, _Sent] = {}
    for member in packed_files(archive):
        # ZipFile cuts a name at a zero byte and turns separators round; what was stored is what is judged.
        path = member.orig_filename
        if member.flag_bits & 1:
            raise LeadwiseError(f"{shortened(name)}: is encrypted; pack it without a password")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise LeadwiseError(f"{shortened(name)}: {shortened(path)} is a link or a device; files are needed")
        if path in found:
            raise LeadwiseError(f"{shortened(name)}: holds {shortened(path)} twice; every name once is needed")
        found[path] = _Sent(member.file_size, partial(_unpacked, name, archive, member))
    tops = {path.partition("/")[0] for path in found}
    if len(tops) == 1 and all("/" in path for path in found):
        return {path.partition("/")[2]: one for path, one in found.items()}
    return found


def _unpacked(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except BAD_ZIP as error:
        where = f"{shortened(name)}: {shortened(member.orig_filename)}"
        raise LeadwiseError(f"{where} cannot be unpacked ({type(error).__name__}); pack the archive anew") from None


def _table(sent: Mapping[str, _Sent]) -> tuple[str, _Sent]:
    """Which of the files is the table."""
    tables = [path for path in sent if path.casefold().endswith(TABLES)]
    named = [path for path in tables if Path(path).stem.casefold() == TABLE_STEM]
    chosen = named or tables
    allowed = f"one table of labels, {TABLE_STEM}.csv or {TABLE_STEM}.parquet, is needed"
    if len(chosen) != 1:
        shown = ", ".join(shortened(path) for path in sorted(chosen)[:5])
        raise LeadwiseError(f"received {f'{len(chosen)} tables, {shown}' if chosen else 'no table'}; {allowed}")
    (path,) = chosen
    if sent[path].size > LARGEST_TABLE:
        size, most = megabytes(sent[path].size), megabytes(LARGEST_TABLE)
        raise LeadwiseError(f"{shortened(path)}: received {size}; a table has {most} at most")
    return path, sent[path]


def _check_table(table: Path, cohort: Cohort) -> None:
    """Refuse too many rows, rows that say the same, and files that lie elsewhere: the table says what is opened."""
    if table.suffix.casefold() == ".parquet":
        _check_parquet(table)
    records = cohort.records(table)
    if len(records) > MOST_RECORDINGS:
        raise LeadwiseError(f"{table.name}: received {len(records):,} recordings; {MOST_RECORDINGS} at most are taken")
    for name in ("file", "record_id"):
        seen: dict[str, int] = {}
        for number, value in enumerate(records[name], start=1):
            if not isinstance(value, str):
                continue
            where = f"{table.name}, row {number}: {name}: received {shortened(value)}"
            if name == "file" and (problem := path_problem(value)):
                raise LeadwiseError(f"{where}, which {problem}")
            if (before := seen.setdefault(value, number)) != number:
                raise LeadwiseError(f"{where}, which row {before} has as well")


def _check_parquet(table: Path) -> None:
    """What it would take in memory, by what its end declares: columns are packed."""
    try:
        found = pyarrow.parquet.read_metadata(table)
    except (OSError, ValueError, pyarrow.ArrowException):
        return  # The reader says what is wrong with it.
    size = sum(found.row_group(group).total_byte_size for group in range(found.num_row_groups))
    if found.num_rows > MOST_RECORDINGS:
        raise LeadwiseError(
            f"{table.name}: received {found.num_rows:,} recordings; {MOST_RECORDINGS} at most are taken"
        )
    if size > LARGEST_TABLE:
        raise LeadwiseError(f"{table.name}: received {megabytes(size)}; a table has {megabytes(LARGEST_TABLE)} at most")


def _write(folder: Path, path: str, one: _Sent) -> Path:
    file = folder / path
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Never through a link, nor over another file.
        with file.open("xb") as stream:
            stream.write(one.content())
    except OSError as error:
        raise LeadwiseError(f"{shortened(path)}: cannot be put aside: {error.strerror}") from None
    return file
