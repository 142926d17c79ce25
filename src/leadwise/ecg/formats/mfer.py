"""MFER (Medical waveform Format Encoding Rules, ISO 22077-1): definitions of a tag, a length and a value each.

What a definition says holds until another says otherwise; those within ``MWF_ATT`` are of one channel. ``MWF_WAV`` is a
frame: sequences of a block of every channel in turn. Frames that follow each other are one recording; one of dominant
beats (waveform type 9) is none. Files without the preamble ``MFR`` are not told from others, so not read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, register, within
from leadwise.ecg.formats.parsing import numbered_lead
from leadwise.ecg.formats.patient import SEXES, day_of, facts_said
from leadwise.ecg.record import RecordingError

FORMAT = "MFER"
PREAMBLE, BYTE_ORDER, END, CHANNEL, SET, WAVES = 0x40, 0x01, 0x80, 0x3F, 0x67, 0x1E
BLOCK, CHANNELS, SEQUENCES, KIND, LEAD, TYPE, INTERVAL, STEP, OFFSET, PACKED, NULL = (
    0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x12
)  # fmt: skip
AGE, SEX, TIME = 0x83, 0x84, 0x85
OF_CHANNELS = frozenset({BLOCK, SEQUENCES, KIND, LEAD, TYPE, INTERVAL, STEP, OFFSET, NULL})
TYPES = {0: "i2", 1: "u2", 2: "i4", 3: "u1", 5: "i1", 6: "u4", 7: "f4", 8: "f8"}
DOMINANT_BEATS = 9
MOST_DEFINITIONS, DEEPEST = 10_000, 8


@dataclass
class _Reading:
    """What holds at a place of a file, and what was found so far; definitions by tag, of all channels or of one."""

    order: str = "big"
    count: int = 1
    common: dict[int, bytes] = field(default_factory=dict)
    own: dict[int, dict[int, bytes]] = field(default_factory=dict)
    facts: dict[int, bytes] = field(default_factory=dict)
    frames: list[list[tuple[dict[int, bytes], np.ndarray]]] = field(default_factory=list)
    seen: int = 0
    numbers: int = 0

    def whole(self, value: bytes, *, signed: bool = False) -> int:
        return int.from_bytes(value, "big" if self.order == "big" else "little", signed=signed)


def read_mfer(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the frames of samples. Refused: there are none, they are packed, or a definition is broken."""
    reading = _Reading()
    _walk(reading, files[file], None)
    if not reading.frames:
        raise RecordingError("MWF_WAV", "is missing: there are no samples")
    first, notes = reading.frames[0], []
    alike = [frame for frame in reading.frames if [own for own, _ in frame] == [own for own, _ in first]]
    if len(alike) < len(reading.frames):
        notes.append(f"Of {len(reading.frames)} frames those {len(alike)} were read that are laid out as the first.")
    channels = []
    for place, (own, _) in enumerate(first):
        values = np.concatenate([frame[place][1] for frame in alike])
        if OFFSET in own and any(own[OFFSET]):
            notes.append(f"The offset of signal {place + 1} was not added: it is no part of an ECG.")
        channels.append(_channel(reading, own, values))
    return RawRecording(FORMAT, tuple(channels), _patient(reading), tuple(notes[:12]))


def _definitions(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Tag, channel (of ``MWF_ATT``) and value of each definition; one without an end has what follows for its value."""
    at = 0
    while at < len(content):
        tag, channel, at = content[at], 0, at + 1
        if tag == 0:
            continue
        if tag == END:
            return
        while tag == CHANNEL and at < len(content):
            channel, at = channel << 7 | content[at] & 0x7F, at + 1
            if content[at - 1] < 0x80 or channel >= Most.CHANNELS:
                break
        length = content[at] if at < len(content) else -1
        at += 1
        if length > 0x80:
            wide = length & 0x7F
            length, at = int.from_bytes(content[at : at + wide], "big"), at + wide
        elif length == 0x80:
            end = content.find(b"\0\0", at)
            length = (end if end >= 0 else len(content)) - at
        if length < 0 or at + length > len(content):
            announced = f"{length} bytes are announced, {max(len(content) - at, 0)} follow"
            raise RecordingError("MFER", f"is cut off in the definition {tag:#04x} at byte {at}: {announced}")
        yield tag, channel, content[at : at + length]
        at += length


def _walk(reading: _Reading, content: bytes, channel: int | None, depth: int = 0) -> None:
    """Follow the definitions; ``channel`` is that of the ``MWF_ATT`` around them."""
    if depth > DEEPEST:
        raise RecordingError("MFER", f"has definitions within definitions, more than {DEEPEST} deep")
    for tag, number, value in _definitions(content):
        reading.seen += 1
        if reading.seen > MOST_DEFINITIONS:
            raise RecordingError("MFER", f"has more than {MOST_DEFINITIONS} definitions; an ECG has fewer")
        if tag in (CHANNEL, SET) and len(value) < len(content):
            inside = number if tag == CHANNEL else channel
            if tag == SET or (channel is None and number < reading.count):
                _walk(reading, value, inside, depth + 1)
        elif tag in OF_CHANNELS:
            held = reading.common if channel is None else reading.own.setdefault(channel, {})
            held[tag] = value
        elif tag in (AGE, SEX, TIME):
            reading.facts[tag] = value
        elif tag == WAVES:
            _frame(reading, value)
        else:
            _layout(reading, tag, value)


def _layout(reading: _Reading, tag: int, value: bytes) -> None:
    """Definitions of the whole file: the order of bytes, the channels, and that nothing is compressed."""
    if tag == BYTE_ORDER:
        reading.order = "little" if value == b"\1" else "big"
    elif tag == CHANNELS:
        reading.count, reading.own = reading.whole(value) if value else 1, {}
        within("MWF_CHN", reading.count, 1, Most.CHANNELS)
    elif tag == PACKED and any(value[:2]):
        raise RecordingError("MWF_CMP", "says that the samples are compressed, which is not read")


def _frame(reading: _Reading, content: bytes) -> None:
    """Take a frame apart: sequences of a block of every channel."""
    if reading.common.get(KIND) and reading.whole(reading.common[KIND][:2]) == DOMINANT_BEATS:
        return
    shared = {tag: value for tag, value in reading.common.items() if tag != LEAD or reading.count == 1}
    own = [shared | reading.own.get(place, {}) for place in range(reading.count)]
    kinds = [definitions[TYPE][0] if definitions.get(TYPE) else 0 for definitions in own]
    if unknown := [kind for kind in kinds if kind not in TYPES]:
        read = ", ".join(map(str, TYPES))
        raise RecordingError("MWF_DTP", f"received data type {unknown[0]}; {read} are read")
    mark = ">" if reading.order == "big" else "<"
    types = [np.dtype(mark + TYPES[kind]) for kind in kinds]
    blocks = [reading.whole(definitions[BLOCK]) if definitions.get(BLOCK) else 1 for definitions in own]
    length = sum(block * kind.itemsize for block, kind in zip(blocks, types, strict=True))
    there = len(content) // length if length and min(blocks) > 0 else 0
    stated = {reading.whole(definitions[SEQUENCES]) for definitions in own if definitions.get(SEQUENCES)}
    if len(stated) > 1 or not there or max(stated, default=there) > there:
        needed = f"{max(stated, default=1)} sequences of {length} bytes are needed"
        raise RecordingError("MWF_WAV", f"is cut off: {needed}, {len(content)} bytes follow")
    sequences = max(stated, default=there) or there
    reading.numbers += sequences * sum(blocks)
    if reading.numbers > Most.NUMBERS or sequences * max(blocks) > Most.SAMPLES:
        raise RecordingError("MWF_WAV", f"holds {reading.numbers} samples; {Most.NUMBERS} at most are read")
    table = np.frombuffer(content, np.uint8, sequences * length).reshape(sequences, length)
    channels, at = [], 0
    for definitions, block, kind in zip(own, blocks, types, strict=True):
        width = block * kind.itemsize
        stored = np.ascontiguousarray(table[:, at : at + width]).view(kind).reshape(-1)
        values = stored.astype(np.float64)
        null = definitions.get(NULL, b"")
        if len(null) == kind.itemsize:
            values[stored == np.frombuffer(null, kind)[0]] = np.nan
        channels.append((definitions, values))
        at += width
    reading.frames.append(channels)


def _channel(reading: _Reading, own: Mapping[int, bytes], values: np.ndarray) -> Channel:
    """A signal with its rate and its step, each as far as the file says it."""
    code = reading.whole(own[LEAD][:2]) if own.get(LEAD) else 0
    name = numbered_lead(code, "MFER") if code else ""
    fs_hz = None
    if len(own.get(INTERVAL, b"")) >= 3:
        unit, amount = _amount(reading, own[INTERVAL])
        if unit in (0, 1) and 1e-6 < amount < 1e6:
            fs_hz = amount if unit == 0 else round(1 / amount, 6)
        else:
            raise RecordingError("MWF_IVL", "is no rate in Hz, nor an interval in seconds")
    unit, step = _amount(reading, own[STEP]) if len(own.get(STEP, b"")) >= 3 else (0, 0.0)
    return Channel.stored(name, values, fs_hz, step if unit == 0 and step > 0 else None, "V")


def _amount(reading: _Reading, value: bytes) -> tuple[int, float]:
    """The code of a unit, and an amount of it: a number and the power of ten that it is multiplied with."""
    power = int.from_bytes(value[1:2], signed=True)
    return value[0], float(reading.whole(value[2:6], signed=True)) * 10.0**power


def _patient(reading: _Reading) -> dict[str, float | None]:
    """Age and sex; the dates only serve to know the age at the recording."""
    age = reading.facts.get(AGE, b"")
    years, days = age[0] if age else 0, reading.whole(age[1:3])
    return facts_said(
        age=f"{years} years" if years else f"{days} days" if days else "",
        born=_day(reading, age[3:7]),
        recorded=_day(reading, reading.facts.get(TIME, b"")),
        sex=SEXES.get(reading.whole(reading.facts.get(SEX, b"")[:1]), ""),
    )


def _day(reading: _Reading, value: bytes) -> str:
    return day_of(reading.whole(value[:2]), value[2], value[3]) if len(value) >= 4 else ""


def _sniff(content: bytes, name: str) -> bool:
    return content[:1] == bytes([PREAMBLE]) and content[2:6] == b"MFR "


register(Format(FORMAT, (".mwf", ".mfer"), _sniff, read_mfer))
