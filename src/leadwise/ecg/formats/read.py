"""Read an ECG from whatever file holds it: one interface for the page, the command line and batches."""

import logging
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from traceback import extract_tb

from leadwise.ecg.formats.base import LARGEST_FILE, MOST_FILES, Found, Hints, ReadECG, ReaderError, shown_name
from leadwise.ecg.formats.csv_table import read_csv
from leadwise.ecg.formats.dicom import begins_without_preamble, read_dicom
from leadwise.ecg.formats.edf import read_edf
from leadwise.ecg.formats.header_cache import learn, read_alike
from leadwise.ecg.formats.hl7_aecg import read_hl7_aecg
from leadwise.ecg.formats.matlab_struct import read_matlab_struct
from leadwise.ecg.formats.muse_xml import read_muse_xml
from leadwise.ecg.formats.normalisation import understand
from leadwise.ecg.formats.numpy_arrays import read_npy, read_npz
from leadwise.ecg.formats.table import read_parquet
from leadwise.ecg.formats.wfdb_record import FORMAT as WFDB
from leadwise.ecg.formats.wfdb_record import SIGNAL_ENDINGS, looks_like_header, read_header, read_wfdb, spellings
from leadwise.ecg.formats.zip_archive import unpack
from leadwise.ecg.leads import RecordingError
from leadwise.extras import missing_extra


class Kind(Enum):
    """What a file can be; the value is how it is called."""

    WFDB = "WFDB header"
    CSV = "CSV or TSV table"
    NPY = "NPY array"
    EDF = "EDF"
    DICOM = "DICOM"
    AECG = "HL7 aECG XML"
    MUSE = "GE MUSE XML"
    PARQUET = "Parquet table"
    MATLAB = "MATLAB struct"
    ZIP = "zip archive"
    OTHER_FILE = "file of unknown content"


FORMATS_READ = (
    "WFDB (.hea with .dat, or both in a zip), CSV and TSV, NPY and NPZ, EDF and EDF+, DICOM waveform, HL7 aECG XML, "
    "GE MUSE XML, Parquet, MATLAB struct of CPSC2018"
)

_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"PK\x03\x04", Kind.ZIP),
    (0, b"PK\x05\x06", Kind.ZIP),
    (0, b"\x93NUMPY", Kind.NPY),
    (0, b"PAR1", Kind.PARQUET),
    (128, b"DICM", Kind.DICOM),
    (124, b"\x00\x01IM", Kind.MATLAB),
    (124, b"\x01\x00MI", Kind.MATLAB),
)

_REFUSED: tuple[tuple[int, bytes, str], ...] = (
    (16, b"SCPECG", "is SCP-ECG (EN 1064), for which no well-kept reader is available; convert it to EDF or HL7 aECG, "
     "for example with BioSig"),
    (0, b"%PDF", "is a PDF: a drawing of an ECG, not its samples; export the waveform"),
    (0, b"\x89PNG", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"\xff\xd8\xff", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"GIF8", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"II*\0", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"\xffBIOSEMI", "is BDF; convert it to EDF"),
    (0, b"MATLAB 5.0 MAT-file", "is a MATLAB file; save the samples as CSV or NPY (with its WFDB header, give both)"),
    (0, b"MATLAB 7.3 MAT-file", "is MATLAB 7.3 (HDF5); save the samples as CSV or NPY"),
    (0, b"\x89HDF", "is HDF5; save the samples as NPZ or CSV"),
    (0, b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (0, b"BZh", "is compressed with bzip2; unpack it first"),
    (0, b"7z\xbc\xaf", "is a 7z archive; pack it as a zip, or give its files"),
    (0, b"Rar!", "is a RAR archive; pack it as a zip, or give its files"),
    (0, b"\xd0\xcf\x11\xe0", "is an old Office file; save the table as CSV"),
    (0, b"ISHNE1.0", "is ISHNE Holter; convert 10 s of it to EDF or WFDB"),
    (0, b"\x80\x02", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x03", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x04", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x05", "is a Python pickle, which is never opened; save the samples as NPZ"),
)  # fmt: skip

_XML_ROOTS = {"annotatedecg": Kind.AECG, "restingecg": Kind.MUSE}
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_BEFORE_ROOT = (("<!--", "-->"), ("<?", "?>"))
_DOCUMENT_TYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>")
_LOOKED_AT = 16_384


def kind_of(name: str, content: bytes) -> Kind | str:
    """What a file is.

    Returns:
        A kind that is read, ``Kind.OTHER_FILE`` for what may be the signal file of a header or nothing at all, or the
        reason why it is not read, to be said after the file's name.
    """
    if (kind := _by_beginning(name, content)) is not None:
        return kind
    for start, mark, reason in _REFUSED:
        if content.startswith(mark, start):
            return reason
    head = _head(content)
    if head is None:
        return Kind.OTHER_FILE
    if head.startswith("<"):
        return _xml_kind(head)
    if looks_like_header(head) or name.casefold().endswith(".hea"):
        return Kind.WFDB
    if head.startswith(("{", "[")):
        return "is JSON; requests to a server are JSON, files are not: save the samples as CSV or NPZ"
    return Kind.CSV if _is_text(head) else Kind.OTHER_FILE


def _by_beginning(name: str, content: bytes) -> Kind | None:
    """What a file is that begins with bytes of its own; ``None`` for texts and all others."""
    for start, mark, kind in _MAGIC:
        if content.startswith(mark, start):
            return kind
    if content.startswith(b"0       ") and (content[184:192].strip().isdigit() or name.casefold().endswith(".edf")):
        return Kind.EDF
    return Kind.DICOM if begins_without_preamble(content) else None


def _head(content: bytes) -> str | None:
    """The beginning as text; ``None`` if it is none."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content[:_LOOKED_AT].decode(encoding, errors="ignore")
    except UnicodeError:
        return None
    return text.lstrip()


def _is_text(head: str) -> bool:
    """Whether a beginning holds letters and digits only, such as a table."""
    without_breaks = head.replace("\n", "").replace("\r", "").replace("\t", "").replace("\f", "")
    return without_breaks.isprintable() and any(letter.isdigit() for letter in head)


def _xml_kind(head: str) -> Kind | str:
    name = _root_name(head).casefold()
    if name in _XML_ROOTS:
        return _XML_ROOTS[name]
    if name == "restingecgdata":
        return "is Philips XML, of which the samples are compressed in a way of its own; export it as HL7 aECG or DICOM"
    return f"is XML of another kind; {Kind.AECG.value} (root AnnotatedECG) and {Kind.MUSE.value} (RestingECG) are read"


def _root_name(head: str) -> str:
    """Name of the first element after declarations, comments and a document type; empty if there is none."""
    at = 0
    while at < len(head):
        if head[at].isspace():
            at += 1
        elif found := next((end for begin, end in _BEFORE_ROOT if head.startswith(begin, at)), None):
            behind = head.find(found, at)
            if behind < 0:
                return ""
            at = behind + len(found)
        elif document_type := _DOCUMENT_TYPE.match(head, at):
            at = document_type.end()
        else:
            root = _ROOT.match(head, at)
            return root[1] if root else ""
    return ""


logger = logging.getLogger(__name__)

Source = Path | str | bytes | Mapping[str, bytes]

ONE_FILE: Mapping[Kind, Callable[[str, bytes, Hints], Found]] = {
    Kind.CSV: read_csv,
    Kind.NPY: read_npy,
    Kind.EDF: read_edf,
    Kind.DICOM: read_dicom,
    Kind.AECG: read_hl7_aecg,
    Kind.MUSE: read_muse_xml,
    Kind.PARQUET: read_parquet,
    Kind.MATLAB: read_matlab_struct,
}
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".asc")
UNNAMED = "upload"
OWN_FILES = Path(__file__).parents[2]


def read_ecg(
    source: Source,
    *,
    name: str = "",
    fs_hz: float | None = None,
    units: str | None = None,
    gain: float | None = None,
    leads: Sequence[str] | None = None,
    order: str | None = None,
) -> ReadECG:
    """Read one recording and say what was understood of it.

    What the file cannot tell is asked in ``ReadECG.questions``: read again with the hint that answers. A hint counts
    more than the file, and a note says so where they differ.

    Args:
        source: a path (of a WFDB record the header, the signal file, or the name without ending), the bytes of a file,
            or several files that belong together by name.
        name: name of the file if bytes are given.
        fs_hz: sampling rate in Hz.
        units: of the numbers in the file: ``mV``, ``uV``, ``V`` or ``nV``.
        gain: how many of the numbers that the file stores make one millivolt; instead of ``units``.
        leads: names of all signals of the file, in its order.
        order: of an array: ``time_lead`` or ``lead_time``.

    Raises:
        ReaderError: the file is of no format that is read, is broken or too large, or holds no 12-lead ECG.
    """
    if units is not None and gain is not None:
        raise ReaderError(name, "gain", "received units as well; one of the two says what the numbers are")
    hints = Hints(fs_hz, units, gain, None if leads is None else tuple(leads), order)
    label = name or (shown_name(str(source)) if isinstance(source, Path | str) else UNNAMED)
    try:
        if isinstance(source, Path | str):
            return _read_at(source if isinstance(source, Path) else Path(source), label, hints)
        return _read(_files(source, name), label, hints)
    except ReaderError:
        raise
    except RecordingError as error:
        raise ReaderError(label, error.field, error.problem) from None
    except ModuleNotFoundError as error:
        raise ReaderError(label, "format", missing_extra(error) or str(error)) from None
    except Exception as error:
        # A fault of a reader, which may refuse but not fall: where it fell is told, but not the error's own message,
        # which may repeat what is private.
        *_, fell = (frame for frame in extract_tb(error.__traceback__) if frame.filename.startswith(str(OWN_FILES)))
        where = f"{Path(fell.filename).stem}.{fell.name}, line {fell.lineno}"
        logger.warning("%s in %s while reading a file", type(error).__name__, where)
        raise ReaderError(
            label, "reader", f"failed with {type(error).__name__} in {where}: a fault of Leadwise, please report it"
        ) from None


def _read_at(path: Path, label: str, hints: Hints) -> ReadECG:
    if hints != Hints():
        return _read(_files_at(path), label, hints)
    if (alike := read_alike(path, _bytes_at)) is not None:
        return alike
    files = _files_at(path)
    header = files.get(path.name, b"")
    read = _read(files, label, hints)
    if read.format == WFDB:
        learn(path, header, read)
    return read


def _files(source: bytes | Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """The files by name, each no larger than allowed."""
    files = {name or UNNAMED: source} if isinstance(source, bytes) else _without_folders(source)
    if not 1 <= len(files) <= MOST_FILES:
        raise ReaderError(name or UNNAMED, "files", f"received {len(files)}; 1 to {MOST_FILES} are allowed")
    if sum(map(len, files.values())) > LARGEST_FILE:
        raise ReaderError(name or next(iter(files)), "size", _too_large(sum(map(len, files.values()))))
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


def _too_large(size: int) -> str:
    return f"received {size / 2**20:.1f} MiB; {LARGEST_FILE // 2**20} MiB at most are read"


def _files_at(path: Path) -> dict[str, bytes]:
    """A file, and if it is of a WFDB record the other files of the record, which lie beside it."""
    if not path.exists() and path.with_name(f"{path.name}.hea").is_file():
        path = path.with_name(f"{path.name}.hea")
    files = {path.name: _bytes_at(path)}
    header = path.with_suffix(".hea")
    if header != path and header.is_file() and not _is_read_alone(path, files[path.name]):
        files[header.name] = _bytes_at(header)
    if header.name in files and kind_of(header.name, files[header.name]) is Kind.WFDB:
        for beside in read_header(header.name, files[header.name].decode("utf-8", errors="replace")).files[:MOST_FILES]:
            at = _signal_file_at(path.parent, beside)
            if at is not None and at.name not in files:
                files[at.name] = _bytes_at(at)
            if (size := sum(map(len, files.values()))) > LARGEST_FILE:
                raise ReaderError(path.name, "size", _too_large(size))
    return files


def _signal_file_at(folder: Path, file: str) -> Path | None:
    """Where the signal file of a header lies: in the folder below that the header names, or else beside the header."""
    below = folder / file.rpartition("/")[0]
    for place in dict.fromkeys((below, folder)):
        for found in (place / name for name in spellings(file)):
            # A link beside the header was put there by whoever keeps the folder; the header chooses those below.
            inside = place == folder or found.resolve().is_relative_to(folder.resolve())
            if inside and found.is_file():
                return found
    return None


def _is_read_alone(path: Path, content: bytes) -> bool:
    """Whether a file is a recording by itself, and no signal file of a header."""
    return path.suffix.casefold() not in SIGNAL_ENDINGS and kind_of(path.name, content) is not Kind.OTHER_FILE


def _bytes_at(path: Path) -> bytes:
    try:
        # Without waiting: a pipe, of which nobody writes the other end, is no file either.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise ReaderError(path.name, "file", "is no regular file")
            if state.st_size > LARGEST_FILE:
                raise ReaderError(path.name, "size", _too_large(state.st_size))
            return stream.read()[:LARGEST_FILE]
    except OSError as error:
        raise ReaderError(path.name, "file", f"cannot be read: {error.strerror or 'unknown reason'}") from None


def _read(files: dict[str, bytes], label: str, hints: Hints) -> ReadECG:
    """Find the recording among the files and read it."""
    kinds = _kinds(files)
    for name in [name for name, kind in kinds.items() if kind is Kind.ZIP]:
        members = unpack(name, files.pop(name))
        if "[Content_Types].xml" in members:
            raise ReaderError(name, "format", "is an Office file; save the table as CSV")
        if all(member.endswith(".npy") for member in members):
            if len(kinds) > 1:
                raise ReaderError(name, "format", "is NPZ among other files; give one recording at a time")
            return understand(name, read_npz(name, members, hints), hints)
        files |= members
        kinds |= {member: kind_of(member, content) for member, content in members.items()}
        del kinds[name]
    chosen = _chosen(label, files, kinds)
    kind = kinds[chosen]
    if kind is Kind.WFDB:
        found = read_wfdb(chosen, files, hints)
        header = read_header(chosen, files[chosen].decode("utf-8", errors="replace"))
        used = {chosen, *header.held_as(files).values()}
    elif isinstance(kind, Kind) and kind in ONE_FILE:
        found = ONE_FILE[kind](chosen, files[chosen], hints)
        used = {chosen}
    else:
        raise ReaderError(chosen, "format", _not_read(chosen, kind, files[chosen]))
    read = understand(chosen, found, hints)
    if left := [name for name in files if name not in used]:
        return read.with_note(f"Not read: {', '.join(shown_name(name) for name in left[:6])}.")
    return read


def _kinds(files: Mapping[str, bytes]) -> dict[str, Kind | str]:
    """What each file is; one that a header names is its signal file, whatever its numbers look like."""
    headers = {name: kind_of(name, content) for name, content in files.items() if name.casefold().endswith(".hea")}
    named = {
        signal_file
        for name, kind in headers.items()
        if kind is Kind.WFDB
        for signal_file in read_header(name, files[name].decode("utf-8", errors="replace")).held_as(files).values()
    }
    return {
        name: Kind.OTHER_FILE if name in named else headers.get(name) or kind_of(name, content)
        for name, content in files.items()
    }


def _chosen(label: str, files: Mapping[str, bytes], kinds: Mapping[str, Kind | str]) -> str:
    """The one file that is, or leads to, the recording."""
    readable = [name for name, kind in kinds.items() if kind is Kind.WFDB or kind in ONE_FILE]
    if len(readable) > 1:
        # Any text may be a table: a note beside a recording is not.
        readable = [name for name in readable if kinds[name] is not Kind.CSV] or [
            name for name in readable if name.casefold().endswith(TABLE_ENDINGS)
        ]
    if len(readable) == 1:
        return readable[0]
    if readable:
        shown = ", ".join(shown_name(name) for name in readable[:4])
        raise ReaderError(label, "files", f"hold {len(readable)} recordings ({shown}); one at a time is read")
    refused = [name for name, kind in kinds.items() if isinstance(kind, str)]
    return (refused or list(files))[0]


def _not_read(name: str, kind: Kind | str, content: bytes) -> str:
    """Why a file is not read, and what is."""
    if not content:
        return f"is empty. Read are: {FORMATS_READ}"
    if isinstance(kind, str):
        return f"{kind}. Read are: {FORMATS_READ}"
    if name.casefold().endswith(SIGNAL_ENDINGS):
        return (
            f"is the signal file of a WFDB record without its header; give the .hea as well. Read are: {FORMATS_READ}"
        )
    return f"is not recognised. Read are: {FORMATS_READ}"
