"""What a file format is, and what its reader finds in a file; limits, errors and the register of all formats."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leadwise.contract import LeadwiseError
from leadwise.ecg.record import HIGHEST_FS_HZ, LONGEST_S, ReaderFlag, RecordingError


class Most:
    """The most that is read."""

    BYTES = 64 * 2**20
    """Of one file, and of everything that a zip holds, unpacked."""
    FILES = 64
    """Of one recording, and members of a zip."""
    CHANNELS = 256
    """Signals of one file: an ECG has 12, a polysomnogram with one among them some dozens."""
    SAMPLES = int(LONGEST_S * HIGHEST_FS_HZ)
    """Of one channel: the longest recording at the highest sampling rate that is read."""
    NUMBERS = 16 * SAMPLES
    """Of one table or array: 12 leads of the most samples, and some columns more."""


LONGEST_NAME = 60
LONGEST_ECHO = 20
"""A message repeats no more than this of a text in a file: it may be a patient's."""


class ReaderError(LeadwiseError):
    """A file cannot be read as an ECG; the message names the file, the field, what was received, what is allowed.

    Attributes:
        file: name of the file, without its folder.
        field: the part of the file that is wrong, such as ``leads`` or ``fs_hz``.
        problem: what was received and what is allowed; never samples, nor more than a few characters of a text.
    """

    def __init__(self, file: str, field: str, problem: str) -> None:
        super().__init__(f"{shown_name(file)}: {field}: {problem}")
        self.file = file
        self.field = field
        self.problem = problem


def shown_name(name: str) -> str:
    """A file's name as a message shows it: without its folder, printable, not too long."""
    base = name.replace("\\", "/").rpartition("/")[2]
    printable = base if base.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in base)
    return printable if len(printable) <= LONGEST_NAME else f"{printable[: LONGEST_NAME - 3]}..."


def shown_text(text: str) -> str:
    """A text of a file as a message shows it: in full only if it is short."""
    return repr(text) if len(text) <= LONGEST_ECHO else f"text of {len(text)} characters"


def too_large(size: int) -> str:
    """What is wrong with so many bytes."""
    return f"received {size / 2**20:.1f} MiB; {Most.BYTES // 2**20} MiB at most are read"


def bytes_at(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ReaderError: it cannot be read, is no regular file or too large.
    """
    try:
        # Without waiting: a pipe, of which nobody writes the other end, is no file either.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise ReaderError(path.name, "file", "is no regular file")
            if state.st_size > Most.BYTES:
                raise ReaderError(path.name, "size", too_large(state.st_size))
            content = os.read(descriptor, state.st_size + 1)
            while len(content) < state.st_size and (more := os.read(descriptor, state.st_size)):
                content += more
            return content
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ReaderError(path.name, "file", f"cannot be read: {error.strerror or 'unknown reason'}") from None


def within(field: str, value: float, low: float, high: float, where: str = "") -> float:
    """A number of a file, if it can be what it says.

    Raises:
        RecordingError: it is beyond one of the limits; the message begins with ``where``.
    """
    if not low <= value <= high:
        raise RecordingError(field, f"{where}received {value:.9g}; {low:.9g} to {high:.9g} is allowed")
    return value


@contextmanager
def by_library(field: str, needed: str) -> Iterator[None]:
    """Name the part of a file over which a library stumbles, whatever it raises: a ``RecordingError``.

    Its own message may repeat what is private, so only its kind is told, and what is needed.
    """
    try:
        yield
    except (ReaderError, RecordingError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise RecordingError(field, f"cannot be decoded ({type(error).__name__}); {needed}") from None


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows of a file; what is given here counts more than what the file says.

    Attributes:
        fs_hz: sampling rate in Hz.
        units: of the numbers in the file: ``mV``, ``uV``, ``V`` or ``nV``.
        gain: how many of the numbers that the file stores make one millivolt; instead of ``units``.
        leads: names of the leads in the order of the file.
        order: of an array without names: ``time_lead`` or ``lead_time``.
        record: which of the recordings of a file is wanted, counted from 0.
    """

    fs_hz: float | None = None
    units: str | None = None
    gain: float | None = None
    leads: Sequence[str] | None = None
    order: str | None = None
    record: int | None = None


@dataclass(frozen=True)
class Channel:
    """One signal of a file as the file gives it.

    Attributes:
        name: as the file spells it; empty where it has no names.
        values: ``(time,)`` float64 in ``unit``; NaN where a sample is missing.
        fs_hz: sampling rate in Hz, if the file says it.
        unit: as the file spells it; empty where it says none.
        gain: how many stored numbers make one ``unit``, where the file stores whole numbers and says so.
        noticed: what is wrong with it that its samples do not show; a note of the file says more.
    """

    name: str
    values: np.ndarray
    fs_hz: float | None
    unit: str = ""
    gain: float | None = None
    noticed: tuple[ReaderFlag, ...] = ()

    @classmethod
    def stored(
        cls,
        name: str,
        numbers: np.ndarray,
        fs_hz: float | None,
        step: float | None,
        unit: str,
        noticed: tuple[ReaderFlag, ...] = (),
    ) -> "Channel":
        """A signal of stored numbers, of which ``step`` says how many ``unit`` each is; 0 and ``None``: not known."""
        if not step:
            return cls(name, numbers, fs_hz, noticed=noticed)
        # Numbers beyond all measure become infinite, which the checks of a recording refuse.
        with np.errstate(over="ignore", invalid="ignore"):
            return cls(name, numbers * step, fs_hz, unit, abs(1 / step), noticed)


@dataclass(frozen=True)
class MissingField:
    """What a file does not say and only its owner can: answer it by reading again with the hint named ``field``.

    Attributes:
        field: name of the hint: ``fs_hz``, ``units``, ``gain``, ``leads`` or ``record``.
        text: the question, in a plain sentence.
        suggestion: the likely answer, to be confirmed; ``None`` where there is none.
        allowed: the answers to choose from; empty for any.
    """

    field: str
    text: str
    suggestion: str | float | tuple[str, ...] | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawRecording:
    """What a reader finds in a file, before any of it is checked or converted.

    Attributes:
        format: name of the format.
        channels: the signals, in the order of the file.
        patient: what the file says of the patient, as ``ECGRecord.patient``, not checked yet; ``None``: not understood.
        notes: what is odd about the file, in plain sentences.
        unit_question: what to ask where the units are not known, if the format has a better question than the usual.
        rate_question: the same for the sampling rate.
        unchosen: how many recordings the file holds if it is not said which is wanted; the channels are of the first.
    """

    format: str
    channels: tuple[Channel, ...]
    patient: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit_question: MissingField | None = None
    rate_question: MissingField | None = None
    unchosen: int = 0


OWN_MARK, LAYOUT, ANY_TEXT = range(3)
"""How sure a format knows its files: by bytes of its own, by how a text is laid out, or because it may be any text."""
ARCHIVE_ENDING = ".zip"
_LOOKED_AT = 16_384


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: how messages, help and documentation call it.
        endings: of its files, lower case, the first the usual one: folders are searched for them.
        sniff: ``sniff(content, name)``: whether a file is of this format.
        read: ``read(file, files, hints)``: what is found in one of some files, by name; it refuses with a
            ``RecordingError`` of a field, which becomes a ``ReaderError`` of that file.
        sureness: ``OWN_MARK``, ``LAYOUT`` or ``ANY_TEXT``; formats that are surer are asked first.
        part_endings: of the further files of a recording, which lie beside its first file.
        many: whether a file may hold several recordings, of which ``ReadOptions.record`` names one.
        parts: ``parts(file, content)``: per further file, the paths under which it may lie, the likeliest first.
    """

    name: str
    endings: tuple[str, ...]
    sniff: Callable[[bytes, str], bool]
    read: Callable[[str, Mapping[str, bytes], ReadOptions], RawRecording]
    sureness: int = OWN_MARK
    part_endings: tuple[str, ...] = ()
    parts: Callable[[str, bytes], tuple[tuple[str, ...], ...]] = lambda file, content: ()
    many: bool = False


FORMATS: dict[str, Format] = {}
"""Name -> format."""


def register(kind: Format) -> Format:
    """Add a format, or replace that of the same name."""
    FORMATS[kind.name] = kind
    return kind


def begins_with(*marks: bytes, at: int = 0) -> Callable[[bytes, str], bool]:
    """A ``sniff``: one of some marks stands at a place."""
    return lambda content, name: content.startswith(marks, at)


def formats() -> tuple[Format, ...]:
    """All formats, the surest first."""
    return tuple(sorted(FORMATS.values(), key=lambda kind: kind.sureness))


def format_of(content: bytes, name: str) -> Format | None:
    """The format of a file; ``None`` if it is of none."""
    return next((kind for kind in formats() if kind.sniff(content, name)), None)


def formats_read() -> str:
    """All formats in words, with the endings of their files."""
    named = []
    for kind in formats():
        beside = f" with {' or '.join(kind.part_endings)}" if kind.part_endings else ""
        named.append(f"{kind.name} ({', '.join(kind.endings)}{beside})")
    return ", ".join(sorted(named, key=str.casefold)) + f"; one recording of them in a {ARCHIVE_ENDING}"


def endings_read() -> frozenset[str]:
    """Endings of files that may hold a recording."""
    return frozenset({ARCHIVE_ENDING}.union(*(kind.endings for kind in formats())))


def text_of(content: bytes) -> str | None:
    """The beginning of a file as text; ``None`` if it is none."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content[:_LOOKED_AT].decode(encoding, errors="ignore").lstrip()
    except UnicodeError:
        return None
