"""Zip archives from anybody, unpacked in memory: few members, not too large, none of them outside of the archive."""

import io
import lzma
import zipfile
import zlib

from leadwise.ecg.formats.base import Most, ReaderError, shown_name

ARCHIVE_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
_DIRECTORY_ENTRY = b"PK\x01\x02"
_NOT_WANTED = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


def member_names(content: bytes) -> list[str]:
    """Names of the files in an archive; none if it is no archive, or one that ``unpack`` refuses for its size."""
    if not content.startswith(ARCHIVE_MARKS) or content.count(_DIRECTORY_ENTRY) > Most.FILES:
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
            return [name for name in names if not (name.startswith(_NOT_WANTED) or name.endswith(_NOT_WANTED))]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return []


def unpack(file: str, content: bytes) -> dict[str, bytes]:
    """The members of an archive by name, without folders.

    Refused: the archive is broken, encrypted, holds too much, or names a member outside of itself.
    """
    if content.count(_DIRECTORY_ENTRY) > Most.FILES:
        raise ReaderError(file, "zip", f"holds more than {Most.FILES} files, which is the most")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _members(file, archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise ReaderError(file, "zip", f"is broken or cut off ({type(error).__name__}); pack it anew") from None


def _members(file: str, archive: zipfile.ZipFile) -> dict[str, bytes]:
    left = Most.BYTES
    found: dict[str, bytes] = {}
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")
        if member.is_dir() or name.startswith(_NOT_WANTED) or name.endswith(_NOT_WANTED):
            continue
        if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
            raise ReaderError(file, "zip", f"names {shown_name(name)} outside of the archive")
        if member.flag_bits & 1:
            raise ReaderError(file, "zip", "is encrypted; unpack it and give its files")
        base = name.rpartition("/")[2]
        if base in found:
            raise ReaderError(file, "zip", f"holds {shown_name(base)} more than once")
        with archive.open(member) as stream:
            # What the header says of its size may be a lie.
            found[base] = stream.read(left + 1)
        left -= len(found[base])
        if left < 0:
            raise ReaderError(file, "zip", f"unpacks to more than {Most.BYTES // 2**20} MiB, which is the most")
    if not found:
        raise ReaderError(file, "zip", "holds no file")
    return found
