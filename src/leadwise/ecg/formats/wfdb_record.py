"""WFDB records, as PhysioNet publishes them: a header (``.hea``) and its signal files (``.dat``, ``.mat``)."""

import re
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from leadwise.ecg.formats import base
from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReaderError, ReadOptions
from leadwise.ecg.formats.parsing import checksum_note
from leadwise.ecg.formats.patient import facts_of, pairs_in
from leadwise.ecg.record import ReaderFlag

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RECORD = re.compile(
    rf"^(?P<name>[^\s/]+(?:/[^\s/]+)*?)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d+)"
    rf"(?:[ \t]+(?P<fs>{_NUMBER})(?:/\S*)?(?:[ \t]+(?P<samples>\d+)(?:[ \t].*)?)?)?[ \t]*$"
)
_SIGNAL = re.compile(
    rf"^(?P<file>\S+)[ \t]+(?P<format>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?"
    rf"(?:[ \t]+(?P<gain>{_NUMBER})(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<units>\S+))?"
    rf"(?:[ \t]+(?P<resolution>\d+)(?:[ \t]+(?P<zero>[-+]?\d+)(?:[ \t]+(?P<initial>[-+]?\d+)"
    rf"(?:[ \t]+(?P<checksum>[-+]?\d+)(?:[ \t]+(?P<block>\d+)(?:[ \t]+(?P<description>.*))?)?)?)?)?)?)?[ \t]*$"
)

_OWN = re.compile(r"(\S+)( \S+ \S+ \d+ -?\d+ )(-?\d{1,11}) (-?\d{1,11}) (.*)")
"""Of a signal line as PhysioNet writes it: file, first value and checksum are its own, and what is around them not."""

FORMATS = ("16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524")
"""Of those that wfdb reads all but 8, the differences of which need a first value that headers often lack."""
HEADER_ENDING = ".hea"
SIGNAL_ENDINGS = (".dat", ".mat")
DEFAULT_FS_HZ = 250.0
LONGEST_HEADER, LONGEST_LINE = 2**18, 2000
LARGEST_NUMBER = 2**31
MOST_SAMPLES_PER_FRAME = 1000
MOST_SKEW = 10_000
"""Samples between channels that were recorded side by side on tape: a few."""


class SignalLine(NamedTuple):
    """One signal as its header describes it; ``gain`` is ``None`` where the header gives none."""

    file: str
    format: str
    samples_per_frame: int
    skew: int
    offset: int
    gain: float | None
    baseline: int
    units: str
    zero: int
    initial: int | None
    checksum: int | None
    description: str


class Header(NamedTuple):
    """A header without dates and times.

    Attributes:
        name: of the record.
        fs_hz: frames per second.
        samples: frames, if the header says it.
        signals: one per signal.
        files: names of the signal files, each once.
        comments: the lines of comment.
    """

    name: str
    fs_hz: float
    samples: int | None
    signals: tuple[SignalLine, ...]
    files: tuple[str, ...]
    comments: tuple[str, ...]


def spellings(file: str) -> tuple[str, ...]:
    """Names of a signal file without its folder: as its header spells it, and with the ending that it may lack."""
    bare = file.rpartition("/")[2]
    return (bare, *(f"{bare}{ending}" for ending in SIGNAL_ENDINGS))


# A record is asked for its header three times on its way.
@lru_cache(maxsize=2)
def read_header(file: str, text: str) -> Header:
    """Read and check a header. Refused: a line is not as it should be, or something in it is beyond all measure."""
    lines = [line.rstrip("\r") for line in text[:LONGEST_HEADER].split("\n")]
    if len(text) > LONGEST_HEADER or max(map(len, lines)) > LONGEST_LINE:
        raise ReaderError(file, "header", f"is longer than {LONGEST_HEADER} characters, or a line than {LONGEST_LINE}")
    comments = tuple(line for line in lines if line.startswith("#"))
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    record = _RECORD.match(lines[0]) if lines else None
    if record is None:
        raise ReaderError(file, "record line", "is not 'name signals rate samples', as in a WFDB header")
    if _is_of_segments(record, file):
        raise ReaderError(file, "record line", "is of a record of several segments; one segment is read")
    count = _whole(file, "number of signals", record["signals"], 1, Most.CHANNELS)
    if len(lines) - 1 < count:
        raise ReaderError(file, "signal lines", f"{count} are announced, {len(lines) - 1} are there")
    samples = _whole(file, "number of samples", record["samples"] or "0", 0, Most.SAMPLES)
    fs_hz = float(record["fs"] or DEFAULT_FS_HZ)
    if not 0 < fs_hz < LARGEST_NUMBER:
        raise ReaderError(file, "fs_hz", f"received {fs_hz:g}")
    signals = tuple(_signal(file, number, line) for number, line in enumerate(lines[1 : count + 1]))
    files = tuple(dict.fromkeys(line.file for line in signals))
    return Header(record["name"], fs_hz, samples or None, signals, files, comments)


def _signal(file: str, number: int, text: str) -> SignalLine:
    try:
        if (own := _OWN.fullmatch(text)) is None:
            return _signal_line(text)
        # The lines of a collection differ in these only, so the rest of most was understood before.
        common = _signal_line(f"-{own[2]}0 0 {own[5]}")
        return SignalLine(_beside(own[1]), *common[1:9], int(own[3]), int(own[4]), common.description)
    except ReaderError as error:
        raise ReaderError(file, f"signal line {number + 1}", error.problem) from None


@lru_cache(maxsize=256)
def _signal_line(text: str) -> SignalLine:
    match = _SIGNAL.match(text)
    if match is None:
        raise ReaderError("", "", "is not 'file format gain ... description', as in a WFDB header")
    if match["format"] not in FORMATS:
        raise ReaderError("", "", f"format {base.shown_text(match['format'])} is not read; {', '.join(FORMATS)} are")
    gain = float(match["gain"] or 0)
    if not 0 <= gain < LARGEST_NUMBER:
        raise ReaderError("", "", f"received a gain of {gain:g}")
    zero = _whole("", "", match["zero"] or "0", -LARGEST_NUMBER, LARGEST_NUMBER)
    return SignalLine(
        file=match["file"] if match["file"] == "-" else _beside(match["file"]),
        format=match["format"],
        samples_per_frame=_whole("", "", match["frame"] or "1", 1, MOST_SAMPLES_PER_FRAME),
        skew=_whole("", "", match["skew"] or "0", 0, MOST_SKEW),
        offset=_whole("", "", match["offset"] or "0", 0, LARGEST_NUMBER),
        gain=gain or None,
        baseline=_whole("", "", match["baseline"] or str(zero), -LARGEST_NUMBER, LARGEST_NUMBER),
        units=match["units"] or "mV",
        zero=zero,
        initial=int(match["initial"][:12]) if match["initial"] else None,
        checksum=int(match["checksum"][:12]) if match["checksum"] else None,
        description=(match["description"] or "").strip(),
    )


@lru_cache(maxsize=2)
def _beside(name: str) -> str:
    """The name of a signal file, which must lie beside the header or below."""
    if re.search(r"[\\:]", name) or not {"", "~", "-", ".", ".."}.isdisjoint(name.split("/")):
        raise ReaderError("", "", f"names {base.shown_text(name)}; a file beside the header is needed")
    return name


def _whole(file: str, field: str, text: str, low: int, high: int) -> int:
    value = int(text) if len(text) <= 12 else high + 1
    if not low <= value <= high:
        raise ReaderError(file, field, f"received {base.shown_text(text)}; {low} to {high} is allowed")
    return value


FORMAT = "WFDB"
USUAL_GAIN = 200.0
"""Units per millivolt that the header specification assumes where a header states none."""
PACKED_IN_BITS = {"80": 8, "160": 16, "16": 16, "61": 16, "24": 24, "32": 32, "212": 12, "310": 10, "311": 10}
"""Bits that a sample takes in a file at least; formats 508, 516 and 524 are compressed."""


def read_wfdb(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read a record from its header and its signal files.

    Refused: a signal file is missing or cut off, or the header is broken.
    """
    header = read_header(file, files[file].decode("utf-8", errors="replace"))
    files = _signal_files(file, header, files)
    stored = stored_samples(file, header, files)
    damaged = _damaged_signals(header, stored)
    asked = "The header gives no gain: how many units make one mV? The WFDB specification assumes 200."
    lacking = any(line.gain is None for line in header.signals)
    question = base.MissingField("gain", asked, suggestion=USUAL_GAIN) if lacking else None
    channels = []
    for place, (line, values) in enumerate(zip(header.signals, _in_units(header, stored), strict=True)):
        fs_hz, unit = header.fs_hz * line.samples_per_frame, line.units if line.gain else ""
        noticed: tuple[ReaderFlag, ...] = ("checksum_mismatch",) if place in damaged else ()
        channels.append(Channel(line.description, values, fs_hz, unit, line.gain, noticed))
    named = [header.signals[place].description or "one without a name" for place in damaged]
    notes = (checksum_note("header", named),) if damaged else ()
    return RawRecording(FORMAT, tuple(channels), facts_of(pairs_in(header.comments)), notes, question)


def _signal_files(file: str, header: Header, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every signal file by its name in the header."""
    held: dict[str, str] = {}
    for name in header.files:
        held[name] = next((spelling for spelling in spellings(name) if spelling in files), "")
        if not held[name]:
            problem = f"names {base.shown_name(name)}, which is missing; give header and signal files together"
            raise ReaderError(file, "signal file", problem)
    if len(set(held.values())) < len(held):
        raise ReaderError(file, "signal file", "names two files that differ in folder or ending only; one is needed")
    return {name: files[given] for name, given in held.items()}


def stored_samples(file: str, header: Header, files: Mapping[str, bytes]) -> np.ndarray | list[np.ndarray]:
    """The stored numbers of every signal, whether they fit their checksums or not.

    Args:
        file: name of the header, for messages.
        header: what it says.
        files: every signal file by its name in the header.

    Returns:
        ``(signal, time)`` of the type in the file, or where signals differ in length one ``(time,)`` each.

    Refused: a file is cut off or cannot be decoded.
    """
    for name in header.files:
        lines = [line for line in header.signals if line.file == name]
        bits = PACKED_IN_BITS.get(lines[0].format)
        if bits is None or header.samples is None:
            continue
        a_frame = sum(line.samples_per_frame for line in lines)
        needed = int(header.samples * a_frame * bits / 8) + lines[0].offset
        if len(files[name]) < needed:
            problem = f"is cut off: received {len(files[name])} bytes, {needed} are needed by {file}"
            raise ReaderError(name, "signal file", problem)
    if not is_plain(header) or not header.samples:
        return _read_by_library(file, header, files)
    # The library takes ten times as long for a record as most are.
    count, offset = len(header.signals), header.signals[0].offset
    by_time = np.frombuffer(files[header.files[0]], "<i2", header.samples * count, offset)
    return np.ascontiguousarray(by_time.reshape(-1, count).T)


def is_plain(header: Header) -> bool:
    """Whether the samples are 16-bit numbers in one file, one of every signal after the other."""
    layouts = {(line.format, line.samples_per_frame, line.skew) for line in header.signals}
    offsets = {line.offset for line in header.signals}
    return len(header.files) == len(offsets) == 1 and layouts == {("16", 1, 0)}


def _read_by_library(file: str, header: Header, files: Mapping[str, bytes]) -> list[np.ndarray]:
    """The stored numbers of every signal, by wfdb: it reads from a disk, so a folder is made for it, and removed."""
    import wfdb

    names = {name: f"signal{number}.dat" for number, name in enumerate(header.files)}
    # Several samples a frame are averaged unless they are asked for, but format 61 can only be read when they are not.
    one_a_frame = all(line.samples_per_frame == 1 for line in header.signals)
    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        for name, new in names.items():
            Path(folder, new).write_bytes(files[name])
        Path(folder, "record.hea").write_text(_clean_header(header, names), encoding="ascii")
        named = [f"{base.shown_name(line.file)} of format {line.format}" for line in header.signals]
        formats = ", ".join(dict.fromkeys(named))
        with base.by_library("signal file", f"what the header says is needed: {formats}"):
            record = wfdb.rdrecord(str(Path(folder, "record")), physical=False, smooth_frames=one_a_frame)
    return record.d_signal.T if one_a_frame else [np.asarray(signal) for signal in record.e_d_signal]


def _clean_header(header: Header, names: Mapping[str, str]) -> str:
    """A header for the record ``record``, with other names of the signal files."""
    length = "" if header.samples is None else f" {header.samples}"
    lines = [f"record {len(header.signals)} {header.fs_hz!r}{length}"]
    for number, line in enumerate(header.signals):
        frame = f"x{line.samples_per_frame}" if line.samples_per_frame > 1 else ""
        skew, offset = (f"{mark}{value}" if value else "" for mark, value in ((":", line.skew), ("+", line.offset)))
        gain = f"{line.gain or 1.0!r}({line.baseline})/mV 0 {line.zero}"
        lines.append(f"{names[line.file]} {line.format}{frame}{skew}{offset} {gain} 0 0 0 s{number}")
    return "\n".join(lines) + "\n"


def _in_units(header: Header, stored: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """Every signal in its units, NaN where its format marks a sample as missing."""
    if not isinstance(stored, np.ndarray):
        return [
            _in_units(header._replace(signals=(line,)), samples[None])[0]
            for line, samples in zip(header.signals, stored, strict=True)
        ]
    marks, baselines, gains = np.array(
        [(missing_mark(line.format), line.baseline, line.gain or 1.0) for line in header.signals]
    ).T[:, :, None]
    values = stored.astype(np.float64)
    if (stored.min(axis=1, keepdims=True, initial=0) <= marks).any():
        values[values == marks] = np.nan
    values -= baselines
    values /= gains
    return list(values)


def missing_mark(stored_format: str) -> int:
    """The lowest number of a format stands for a missing sample."""
    bits = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "24": 24, "524": 24, "32": 32}
    return -(2 ** (bits.get(stored_format, 16) - 1))


def _damaged_signals(header: Header, stored: np.ndarray | list[np.ndarray]) -> list[int]:
    """The signals whose samples do not fit their checksum in the header, if it has one."""
    # A product with ones adds up many times as fast, and whole numbers of this size exactly.
    signals = [stored] if isinstance(stored, np.ndarray) else [samples[None] for samples in stored]
    sums = [int(total) for samples in signals for total in samples.astype(np.float64) @ np.ones(samples.shape[1])]
    return [
        place
        for place, (line, total, samples) in enumerate(zip(header.signals, sums, stored, strict=True))
        if line.checksum is not None and not line.skew and len(samples) and (total - line.checksum) % 65536
    ]


def _first_lines(content: bytes) -> list[str]:
    head = (base.text_of(content) or "")[:4096]
    return [line for line in head.splitlines() if line.strip() and not line.startswith("#")]


def leads_to_segments(content: bytes, name: str) -> bool:
    """Whether a header is that of several segments, or of the layout of their signals."""
    lines = _first_lines(content)
    record = _RECORD.match(lines[0]) if lines else None
    return record is not None and (_is_of_segments(record, name) or (len(lines) > 1 and lines[1].startswith("~ ")))


def _is_of_segments(record: re.Match[str], file: str) -> bool:
    """``rec/12`` is a record of 12 segments, or record 12 of a folder, of which the header is called ``12.hea``."""
    return record["segments"] is not None and not (PurePath(file).stem == record["segments"] != record["name"])


def _sniff(content: bytes, name: str) -> bool:
    if base.text_of(content) is None or leads_to_segments(content, name):
        return False
    lines = _first_lines(content)
    is_header = len(lines) > 1 and _RECORD.match(lines[0]) is not None and _SIGNAL.match(lines[1]) is not None
    return is_header or name.casefold().endswith(HEADER_ENDING)


@lru_cache(maxsize=2)
def _parts(file: str, content: bytes) -> tuple[tuple[str, ...], ...]:
    """The signal files: in the folder below that the header names, or else beside it."""
    places = []
    for named in read_header(file, content.decode("utf-8", errors="replace")).files:
        folder, slash, _ = named.rpartition("/")
        places.append(
            tuple(dict.fromkeys([f"{folder}{slash}{bare}" for bare in spellings(named)] + [*spellings(named)]))
        )
    return tuple(places)


base.register(Format(FORMAT, (HEADER_ENDING,), _sniff, read_wfdb, base.LAYOUT, SIGNAL_ENDINGS, _parts))
