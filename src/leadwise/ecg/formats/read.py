"""Read an ECG from whatever file holds it: one interface for the page, the command line and batches."""

import io
import logging
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from leadwise.ecg.formats import base
from leadwise.ecg.formats.base import Format, Most, ReaderError, ReadOptions
from leadwise.ecg.formats.normalisation import ReadECG, normalise
from leadwise.ecg.record import RecordingError
from leadwise.errors import missing_extra

_PICTURE = "is a picture of an ECG, not its samples; export the waveform"
_PICKLE = "is a Python pickle, which is never opened; save the samples as NPZ"
_REFUSED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "is a PDF: a drawing of an ECG, not its samples; export the waveform"),
    *((0, mark, _PICTURE) for mark in (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0")),
    *((0, mark, _PICKLE) for mark in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")),
    (0, b"\xffBIOSEMI", "is BDF; convert it to EDF"),
    (16, b"SCPECG", "is SCP-ECG, of which the beginning is broken"),
    (0, b"MATLAB 5.0 MAT-file", "is a MATLAB file that is cut off or broken"),
    (0, b"MATLAB 7.3 MAT-file", "is a MATLAB 7.3 file that is cut off or broken"),
    (0, b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (0, b"BZh", "is compressed with bzip2; unpack it first"),
    (0, b"7z\xbc\xaf", "is a 7z archive; pack it as a zip, or give its files"),
    (0, b"Rar!", "is a RAR archive; pack it as a zip, or give its files"),
    (0, b"\xd0\xcf\x11\xe0", "is an old Office file; save the table as CSV"),
    (0, b"ANN  1.0", "is a file of ISHNE annotations without samples; give the ECG itself"),
)  # fmt: skip


def refusal(content: bytes) -> str:
    """Why a file is not read, to be said after its name, if what it is can be told; or else nothing."""
    for start, mark, reason in _REFUSED:
        if content.startswith(mark, start):
            return reason
    head = base.text_of(content) or ""
    if head.startswith("<"):
        return "is XML of another kind"
    if head.startswith(("{", "[")):
        return "is JSON; requests to a server are JSON, files are not: save the samples as CSV or NPZ"
    return ""


def kind_of(name: str, content: bytes) -> Format | str:
    """The format of a file, or why it is not read; nothing for what is not recognised."""
    kind = base.format_of(content, name)
    if kind is not None and kind.sureness == base.OWN_MARK:
        return kind
    if content.startswith(ARCHIVE_MARKS):
        return ""
    # What merely looks like a text may begin with the mark of something else.
    return refusal(content) or kind or ""


logger = logging.getLogger(__name__)

Source = Path | str | bytes | Mapping[str, bytes]

UNNAMED = "upload"
OWN_FILES = Path(__file__).parents[2]
LONGEST_NUMBER = 9
"""Digits of the number of a recording in a file."""


def read_ecg(
    source: Source,
    *,
    name: str = "",
    fs_hz: float | None = None,
    units: str | None = None,
    gain: float | None = None,
    leads: Sequence[str] | None = None,
    order: str | None = None,
    record: int | None = None,
) -> ReadECG:
    """Read one recording and say what was understood of it.

    What the file cannot tell is asked in ``ReadECG.questions``: read again with the hint that answers. A hint counts
    more than the file, and a note says so where they differ.

    Args:
        source: a path (of a WFDB record the header, the signal file, or the name without ending; of one of several
            recordings in a file ``many.h5#17``), the bytes of a file, or several files that belong together by name.
        name: name of the file if bytes are given.
        fs_hz, units, gain, leads, order, record: what is known of the file, as ``ReadOptions`` says.

    Raises:
        ReaderError: the file is of no format that is read, is broken or too large, or holds no 12-lead ECG.
    """
    if units is not None and gain is not None:
        raise ReaderError(name, "gain", "received units as well; one of the two says what the numbers are")
    if isinstance(source, Path | str):
        source, record = _with_record(Path(source), record)
    hints = ReadOptions(fs_hz, units, gain, None if leads is None else tuple(leads), order, record)
    label = name or (base.shown_name(str(source)) if isinstance(source, Path | str) else UNNAMED)
    try:
        if isinstance(source, Path):
            return _read(_files_at(source), label, hints)
        return _read(_files(source, name), label, hints)
    except ReaderError:
        raise
    except ModuleNotFoundError as error:
        raise ReaderError(label, "format", missing_extra(error) or str(error)) from None
    except Exception as error:
        # A fault of a reader, which may refuse but not fall: where it fell is told, but not the error's own message,
        # which may repeat what is private.
        *_, last = (frame for frame in extract_tb(error.__traceback__) if frame.filename.startswith(str(OWN_FILES)))
        where = f"{Path(last.filename).stem}.{last.name}, line {last.lineno}"
        logger.warning("%s in %s while reading a file", type(error).__name__, where)
        fell = f"failed with {type(error).__name__} in {where}"
        raise ReaderError(label, "reader", f"{fell}: a fault of Leadwise, please report it") from None


@contextmanager
def _of_file(name: str) -> Iterator[None]:
    """What a reader refuses by its field is refused by the file's name too."""
    try:
        yield
    except RecordingError as error:
        raise ReaderError(name, error.field, error.problem) from None


def _with_record(path: Path, record: int | None) -> tuple[Path, int | None]:
    """``many.h5#17`` as the file and the number, unless there is a file of that very name."""
    stem, mark, number = path.name.rpartition("#")
    if not (stem and mark and number.isascii() and number.isdigit() and len(number) <= LONGEST_NUMBER) or path.exists():
        return path, record
    return path.with_name(stem), int(number)


def _files(source: bytes | Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """The files by name, each no larger than allowed."""
    files = {name or UNNAMED: source} if isinstance(source, bytes) else _without_folders(source)
    if not 1 <= len(files) <= Most.FILES:
        raise ReaderError(name or UNNAMED, "files", f"received {len(files)}; 1 to {Most.FILES} are allowed")
    if sum(map(len, files.values())) > Most.BYTES:
        raise ReaderError(name or next(iter(files)), "size", base.too_large(sum(map(len, files.values()))))
    return files


def _without_folders(source: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by their bare names, as a WFDB header names them."""
    files: dict[str, bytes] = {}
    for path, content in source.items():
        name = path.replace("\\", "/").rpartition("/")[2]
        if name in files:
            raise ReaderError(name, "files", "received two files of this name")
        files[name] = bytes(content)
    return files


def _files_at(path: Path) -> dict[str, bytes]:
    """A file, and the other files of the recording that it is of, which lie beside it."""
    in_parts = [kind for kind in base.formats() if kind.part_endings]
    if not path.exists():
        beside = (path.with_name(path.name + kind.endings[0]) for kind in in_parts)
        path = next((first for first in beside if first.is_file()), path)
    files = {path.name: base.bytes_at(path)}
    for kind in in_parts:
        first = path.with_suffix(kind.endings[0])
        if first == path or not first.is_file():
            continue
        if path.suffix.casefold() in kind.part_endings or kind_of(path.name, files[path.name]) == "":
            files[first.name] = base.bytes_at(first)
    waiting = list(files.items())
    for name, content in waiting:
        for places in _parts(name, content)[: Most.FILES]:
            at = _part_at(path.parent, places)
            if at is not None and at.name not in files:
                # A part may lead to further ones.
                waiting.append((at.name, base.bytes_at(at)))
                files[at.name] = waiting[-1][1]
            if len(files) > Most.FILES:
                raise ReaderError(path.name, "files", f"leads to more than {Most.FILES} files, which is the most")
            if (size := sum(map(len, files.values()))) > Most.BYTES:
                raise ReaderError(path.name, "size", base.too_large(size))
    return files


def _parts(name: str, content: bytes) -> tuple[tuple[str, ...], ...]:
    """Where the further files of a recording may lie that this file is the first of."""
    for kind in base.formats():
        may_have_parts = kind.part_endings and name.casefold().endswith(kind.endings)
        if may_have_parts and kind.sniff(content, name) and not refusal(content):
            with _of_file(name):
                return kind.parts(name, content)
    return ()


def _part_at(folder: Path, places: Sequence[str]) -> Path | None:
    """Where a further file of a recording lies."""
    for place in places:
        part = folder / place
        # A link beside the first file was put there by whoever keeps the folder; the file chooses those below.
        if ("/" not in place or part.resolve().is_relative_to(folder.resolve())) and part.is_file():
            return part
    return None


def _read(files: dict[str, bytes], label: str, hints: ReadOptions) -> ReadECG:
    """Find the recording among the files and read it."""
    parts_of, parts = _held_parts(files)
    archives = [name for name, content in files.items() if name not in parts and content.startswith(ARCHIVE_MARKS)]
    for name in archives:
        if kind_of(name, files[name]) == "":
            members = unpack(name, files.pop(name))
            if "[Content_Types].xml" in members:
                raise ReaderError(name, "format", "is an Office file; save the table as CSV")
            files |= members
            parts_of, parts = _held_parts(files)
    kinds = {name: "" if name in parts else kind_of(name, content) for name, content in files.items()}
    chosen = _chosen(label, files, kinds)
    kind = kinds[chosen]
    if isinstance(kind, str):
        raise ReaderError(chosen, "format", _not_read(chosen, kind, files[chosen]))
    if hints.record is not None and not kind.many:
        raise ReaderError(chosen, "record", f"received {hints.record}; a file of this format holds one recording")
    with _of_file(chosen):
        found = kind.read(chosen, files, hints)
        read = normalise(chosen if hints.record is None else f"{chosen}#{hints.record}", found, hints)
    if left := [name for name in files if name != chosen and name not in parts_of[chosen]]:
        return read.with_note(f"Not read: {', '.join(base.shown_name(name) for name in left[:6])}.")
    return read


def _held_parts(files: Mapping[str, bytes]) -> tuple[dict[str, set[str]], set[str]]:
    """First file of a recording -> its further files that are there; and all of these, whatever they look like."""
    parts_of = {}
    for name, content in files.items():
        bare = ([place.rpartition("/")[2] for place in places] for places in _parts(name, content))
        parts_of[name] = {
            part for names in bare if (part := next((one for one in names if one in files), name)) != name
        }
    # What a part leads to belongs to the recording of the part.
    for held in parts_of.values():
        waiting = list(held)
        for part in waiting:
            more = parts_of[part] - held
            held |= more
            waiting += more
    return parts_of, set().union(*parts_of.values())


def _chosen(label: str, files: Mapping[str, bytes], kinds: Mapping[str, Format | str]) -> str:
    """The one file that is, or leads to, the recording."""
    readable = {name: kind for name, kind in kinds.items() if isinstance(kind, Format)}
    if len(readable) > 1:
        # Any text may be a table: a note beside a recording is not.
        readable = {name: kind for name, kind in readable.items() if kind.sureness != base.ANY_TEXT} or {
            name: kind for name, kind in readable.items() if name.casefold().endswith(kind.endings)
        }
    if len(readable) == 1:
        return next(iter(readable))
    if readable:
        shown = ", ".join(base.shown_name(name) for name in list(readable)[:4])
        raise ReaderError(label, "files", f"hold {len(readable)} recordings ({shown}); one at a time is read")
    refused = [name for name, kind in kinds.items() if kind != ""]
    return (refused or list(files))[0]


def _not_read(name: str, why: str, content: bytes) -> str:
    """Why a file is not read, and what is."""
    lacking = [kind for kind in base.formats() if kind.part_endings and name.casefold().endswith(kind.part_endings)]
    if not content:
        why = "is empty"
    elif not why and lacking:
        header = lacking[0].endings[0]
        why = f"is the signal file of a {lacking[0].name} record without its header; give the {header} as well"
    return f"{why or 'is not recognised'}. Read are: {base.formats_read()}"


ARCHIVE_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
DIRECTORY_ENTRY = b"PK\x01\x02"
"""As often in an archive as it has members, or oftener: counted before it is parsed."""
BAD_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error)
"""What the standard library raises for archives that are damaged, encrypted or compressed in a way it does not know."""
_NOT_WANTED = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


def packed_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What is packed, without folders and what systems add of their own."""
    named = [(member.orig_filename, member) for member in archive.infolist() if not member.is_dir()]
    return [member for name, member in named if not (name.startswith(_NOT_WANTED) or name.endswith(_NOT_WANTED))]


def member_names(content: bytes) -> list[str]:
    """Names of the files in an archive; none if it is no archive, or one that ``unpack`` refuses for its size."""
    if not content.startswith(ARCHIVE_MARKS) or content.count(DIRECTORY_ENTRY) > Most.FILES:
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [member.filename for member in packed_files(archive)]
    except (*BAD_ZIP, OSError):
        return []


def unpack(file: str, content: bytes) -> dict[str, bytes]:
    """The members of an archive by name, without folders.

    Refused: the archive is broken, encrypted, holds too much, or names a member outside of itself.
    """
    if content.count(DIRECTORY_ENTRY) > Most.FILES:
        raise ReaderError(file, "zip", f"holds more than {Most.FILES} files, which is the most")
    left, unpacked = Most.BYTES, dict[str, bytes]()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in packed_files(archive):
                name = member.filename.replace("\\", "/")
                if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
                    raise ReaderError(file, "zip", f"names {base.shown_name(name)} outside of the archive")
                if member.flag_bits & 1:
                    raise ReaderError(file, "zip", "is encrypted; unpack it and give its files")
                bare = name.rpartition("/")[2]
                if bare in unpacked:
                    raise ReaderError(file, "zip", f"holds {base.shown_name(bare)} more than once")
                with archive.open(member) as stream:
                    # What the header says of its size may be a lie.
                    unpacked[bare] = stream.read(left + 1)
                left -= len(unpacked[bare])
                if left < 0:
                    limit = f"{Most.BYTES // 2**20} MiB"
                    raise ReaderError(file, "zip", f"unpacks to more than {limit}, which is the most")
    except (*BAD_ZIP, OSError) as error:
        raise ReaderError(file, "zip", f"is broken or cut off ({type(error).__name__}); pack it anew") from None
    if not unpacked:
        raise ReaderError(file, "zip", "holds no file")
    return unpacked
