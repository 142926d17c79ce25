"""Read an ECG from whatever file holds it: one interface for the page, the command line and batches."""

import logging
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from traceback import extract_tb

from leadwise.signals.leads import RecordingError
from leadwise.signals.readers.csv_table import read_csv
from leadwise.signals.readers.detection import FORMATS_READ, Kind, kind_of
from leadwise.signals.readers.dicom import read_dicom
from leadwise.signals.readers.edf import read_edf
from leadwise.signals.readers.errors import LARGEST_FILE, MOST_FILES, ReaderError, shown_name
from leadwise.signals.readers.found import Found, Hints, ReadECG
from leadwise.signals.readers.hl7_aecg import read_hl7_aecg
from leadwise.signals.readers.matlab_struct import read_matlab_struct
from leadwise.signals.readers.muse_xml import read_muse_xml
from leadwise.signals.readers.numpy_arrays import read_npy, read_npz
from leadwise.signals.readers.parquet_table import read_parquet
from leadwise.signals.readers.understanding import understand
from leadwise.signals.readers.wfdb_alike import learn, read_alike
from leadwise.signals.readers.wfdb_header import SIGNAL_ENDINGS, read_header, spellings
from leadwise.signals.readers.wfdb_record import FORMAT as WFDB
from leadwise.signals.readers.wfdb_record import read_wfdb
from leadwise.signals.readers.zip_archive import unpack

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
