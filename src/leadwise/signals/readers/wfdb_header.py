"""Headers of WFDB records (format of ``header(5)`` of the WFDB Applications Guide): read strictly, written anew.

A header from anybody names files and sizes that a library would follow, so it is read here, held against the files
that are there, and only a clean copy of it is given to the library.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePath

from leadwise.signals.readers.errors import MOST_CHANNELS, MOST_SAMPLES, ReaderError, shown_text

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

FORMATS = ("16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524")
"""Of those that wfdb reads all but 8, the differences of which need a first value that headers often lack."""
SIGNAL_ENDINGS = (".dat", ".mat")
DEFAULT_FS_HZ = 250.0
LONGEST_HEADER, LONGEST_LINE = 2**18, 2000
LARGEST_NUMBER = 2**31
MOST_SAMPLES_PER_FRAME = 1000
MOST_SKEW = 10_000
"""Samples between channels that were recorded side by side on tape: a few."""


@dataclass(frozen=True)
class SignalLine:
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


@dataclass(frozen=True)
class Header:
    """A header without names, dates and times.

    Attributes:
        fs_hz: frames per second.
        samples: frames, if the header says it.
        signals: one per signal.
        comments: the lines of comment.
    """

    fs_hz: float
    samples: int | None
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...]

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Names of the signal files, each once."""
        return tuple(dict.fromkeys(line.file for line in self.signals))

    def held_as(self, names: Container[str]) -> dict[str, str]:
        """Under which of some names, which have no folders, the signal files are held; those that are not are left."""
        found = {file: [name for name in spellings(file) if name in names] for file in self.files}
        return {file: held[0] for file, held in found.items() if held}

    def rewritten(self, names: dict[str, str]) -> str:
        """A clean header for the record ``record``, with other names of the signal files.

        Args:
            names: new name of each file.
        """
        length = "" if self.samples is None else f" {self.samples}"
        lines = [f"record {len(self.signals)} {self.fs_hz!r}{length}"]
        for number, line in enumerate(self.signals):
            frame = f"x{line.samples_per_frame}" if line.samples_per_frame > 1 else ""
            skew = f":{line.skew}" if line.skew else ""
            offset = f"+{line.offset}" if line.offset else ""
            gain = f"{line.gain or 1.0!r}({line.baseline})/mV 0 {line.zero}"
            lines.append(f"{names[line.file]} {line.format}{frame}{skew}{offset} {gain} 0 0 0 s{number}")
        return "\n".join(lines) + "\n"


def spellings(file: str) -> tuple[str, ...]:
    """Names of a signal file without its folder: as its header spells it, and with the ending that it may lack."""
    base = file.rpartition("/")[2]
    return (base, *(f"{base}{ending}" for ending in SIGNAL_ENDINGS))


def looks_like_header(text: str) -> bool:
    """Whether a text begins as a header does, with at least one line of a signal."""
    lines = [line for line in text[:4096].splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        return False
    record = _RECORD.match(lines[0])
    return record is not None and (record["segments"] is not None or _SIGNAL.match(lines[1]) is not None)


# A record is asked for its header three times on its way.
@lru_cache(maxsize=2)
def read_header(file: str, text: str) -> Header:
    """Read and check a header.

    Raises:
        ReaderError: a line is not as it should be, or something in it is beyond all measure.
    """
    lines = [line.rstrip("\r") for line in text[:LONGEST_HEADER].split("\n")]
    if len(text) > LONGEST_HEADER or max(map(len, lines)) > LONGEST_LINE:
        raise ReaderError(file, "header", f"is longer than {LONGEST_HEADER} characters, or a line than {LONGEST_LINE}")
    comments = tuple(line for line in lines if line.startswith("#"))
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    record = _RECORD.match(lines[0]) if lines else None
    if record is None:
        raise ReaderError(file, "record line", "is not 'name signals rate samples', as in a WFDB header")
    # rec/12 is a record of 12 segments, or record 12 of a folder, of which the header is called 12.hea.
    if record["segments"] is not None and not (PurePath(file).stem == record["segments"] != record["name"]):
        raise ReaderError(file, "record line", "is of a record of several segments; one segment is read")
    count = _whole(file, "number of signals", record["signals"], 1, MOST_CHANNELS)
    if len(lines) - 1 < count:
        raise ReaderError(file, "signal lines", f"{count} are announced, {len(lines) - 1} are there")
    samples = _whole(file, "number of samples", record["samples"] or "0", 0, MOST_SAMPLES)
    fs_hz = float(record["fs"] or DEFAULT_FS_HZ)
    if not 0 < fs_hz < LARGEST_NUMBER:
        raise ReaderError(file, "fs_hz", f"received {fs_hz:g}")
    signals = tuple(_signal(file, number, line) for number, line in enumerate(lines[1 : count + 1]))
    return Header(fs_hz, samples or None, signals, comments)


def _signal(file: str, number: int, text: str) -> SignalLine:
    field = f"signal line {number + 1}"
    match = _SIGNAL.match(text)
    if match is None:
        raise ReaderError(file, field, "is not 'file format gain ... description', as in a WFDB header")
    parts = match["file"].split("/")
    if re.search(r"[\\:]", match["file"]) or not {"", "~", "-", ".", ".."}.isdisjoint(parts):
        raise ReaderError(file, field, f"names {shown_text(match['file'])}; a file beside the header is needed")
    if match["format"] not in FORMATS:
        raise ReaderError(file, field, f"format {shown_text(match['format'])} is not read; {', '.join(FORMATS)} are")
    gain = float(match["gain"] or 0)
    if not 0 <= gain < LARGEST_NUMBER:
        raise ReaderError(file, field, f"received a gain of {gain:g}")
    zero = _whole(file, field, match["zero"] or "0", -LARGEST_NUMBER, LARGEST_NUMBER)
    return SignalLine(
        file=match["file"],
        format=match["format"],
        samples_per_frame=_whole(file, field, match["frame"] or "1", 1, MOST_SAMPLES_PER_FRAME),
        skew=_whole(file, field, match["skew"] or "0", 0, MOST_SKEW),
        offset=_whole(file, field, match["offset"] or "0", 0, LARGEST_NUMBER),
        gain=gain or None,
        baseline=_whole(file, field, match["baseline"] or str(zero), -LARGEST_NUMBER, LARGEST_NUMBER),
        units=match["units"] or "mV",
        zero=zero,
        initial=int(match["initial"][:12]) if match["initial"] else None,
        checksum=int(match["checksum"][:12]) if match["checksum"] else None,
        description=(match["description"] or "").strip(),
    )


def _whole(file: str, field: str, text: str, low: int, high: int) -> int:
    value = int(text) if len(text) <= 12 else high + 1
    if not low <= value <= high:
        raise ReaderError(file, field, f"received {shown_text(text)}; {low} to {high} is allowed")
    return value
