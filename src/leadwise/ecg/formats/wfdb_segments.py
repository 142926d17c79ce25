"""WFDB records of several segments: a header that names the records of which it is made, one after the other.

Of a fixed layout every segment has the signals of the first; of a variable one the first line names a header without
samples, the layout, which lists all signals, and a segment may lack some of them. A segment called ``~`` is a gap.
Signals are put together by their description; what a segment lacks is missing there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.ecg.formats.base import LAYOUT, Channel, Format, Most, RawRecording, ReadOptions, register, shown_text
from leadwise.ecg.formats.parsing import unit_ratio
from leadwise.ecg.formats.wfdb_record import HEADER_ENDING, SIGNAL_ENDINGS, leads_to_segments, read_wfdb
from leadwise.ecg.record import RecordingError

FORMAT, NAME = "WFDB", "WFDB of several segments"
GAP = "~"
_RECORD = re.compile(r"[^\s/]+/(\d{1,9})[ \t]+(\d{1,9})(?:[ \t]+([\d.eE+-]{1,20})\S*(?:[ \t]+(\d{1,12}).*)?)?")
_SEGMENT = re.compile(r"([\w~.-]{1,200})[ \t]+(\d{1,12})[ \t]*")
MOST_SEGMENTS = 10_000


@dataclass(frozen=True)
class _Header:
    """Rate, and the segments with their samples; the layout, if there is one."""

    fs_hz: float | None
    segments: tuple[tuple[str, int], ...]
    layout: str


def read_segments(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the segments and put them together.

    Refused: a segment is missing or broken, or the segments do not fit each other.
    """
    header = _header(files[file])
    if not header.segments:
        raise RecordingError("header", "is the layout of a record of several segments; give the record's header")
    read = {name: _segment(name, files, hints) for name, _ in header.segments if name != GAP}
    order = dict.fromkeys(channel.name for one in read.values() for channel in one.channels)
    channels = [_together(name, header, read) for name in order]
    facts: dict[str, float | None] = {}
    for one in reversed(read.values()):
        facts |= one.patient
    notes = [f"The file holds {len(header.segments)} segments, which were put together."]
    notes += dict.fromkeys(note for one in read.values() for note in one.notes)
    asked = next((one.unit_question for one in read.values() if one.unit_question), None)
    return RawRecording(FORMAT, tuple(channels), facts, tuple(notes[:12]), asked)


def _header(content: bytes) -> _Header:
    lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        return _Header(None, (), "")
    matches = [_SEGMENT.fullmatch(line) for line in lines[1 : MOST_SEGMENTS + 2]]
    segments = [(match[1], int(match[2])) for match in matches if match]
    if len(segments) != int(record[1]) or len(segments) > MOST_SEGMENTS or len(segments) < len(matches):
        raise RecordingError("segments", f"{record[1]} are announced, {len(segments)} are there")
    layout = segments.pop(0)[0] if segments and segments[0][1] == 0 else ""
    total = sum(samples for _, samples in segments)
    if not 0 < total <= Most.SAMPLES or any(name in (".", "..") for name, _ in segments):
        raise RecordingError("segments", f"hold {total} samples of a signal; 1 to {Most.SAMPLES} are read")
    if len({name for name, _ in segments}) > Most.FILES:
        raise RecordingError("segments", f"received {len(segments)}; at most {Most.FILES} files are read")
    try:
        fs_hz = float(record[3]) if record[3] else None
    except ValueError:
        raise RecordingError("fs_hz", f"received {shown_text(record[3])}; a number is needed") from None
    return _Header(fs_hz, tuple(segments), layout)


def _segment(name: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    header = name + HEADER_ENDING
    if header not in files:
        missing = f"{shown_text(header)} is missing; give all headers and signal files together"
        raise RecordingError("segments", missing)
    if leads_to_segments(files[header], header):
        raise RecordingError("segments", f"{shown_text(header)} is of several segments itself, or a layout")
    return read_wfdb(header, files, hints)


def _together(name: str, header: _Header, read: Mapping[str, RawRecording]) -> Channel:
    """A signal of all segments, NaN where one of them lacks it."""
    parts: Sequence[Channel] = [one for found in read.values() for one in found.channels if one.name == name]
    first, total = parts[0], sum(samples for _, samples in header.segments)
    values, at, gains = np.full(total, np.nan), 0, {one.gain for one in parts}
    for segment, samples in header.segments:
        held = [one for one in read[segment].channels if one.name == name] if segment != GAP else []
        for one in held[:1]:
            if len(one.values) != samples or one.fs_hz != first.fs_hz or header.fs_hz not in (None, one.fs_hz):
                told = f"{len(one.values)} samples at {one.fs_hz:g} Hz; {samples} at {header.fs_hz or first.fs_hz:g}"
                raise RecordingError("segments", f"{shown_text(segment)} holds {told} Hz are announced")
            factor = 1.0 if one.unit == first.unit else unit_ratio(one.unit, first.unit)
            if factor is None:
                received = f"{shown_text(one.unit)} and {shown_text(first.unit)}"
                raise RecordingError("segments", f"state {received} of one signal; the same unit is needed")
            values[at : at + samples] = one.values * factor
        at += samples
    noticed = tuple(dict.fromkeys(flag for one in parts for flag in one.noticed))
    return Channel(name, values, first.fs_hz, first.unit, first.gain if len(gains) == 1 else None, noticed)


def _parts(file: str, content: bytes) -> tuple[tuple[str, ...], ...]:
    """The headers of the segments, which lead to their signal files."""
    header = _header(content)
    names = dict.fromkeys(
        name for name in (header.layout, *(one for one, _ in header.segments)) if name not in ("", GAP)
    )
    return tuple((name + HEADER_ENDING,) for name in names)


register(Format(NAME, (HEADER_ENDING,), leads_to_segments, read_segments, LAYOUT, SIGNAL_ENDINGS, _parts))
