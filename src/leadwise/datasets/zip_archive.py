"""PTB-XL out of PhysioNet's zip archive: only what is needed, every content checked.

An archive is somebody else's: nothing in it decides where a file goes or how much is written. Its members are looked up
by the names in the list of sums, and compared with their sums.
"""

import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path

from leadwise.contract import LeadwiseError
from leadwise.datasets.checksums import SUMS_FILE, content_problem, parse_sha256sums, path_problem, shortened
from leadwise.datasets.download import (
    LARGEST_FILE,
    Arrived,
    DownloadError,
    FileError,
    complete,
    require_free_or_ptbxl,
)
from leadwise.datasets.releases import RATES_HZ, REQUIRED_TABLES, listing_problem

_BAD_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError, struct.error)
"""What the standard library raises for archives that are damaged, encrypted or compressed in a way it does not know."""


def unpack_zip(archive: Path, dest: Path, *, release: str | None = None, rate_hz: int = 100) -> Arrived:
    """Bring PTB-XL out of a zip archive into a folder, or what of it is not there yet.

    Files are compared with the archive's ``SHA256SUMS.txt``; where it has none, with the one that was put into ``dest``
    before.

    Args:
        archive: the zip file; the tree may lie in its one top folder, whatever its name, or at its top.
        dest: the tree's folder: new, empty or a PTB-XL tree.
        release: the release that it should be; None: any.
        rate_hz: 100 or 500.

    Raises:
        DownloadError: the archive cannot be read, one of its names leaves the folder (nothing was written then), or the
            tree could not be completed; the message names what is missing and why.
    """
    if rate_hz not in RATES_HZ:
        raise LeadwiseError(f"received {rate_hz} Hz; allowed: {' or '.join(map(str, RATES_HZ))} Hz")
    with _opened(archive) as opened:
        members = _members(opened, archive)
        require_free_or_ptbxl(dest)
        if SUMS_FILE in members:
            raw_sums = _read(opened, members[SUMS_FILE])
        elif (dest / SUMS_FILE).is_file():
            raw_sums = (dest / SUMS_FILE).read_bytes()
        else:
            raise DownloadError(
                f"{archive}: holds no {SUMS_FILE}, so nothing in it can be checked, and nothing was unpacked. Put "
                f"PhysioNet's (https://physionet.org/files/ptb-xl/1.0.3/{SUMS_FILE}) into {dest} and give the same "
                "command again"
            )
        if problem := listing_problem(parse_sha256sums(raw_sums, f"{archive}: {SUMS_FILE}"), rate_hz, release):
            raise DownloadError(f"{archive}: its {SUMS_FILE} {problem}; PTB-XL's is expected")

        def get(name: str, digest: str) -> bytes:
            if name not in members:
                raise FileError("not in the archive")
            content = _read(opened, members[name])
            if problem := content_problem(content, digest):
                raise FileError(problem)
            return content

        def size_of(name: str) -> int:
            """In whole blocks, if the archive tells the truth."""
            return -(-min(members[name].file_size, LARGEST_FILE) // 4096) * 4096 if name in members else 0

        go_on = "A whole archive, or the same command without --from-zip, goes on from here"
        return complete(dest, raw_sums, rate_hz, get, size_of, 1, go_on)


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError as error:
        raise DownloadError(f"{archive}: cannot be read: {error.strerror or error}") from error
    except _BAD_ZIP as error:
        raise DownloadError(
            f"{archive}: is no whole zip archive ({archive.stat().st_size:,} bytes; {error}). If its download was cut "
            "short, fetch it again; PhysioNet's has about 1.7 GB"
        ) from error


def _members(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Path in the tree -> its entry in the archive."""
    found = {}
    for entry in opened.infolist():
        # ZipFile cuts a name at a zero byte and turns separators round; what was stored is what is judged.
        name = entry.orig_filename.removesuffix("/")
        if problem := path_problem(name):
            raise DownloadError(f"{archive}: the name {shortened(name)} {problem}; nothing was unpacked")
        found[name] = entry
    table = REQUIRED_TABLES[0]
    tops = {name.removesuffix(table) for name in found if name == table or re.fullmatch(rf"[^/]+/{table}", name)}
    if len(tops) != 1 and "" not in tops:
        what = f"several trees ({', '.join(top[:-1] for top in sorted(tops)[:3])})" if tops else f"no {table}"
        raise DownloadError(f"{archive}: holds {what}; PhysioNet's archive of PTB-XL has one, in its one top folder")
    top = "" if "" in tops else tops.pop()
    return {name.removeprefix(top): entry for name, entry in found.items() if name.startswith(top)}


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member; no more than a file of PTB-XL can have."""
    try:
        if member.file_size > LARGEST_FILE:
            raise ValueError(f"{member.file_size:,} bytes; no file of PTB-XL has more than {LARGEST_FILE:,}")
        # ZipFile gives no more than the declared size, and compares the CRC at its end.
        return opened.read(member)
    except _BAD_ZIP as error:
        raise FileError(f"cannot be read from the archive: {type(error).__name__}: {error}"[:250]) from error
