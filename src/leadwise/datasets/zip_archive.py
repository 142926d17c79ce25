"""PTB-XL out of PhysioNet's zip archive: only what is needed, every name and every content checked.

An archive is somebody else's: nothing in it decides where a file goes or how much is written.
"""

import lzma
import stat
import struct
import time
import zipfile
import zlib
from pathlib import Path

from leadwise.contract import LeadwiseError
from leadwise.datasets.checksums import (
    SUMS_FILE,
    content_problem,
    parse_sha256sums,
    path_problem,
    read_sha256sums,
    shortened,
)
from leadwise.datasets.releases import LARGEST_FILE, RATES_HZ, REQUIRED_TABLES, listing_problem
from leadwise.datasets.tree_writer import Arrived, FileError, Tree, tree_written_to

MOST_ENTRIES = 500_000
"""PhysioNet's archive has 87,300."""

_GO_ON = "A whole archive, or the same command without --from-zip, goes on from here"

Members = dict[str, zipfile.ZipInfo]
"""Path in the tree -> its entry in the archive."""

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What the standard library raises for members that are damaged, encrypted or compressed in a way it does not know."""


class ArchiveError(LeadwiseError):
    """An archive cannot be read, or holds a name that no archive of PTB-XL has; the message names it."""


def unpack_zip(archive: Path, dest: Path, *, release: str | None = None, rate_hz: int = 100) -> Arrived:
    """Bring PTB-XL out of a zip archive into a folder, or what of it is not there yet.

    The tree may lie in the archive's one top folder, whatever its name, or at its top. Files are compared with the
    archive's ``SHA256SUMS.txt``; where it has none, with the one that was put into ``dest`` before.

    Args:
        archive: the zip file.
        dest: the tree's folder: new, empty or a PTB-XL tree.
        release: the release that it should be; None: any.
        rate_hz: 100 or 500.

    Raises:
        ArchiveError: the archive cannot be read, or any of its names is absolute, leaves the folder, is a link, or
            stands there twice; nothing was written then.
        DownloadError: the tree could not be completed; the message names what is missing and why.
    """
    started = time.perf_counter()
    if rate_hz not in RATES_HZ:
        raise LeadwiseError(f"received {rate_hz} Hz; allowed: {' or '.join(map(str, RATES_HZ))} Hz")
    with _opened(archive) as opened:
        members = tree_members(opened, archive)
        raw = _sums_of(opened, members, archive, Path(dest))
        listed = parse_sha256sums(raw, f"{archive}: {SUMS_FILE}")
        if problem := listing_problem(listed, rate_hz, release):
            raise ArchiveError(f"{archive}: its {SUMS_FILE} {problem}; PTB-XL's is expected")
        with tree_written_to(dest, _GO_ON) as tree:
            tree.begin(raw, rate_hz, lambda name: _size(members.get(name)))
            tree.fill(((name, _unpack(opened, members.get(name), name, tree)) for name in tree.missing), "unpacking")
            return tree.finish(started)


def tree_members(opened: zipfile.ZipFile, archive: Path) -> Members:
    """Check every name of an archive, and find where in it the tree begins.

    Raises:
        ArchiveError: a name is not to be trusted, or there is no tree.
    """
    entries = opened.infolist()
    if len(entries) > MOST_ENTRIES:
        raise ArchiveError(f"{archive}: has {len(entries):,} entries; PTB-XL's has fewer than {MOST_ENTRIES:,}")
    found: Members = {}
    for entry in entries:
        # ZipFile cuts a name at a zero byte and turns separators round; what was stored is what is judged.
        name = entry.orig_filename.removesuffix("/") if entry.is_dir() else entry.orig_filename
        if problem := path_problem(name) or _kind_problem(entry):
            raise ArchiveError(f"{archive}: the name {shortened(name)} {problem}; nothing was unpacked")
        if entry.is_dir():
            continue
        if name in found:
            raise ArchiveError(f"{archive}: the name {shortened(name)} stands there twice; nothing was unpacked")
        found[name] = entry
    top = _top_folder(found, archive)
    return {name.removeprefix(top): entry for name, entry in found.items() if name.startswith(top)}


def _kind_problem(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return "is a link or a device"
    return None


def _top_folder(found: Members, archive: Path) -> str:
    """The part of every name before the tree: empty, or one folder and a slash."""
    table = REQUIRED_TABLES[0]
    if table in found:
        return ""
    tops = sorted({name.partition("/")[0] for name in found if name.count("/") == 1 and name.endswith(f"/{table}")})
    if len(tops) != 1:
        what = f"several trees ({', '.join(tops[:3])})" if tops else f"no {table}"
        raise ArchiveError(f"{archive}: holds {what}; PhysioNet's archive of PTB-XL has one, in its one top folder")
    return f"{tops[0]}/"


def _sums_of(opened: zipfile.ZipFile, members: Members, archive: Path, dest: Path) -> bytes:
    """The list of sums: the archive's own, or the one that somebody put into the tree."""
    if SUMS_FILE in members:
        try:
            return _read(opened, members[SUMS_FILE])
        except _UNREADABLE as error:
            raise ArchiveError(f"{archive}: {SUMS_FILE} cannot be read: {_plain(error)}") from error
    if (dest / SUMS_FILE).is_file():
        read_sha256sums(dest / SUMS_FILE)
        return (dest / SUMS_FILE).read_bytes()
    raise ArchiveError(
        f"{archive}: holds no {SUMS_FILE}, so nothing in it can be checked, and nothing was unpacked. Put PhysioNet's "
        f"(https://physionet.org/files/ptb-xl/1.0.3/{SUMS_FILE}) into {dest} and give the same command again"
    )


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, RuntimeError, ValueError, struct.error) as error:
        size = Path(archive).stat().st_size
        raise ArchiveError(
            f"{archive}: is no whole zip archive ({size:,} bytes; {error}). If its download was cut short, fetch it "
            "again; PhysioNet's has about 1.7 GB"
        ) from error
    except OSError as error:
        raise ArchiveError(f"{archive}: cannot be read: {error.strerror or error}") from error


def _size(member: zipfile.ZipInfo | None) -> int:
    """What a member will take on a disk, in whole blocks, if the archive tells the truth."""
    return 0 if member is None else -(-min(member.file_size, LARGEST_FILE) // 4096) * 4096


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo | None, name: str, tree: Tree) -> int | LeadwiseError:
    """Put one file into the tree; its size, or why it is not there."""
    if member is None:
        return FileError("not in the archive")
    try:
        content = _read(opened, member)
    except _UNREADABLE as error:
        return FileError(f"cannot be read from the archive: {_plain(error)}")
    if problem := content_problem(content, tree.sums[name]):
        return FileError(problem)
    try:
        return tree.place(name, content)
    except LeadwiseError as error:
        return error


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member; no more than a file of PTB-XL can have."""
    if member.file_size > LARGEST_FILE:
        raise zipfile.BadZipFile(f"{member.file_size:,} bytes; no file of PTB-XL has more than {LARGEST_FILE:,}")
    # ZipFile gives no more than the declared size, and compares the CRC at its end.
    with opened.open(member) as stream:
        return stream.read(LARGEST_FILE)


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, (EOFError, zlib.error)) else str(error)[:200]
