"""SCP-ECG (EN 1064:2005, ISO 11073-91064): sections with a checksum each, samples as differences in a Huffman code.

Section 0 says where the others lie, 1 holds the patient, 2 the Huffman tables, 3 the leads, 4 and 5 the reference beat,
6 the rhythm. What section 6 holds is whole where no reference beat was subtracted from it; where one was, it is added
back. A rhythm of two rates (bimodal compression) is refused by name, and so is the long-term rhythm of version 3
(section 12). No statements, names or ids are read.
"""

import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, by_library, register
from leadwise.ecg.formats.parsing import LEAD_NUMBERS, numbered_lead
from leadwise.ecg.formats.patient import SEXES, day_of, facts_said
from leadwise.ecg.record import RecordingError

FORMAT = "SCP-ECG"
PREAMBLE, HEADER, POINTER = 6, 16, 10
"""Bytes of the record's own header, of a section's, and of an entry of section 0."""
POINTERS, PATIENT, TABLES, LEADS, BEATS, REFERENCE, RHYTHM, LONG_RHYTHM = 0, 1, 2, 3, 4, 5, 6, 12
DEFAULT_TABLE = 19_999
MOST_PACKED = 2_000_000
"""Samples of all leads: a section holds no more than 64 KiB of a lead."""
MOST_TABLES, LONGEST_PREFIX, LONGEST_CODE = 16, 16, 48
VERSION_3 = 30
AGE_UNITS = {1: "years", 2: "months", 3: "weeks", 4: "days", 5: "hours"}
HEIGHT_UNITS, WEIGHT_UNITS = {1: "cm", 2: "in", 3: "mm"}, {1: "kg", 2: "g", 3: "lb", 4: "oz"}
LAST_TAG = 255


class _Code(NamedTuple):
    """A code of a Huffman table: bits of its prefix and in all, and its value; or the table that follows it."""

    prefix: int
    total: int
    value: int
    table: int | None = None


_Table = tuple[int, list[_Code | None]]
"""How many bits are looked at, and what they begin with, for all numbers that they make."""


class _Span(NamedTuple):
    """A lead: the first and the last of its samples, counted from 1, and its number of EN 1064."""

    first: int
    last: int
    number: int

    @property
    def samples(self) -> int:
        return self.last - self.first + 1


class _Block(NamedTuple):
    """Leads as section 5 or 6 holds them: nV and microseconds of a step, and the numbers of each."""

    step_nv: int
    step_us: int
    by_lead: list[np.ndarray]


def read_scp(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the rhythm of section 6. Refused: a section is missing, broken or packed in a way that is not read."""
    content = files[file]
    (size,) = struct.unpack_from("<I", content, 2)
    if not PREAMBLE + HEADER < size <= len(content):
        raise RecordingError("size", f"received {len(content)} bytes, {size} are announced: it may be cut off")
    content, notes = content[:size], []
    sections = _sections(content)
    if RHYTHM not in sections and LONG_RHYTHM in sections:
        raise RecordingError("section 6", "is missing: only a long-term rhythm (section 12) is held; export 10 s")
    for needed in (LEADS, RHYTHM):
        if needed not in sections:
            raise RecordingError(f"section {needed}", "is missing: leads (3) and rhythm (6) are needed")
    version = content[sections[POINTERS].start + 9]
    spans, subtracted = _leads(_body(content, sections[LEADS]))
    tables = _tables(_body(content, sections[TABLES])) if TABLES in sections else None
    rhythm = _block(RHYTHM, _body(content, sections[RHYTHM]), tables, [span.samples for span in spans])
    if _body(content, sections[RHYTHM])[5] and version < VERSION_3:
        raise RecordingError("section 6", "is packed at two rates (bimodal compression), which is not read")
    step_nv = rhythm.step_nv
    if subtracted:
        step_nv = _add_reference(content, sections, spans, tables, rhythm)
    damaged = _crc(content[2:]) != int.from_bytes(content[:2], "little") and any(
        _crc(content[where.start + 2 : where.stop]) != int.from_bytes(content[where.start :][:2], "little")
        for number, where in sections.items()
        if number in (POINTERS, TABLES, LEADS, BEATS, REFERENCE, RHYTHM)
    )
    if damaged:
        notes.append("A checksum in the file does not fit its samples: the file may be damaged.")
    channels = tuple(
        Channel.stored(
            numbered_lead(span.number, "EN 1064"),
            numbers,
            1e6 / rhythm.step_us,
            step_nv,
            "nV",
            ("checksum_mismatch",) if damaged else (),
        )
        for span, numbers in zip(spans, rhythm.by_lead, strict=True)
    )
    facts = _patient(_body(content, sections[PATIENT])) if PATIENT in sections else {}
    return RawRecording(FORMAT, channels, facts, tuple(notes))


def _crc(part: bytes) -> int:
    """CRC-CCITT, as EN 1064 has it."""
    return binascii.crc_hqx(part, 0xFFFF)


def _sections(content: bytes) -> dict[int, slice]:
    """Where the sections lie, by their number; those that are empty are left out."""
    number, length = struct.unpack_from("<HI", content, PREAMBLE + 2)
    if number != POINTERS or not HEADER <= length <= len(content) - PREAMBLE:
        raise RecordingError("section 0", "does not stand at the beginning, or is longer than the file")
    sections = {POINTERS: slice(PREAMBLE, PREAMBLE + length)}
    for at in range(PREAMBLE + HEADER, PREAMBLE + length - POINTER + 1, POINTER):
        number, size, place = struct.unpack_from("<HII", content, at)
        if number == POINTERS or size == 0:
            continue
        if place == 0 or size < HEADER or place - 1 + size > len(content):
            raise RecordingError(f"section {number}", f"lies outside of the file: {size} bytes at byte {place}")
        if number <= LONG_RHYTHM:
            sections[number] = slice(place - 1, place - 1 + size)
    for number, where in sections.items():
        if struct.unpack_from("<H", content, where.start + 2)[0] != number:
            raise RecordingError(f"section {number}", f"is not where section 0 says, at byte {where.start + 1}")
    return sections


def _body(content: bytes, where: slice) -> bytes:
    return content[where.start + HEADER : where.stop]


def _leads(body: bytes) -> tuple[list[_Span], bool]:
    """The leads in the order of the rhythm, and whether a reference beat was subtracted."""
    if len(body) < 2 or not 0 < body[0] <= (len(body) - 2) // 9:
        raise RecordingError("section 3", f"announces {body[0] if body else 0} leads and does not hold them")
    spans = [_Span(*struct.unpack_from("<IIB", body, 2 + 9 * place)) for place in range(body[0])]
    for span in spans:
        if not 0 < span.first <= span.last < span.first + Most.SAMPLES:
            allowed = f"1 to {Most.SAMPLES} samples of a lead are read"
            raise RecordingError("section 3", f"received samples {span.first} to {span.last}; {allowed}")
    if (held := sum(span.samples for span in spans)) > MOST_PACKED:
        raise RecordingError("section 3", f"announces {held} samples of all leads; {MOST_PACKED} at most are read")
    standard = [span for span in spans if span.number in LEAD_NUMBERS]
    for span in standard[1:]:
        if span.first != standard[0].first:
            starts = ", ".join(f"{LEAD_NUMBERS[one.number]} at {one.first}" for one in (standard[0], span))
            raise RecordingError("section 3", f"leads begin apart: {starts}; leads recorded together are needed")
    return spans, bool(body[1] & 1)


def _tables(body: bytes) -> list[_Table]:
    """The Huffman tables of section 2."""
    with by_library("section 2", "Huffman tables of EN 1064 are needed"):
        (count,) = struct.unpack_from("<H", body)
        if count == DEFAULT_TABLE:
            return [_looked_up(_default_codes())]
        if not 1 <= count <= MOST_TABLES:
            raise RecordingError("section 2", f"holds {count} Huffman tables; 1 to {MOST_TABLES} are read")
        tables, at = [], 2
        for _ in range(count):
            (codes,), at = struct.unpack_from("<H", body, at), at + 2
            rows = [struct.unpack_from("<BBBhI", body, at + 9 * place) for place in range(codes)]
            at += 9 * codes
            tables.append(_looked_up([_code(*row) for row in rows]))
        return tables


def _code(prefix: int, total: int, mode: int, value: int, stored: int) -> tuple[int, _Code]:
    """A code as section 2 has it: its bits are stored the wrong way round."""
    bits = int(f"{stored % 2**prefix:0{max(prefix, 1)}b}"[::-1], 2)
    return bits, _Code(prefix, total, value) if mode else _Code(prefix, prefix, 0, value - 1)


def _default_codes() -> list[tuple[int, _Code]]:
    """The table of EN 1064, which files name only: 0, 1 to 8 of either sign, and two codes with the number behind."""
    codes = [(0, _Code(1, 1, 0))]
    for size in range(1, 9):
        codes += [(((2**size - 1) << 2) + sign, _Code(size + 2, size + 2, -size if sign else size)) for sign in (0, 1)]
    return [*codes, (0b1111111110, _Code(10, 18, 0)), (0b1111111111, _Code(10, 26, 0))]


def _looked_up(codes: Sequence[tuple[int, _Code]]) -> _Table:
    """A table by what the next bits are."""
    width = max((code.prefix for _, code in codes), default=0)
    if not 0 < width <= LONGEST_PREFIX or any(not 0 < one.prefix <= one.total <= LONGEST_CODE for _, one in codes):
        raise RecordingError("section 2", f"holds a code of {width} bits; 1 to {LONGEST_PREFIX} are read")
    codes_of: list[_Code | None] = [None] * 2**width
    for bits, code in codes:
        free = width - code.prefix
        codes_of[bits << free : (bits + 1) << free] = [code] * 2**free
    return width, codes_of


def _block(number: int, body: bytes, tables: Sequence[_Table] | None, counts: Sequence[int]) -> _Block:
    """The leads of section 5 or 6; those that are no standard leads, too, as any may be asked for."""
    field = f"section {number}"
    start = 6 + 2 * len(counts)
    if len(body) < start:
        raise RecordingError(field, f"is cut off: {len(body)} bytes, {start} are needed for {len(counts)} leads")
    step_nv, step_us, differences = struct.unpack_from("<HHB", body)
    sizes = struct.unpack_from(f"<{len(counts)}H", body, 6)
    if step_us == 0 or differences > 2:
        raise RecordingError(field, f"received a step of {step_us} us and differences of order {differences}")
    if start + sum(sizes) > len(body):
        raise RecordingError(field, f"is cut off: {start + sum(sizes)} bytes are announced, {len(body)} follow")
    by_lead, at = [], start
    for size, count in zip(sizes, counts, strict=True):
        numbers = _numbers(field, body[at : at + size], count, tables)
        by_lead.append(_summed(numbers, differences).astype(np.float64))
        at += size
    return _Block(step_nv, step_us, by_lead)


def _numbers(field: str, packed: bytes, count: int, tables: Sequence[_Table] | None) -> np.ndarray:
    """``(time,)`` the numbers of a lead, still differences."""
    bits = 8 * len(packed)
    if count > (bits if tables else bits // 16):
        raise RecordingError(field, f"is cut off: {len(packed)} bytes for the {count} samples of a lead")
    if tables is None:
        return np.frombuffer(packed, "<i2", count)
    padded, at = packed + bytes(8), 0
    numbers: list[int] = []
    width, codes = tables[0]
    while len(numbers) < count:
        byte, bit = divmod(at, 8)
        word = int.from_bytes(padded[byte : byte + 8], "big") & (2 ** (64 - bit) - 1)
        code = codes[word >> (64 - bit - width)]
        if code is None or at + code.total > bits:
            raise RecordingError(field, f"cannot be unpacked behind sample {len(numbers)} of {count} of a lead")
        at += code.total
        if code.table is not None:
            if not 0 <= code.table < len(tables):
                raise RecordingError(field, f"asks for Huffman table {code.table + 1} of {len(tables)}")
            width, codes = tables[code.table]
            continue
        if more := code.total - code.prefix:
            behind = (word >> (64 - bit - code.total)) % 2**more
            numbers.append(code.value + (behind - 2**more if behind >> (more - 1) else behind))
        else:
            numbers.append(code.value)
    return np.array(numbers, dtype=np.int64)


def _summed(numbers: np.ndarray, order: int) -> np.ndarray:
    """Samples from their first or second differences, in 16 bits, beyond which devices start again from below."""
    if order == 0 or not len(numbers):
        return numbers
    steps = numbers.astype(np.int64)
    if order == 2:
        # The first two are samples, so the second step is what lies between them.
        steps[1:2] -= steps[:1]
        steps[1:] = np.cumsum(steps[1:])
    return np.cumsum(steps).astype(np.int16)


def _add_reference(
    content: bytes,
    sections: Mapping[int, slice],
    spans: Sequence[_Span],
    tables: Sequence[_Table] | None,
    rhythm: _Block,
) -> int:
    """Add the reference beat where it was subtracted, in the rhythm's place; how many nV a step of the sum has."""
    if BEATS not in sections or REFERENCE not in sections:
        raise RecordingError("section 4", "is missing, or section 5 is: a reference beat was subtracted")
    body, held = _body(content, sections[BEATS]), _body(content, sections[REFERENCE])
    with by_library("section 4", "the places of the beats are needed"):
        length_ms, fiducial, count = struct.unpack_from("<HHH", body)
        beats = [struct.unpack_from("<HIII", body, 6 + 14 * place) for place in range(count)]
    with by_library("section 5", "a reference beat is needed"):
        step_us = struct.unpack_from("<HH", held)[1]
    if step_us != rhythm.step_us:
        raise RecordingError("section 5", f"has steps of {step_us} us, the rhythm of {rhythm.step_us}; one is read")
    reference = _block(REFERENCE, held, tables, [round(length_ms * 1000 / step_us)] * len(spans))
    if not reference.step_nv or not rhythm.step_nv:
        raise RecordingError("section 5", "does not say its amplitudes, nor can a beat be added to the rhythm then")
    for span, numbers, beat in zip(spans, rhythm.by_lead, reference.by_lead, strict=True):
        numbers *= rhythm.step_nv
        for kind, begin, peak, end in beats:
            # Both counted from 1: the beat's fiducial point lies at the peak.
            origin = peak - fiducial + 1
            low = max(begin, span.first, origin)
            high = min(end, span.last, origin + len(beat) - 1)
            if kind == 0 and low <= high:
                numbers[low - span.first : high - span.first + 1] += (
                    beat[low - origin : high - origin + 1] * reference.step_nv
                )
    return 1


def _patient(body: bytes) -> dict[str, float | None]:
    """Age, sex, height and weight of section 1; the dates only serve to know the age at the recording."""
    tags: dict[int, bytes] = {}
    at = 0
    while at + 3 <= len(body) and body[at] != LAST_TAG:
        (size,) = struct.unpack_from("<H", body, at + 1)
        tags[body[at]] = body[at + 3 : at + 3 + size]
        at += 3 + size
    age, born, height, weight, sex, recorded = (tags.get(tag, b"") for tag in (4, 5, 6, 7, 8, 25))
    return facts_said(
        age=_amount(age, AGE_UNITS),
        born=_day(born),
        recorded=_day(recorded),
        sex=SEXES.get(sex[0], "") if sex else "",
        sizes=[("height_cm", _amount(height, HEIGHT_UNITS), ""), ("weight_kg", _amount(weight, WEIGHT_UNITS), "")],
    )


def _amount(value: bytes, units: Mapping[int, str]) -> str:
    """A number with its unit; empty where it is 0, which means that it is not known, or has no unit."""
    number = int.from_bytes(value[:2], "little")
    return f"{number} {units[value[2]]}" if number and len(value) >= 3 and value[2] in units else ""


def _day(value: bytes) -> str:
    return day_of(*struct.unpack_from("<HBB", value)) if len(value) >= 4 else ""


def _sniff(content: bytes, name: str) -> bool:
    if len(content) < PREAMBLE + HEADER + POINTER:
        return False
    number, length = struct.unpack_from("<HI", content, PREAMBLE + 2)
    own, _, place = struct.unpack_from("<HII", content, PREAMBLE + HEADER)
    is_scp = content[16:22] == b"SCPECG" or (own == POINTERS and place == PREAMBLE + 1)
    return number == POINTERS and HEADER < length < 2**16 and (length - HEADER) % POINTER == 0 and is_scp


register(Format(FORMAT, (".scp",), _sniff, read_scp))
