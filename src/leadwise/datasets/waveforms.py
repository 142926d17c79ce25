"""One WFDB record of PTB-XL, read whole and verified: ``(time, 12)`` int16 in microvolts.

The one layout that PTB-XL has (format 16, 12 signals in one file) is decoded here; every other format goes through
``wfdb``. Both ways verify each signal's checksum and initial value, and honour lead names, gain, baseline and unit.
``leadwise.datasets.blocks`` reads many records at once. Format: https://wfdb.io/spec/header-files.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT, RECORD_SECONDS, LeadwiseError, StoredRate

GAIN = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?:\((-?\d+)\))?(?:/(\S+))?")
SIGNAL_LINE = re.compile(r"^(\S+) 16 (\S+) \d+ (-?\d+) (-?\d+) (-?\d+) \d+ ([^\r\n]*[^\s])[ \t]*\r?$", re.MULTILINE)
"""File, gain, ADC zero, initial value, checksum and lead of one signal in format 16."""
UNIT_UV = {"V": 1e6, "mV": 1e3, "uV": 1.0, "\u00b5V": 1.0, "\u03bcV": 1.0}
INVALID_SAMPLE = {"80": -(2**7), "310": -(2**9), "311": -(2**9), "212": -(2**11), "24": -(2**23), "32": -(2**31)}
"""What marks a sample as not measured, by format; -32768 in every other."""
INVALID_16_BIT = -(2**15)
LARGEST_UNIT = 2**15 - 1
LEAD_NUMBER = {name.upper(): number for number, name in enumerate(LEADS)}
MAX_HEADER = 100_000
ROWS_ADDED_AT_ONCE = 40
"""Sums over 40 samples x 12 leads at a time, then over those 40, are ten times faster than sample by sample."""


class UnreadableRecord(LeadwiseError):
    """A record that cannot be trusted; the message names its file and ``reason`` says why."""

    def __init__(self, record: Path, reason: str) -> None:
        super().__init__(f"{record}: {reason}")
        self.record, self.reason = record, reason


class MissingWaveform(UnreadableRecord):
    """The header or the signal file of a record does not exist."""


Gain = tuple[float, int, float]
"""Digital units per physical unit, the digital value of 0, and microvolts per physical unit."""


@dataclass(frozen=True)
class Layout:
    """What the headers of many records have in common: all but name, initial values and checksums.

    Attributes:
        leads: as the header spells them.
        gains: one per lead.
        pieces: the header's bytes between the places where it has the record's name, ``%d`` for each number.
    """

    leads: tuple[str, ...]
    gains: tuple[Gain, ...]
    pieces: tuple[bytes, ...]

    def header(self, name: bytes, numbers: Sequence[int]) -> bytes:
        """The header of a record: initial value and checksum of each lead, one lead after another."""
        return name.join(self.pieces) % tuple(numbers)


@dataclass(frozen=True)
class Header:
    """A header in the layout that PTB-XL has."""

    layout: Layout
    initials: tuple[int, ...]
    checksums: tuple[int, ...]


def samples_at(rate: StoredRate) -> int:
    """Samples per lead of one record."""
    return RECORD_SECONDS * rate


def read_record(record: Path, rate: StoredRate = 100) -> np.ndarray:
    """Read one record.

    Args:
        record: path of the record, without extension.
        rate: the sampling rate that it must have, in Hz.

    Returns:
        ``(10 * rate, 12)`` int16 in microvolts, leads in the order of ``LEADS``.

    Raises:
        MissingWaveform: its header or its signal file does not exist.
        UnreadableRecord: anything else is wrong with it; the message names the lead where it is one lead.
    """
    try:
        with Path(f"{record}.hea").open("rb") as stream:
            raw = stream.read(MAX_HEADER + 1)
        header = parse_header(record, raw, rate)
        if header is None:
            return read_with_wfdb(record, rate)
        with Path(f"{record}.dat").open("rb") as stream:
            data = stream.read(samples_at(rate) * len(LEADS) * 2 + 1)
    except OSError as error:
        raise unopened(record, error) from None
    return decode(record, header, data, rate)


def unopened(record: Path, error: OSError) -> UnreadableRecord:
    """What an error of the operating system means for a record."""
    if isinstance(error, FileNotFoundError):
        return MissingWaveform(record, f"{Path(str(error.filename)).name} does not exist")
    return UnreadableRecord(record, f"cannot be read: {error.strerror or error}")


def decode(record: Path, header: Header, data: bytes | memoryview, rate: StoredRate) -> np.ndarray:
    """Verify the signal file of a record in the layout of PTB-XL; returns and raises what ``read_record`` does.

    Args:
        record: names the record in messages.
        header: what its header says.
        data: the signal file; one byte more than is needed stands for any number.
        rate: sampling rate in Hz.
    """
    expected = samples_at(rate) * len(LEADS) * 2
    if len(data) != expected:
        received = f"{len(data)} bytes" if len(data) < expected else f"more than {expected} bytes"
        raise UnreadableRecord(record, f"{record.name}.dat has {received}; {expected} are needed")
    digital = np.frombuffer(data, dtype="<i2").reshape(-1, len(LEADS))
    _verify(record, digital, header.layout.leads, header.initials, header.checksums, INVALID_16_BIT)
    return in_microvolts(record, digital, header.layout.gains, header.layout.leads)


def read_with_wfdb(record: Path, rate: StoredRate = 100) -> np.ndarray:
    """``read_record`` for any format that the ``wfdb`` package reads.

    Raises:
        MissingWaveform: its header or a signal file does not exist.
        UnreadableRecord: anything else is wrong with it.
    """
    import wfdb

    try:
        header = wfdb.rdheader(str(record))
        _check_header(record, header, rate)
        content = wfdb.rdrecord(str(record), physical=False, return_res=32)
    except UnreadableRecord:
        raise
    except FileNotFoundError as error:
        raise unopened(record, error) from None
    except Exception as error:
        # Whatever a damaged file makes the general reader raise, it means that this one record cannot be read.
        raise UnreadableRecord(record, f"wfdb cannot read it: {type(error).__name__}: {error}"[:300]) from error
    digital = content.d_signal
    shape = (samples_at(rate), len(LEADS))
    if digital is None or digital.shape != shape:
        raise UnreadableRecord(record, f"signals of shape {getattr(digital, 'shape', None)}; {shape} is needed")
    leads = tuple(content.sig_name)
    invalid = INVALID_SAMPLE.get(header.fmt[0], INVALID_16_BIT)
    _verify(record, digital, leads, tuple(header.init_value), tuple(header.checksum), invalid)
    gains = tuple(
        (gain, baseline, UNIT_UV[unit])
        for gain, baseline, unit in zip(header.adc_gain, header.baseline, header.units, strict=True)
    )
    return in_microvolts(record, digital, gains, leads)


def parse_header(record: Path, raw: bytes, rate: StoredRate) -> Header | None:
    """Understand a header; None unless it has exactly the layout of PTB-XL, and then ``wfdb`` has to look at it.

    Raises:
        UnreadableRecord: it is longer than any header.
    """
    if len(raw) > MAX_HEADER:
        raise UnreadableRecord(record, f"header is longer than {MAX_HEADER} bytes")
    text = raw.decode("latin-1")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    signals = list(SIGNAL_LINE.finditer(text))
    first = lines[0].split() if lines else []
    if len(lines) != 1 + len(LEADS) or len(signals) != len(LEADS):
        return None
    if first[:4] != [record.name, str(len(LEADS)), str(rate), str(samples_at(rate))]:
        return None
    files, gain_texts, zeros, initials, checksums, leads = zip(*(match.groups() for match in signals), strict=True)
    if (gains := _gains(gain_texts, zeros)) is None or set(files) != {f"{record.name}.dat"}:
        return None
    layout = Layout(leads, gains, _pieces(record.name, text, signals))
    return Header(layout, tuple(map(int, initials)), tuple(map(int, checksums)))


def _pieces(name: str, text: str, signals: Sequence[re.Match[str]]) -> tuple[bytes, ...]:
    """Cut a header where it has the record's name, and put ``%d`` in the place of initial values and checksums."""
    names = [text.index(name), *(match.start(1) for match in signals)]
    numbers = {match.start(group): match.end(group) for match in signals for group in (4, 5)}
    pieces = []
    for number, place in enumerate(names):
        start, stop = place + len(name), names[number + 1] if number + 1 < len(names) else len(text)
        piece = ""
        for begin in sorted(begin for begin in numbers if start <= begin < stop):
            piece += text[start:begin].replace("%", "%%") + "%d"
            start = numbers[begin]
        pieces.append((piece + text[start:stop].replace("%", "%%")).encode("latin-1"))
    return (text[: names[0]].replace("%", "%%").encode("latin-1"), *pieces)


@lru_cache(maxsize=1000)
def _gains(texts: tuple[str, ...], zeros: tuple[str, ...]) -> tuple[Gain, ...] | None:
    gains = []
    for text, zero in zip(texts, zeros, strict=True):
        match = GAIN.fullmatch(text)
        unit = (match[3] or "mV") if match else ""
        if match is None or float(match[1]) == 0 or unit not in UNIT_UV:
            return None
        gains.append((float(match[1]), int(match[2] or zero), UNIT_UV[unit]))
    return tuple(gains)


def _check_header(record: Path, header: object, rate: StoredRate) -> None:
    """Stop before a signal file is opened: a header may name any file, and any layout."""
    if getattr(header, "n_seg", None) is not None:
        raise UnreadableRecord(record, "has several segments; one is needed")
    needed = {"record_name": record.name, "n_sig": len(LEADS), "fs": rate, "sig_len": samples_at(rate)}
    for key, value in needed.items():
        if (found := getattr(header, key, None)) != value:
            raise UnreadableRecord(record, f"header says {key} {found!r}; {value!r} is needed")
    for file in getattr(header, "file_name", None) or ["nothing"]:
        if Path(file).name != file or "\\" in file:
            raise UnreadableRecord(record, f"header names the signal file {file!r}; a name without a folder is needed")
    for lead, unit in zip(getattr(header, "sig_name", []), getattr(header, "units", []), strict=True):
        if unit not in UNIT_UV:
            raise UnreadableRecord(record, f"lead {lead}: unit {unit!r}; allowed: {', '.join(UNIT_UV)}")
    if set(getattr(header, "samps_per_frame", None) or [1]) != {1}:
        raise UnreadableRecord(record, "has several samples per frame; one is needed")


def _verify(
    record: Path,
    digital: np.ndarray,
    leads: Sequence[str],
    initials: Sequence[int | None],
    checksums: Sequence[int | None],
    invalid: int,
) -> None:
    sums = checksums_of(digital[None])[0]
    for number, lead in enumerate(leads):
        checksum, initial = checksums[number], initials[number]
        # Headers hold the 16-bit checksum with or without a sign.
        if checksum is None or sums[number] != checksum & 0xFFFF:
            raise UnreadableRecord(record, f"lead {lead}: checksum {sums[number]}, but the header says {checksum}")
        if initial is None or digital[0, number] != initial:
            raise UnreadableRecord(
                record, f"lead {lead}: first sample {digital[0, number]}, but the header says {initial}"
            )
    if digital.min() <= invalid:
        number = int(np.argmin(digital.min(axis=0)))
        count = int((digital[:, number] <= invalid).sum())
        raise UnreadableRecord(record, f"lead {leads[number]}: {count} samples are marked as not measured")


def checksums_of(digital: np.ndarray) -> np.ndarray:
    """The sum of each signal's samples modulo 65536: ``(record, time, 12)`` to ``(record, 12)`` int64."""
    # Letting int16 overflow is the modulus.
    wide = digital.astype(np.int16, copy=False).reshape(len(digital), -1, ROWS_ADDED_AT_ONCE * len(LEADS))
    narrow = wide.sum(axis=1, dtype=np.int16).reshape(len(digital), ROWS_ADDED_AT_ONCE, len(LEADS))
    return narrow.sum(axis=1, dtype=np.int16).astype(np.int64) & 0xFFFF


def in_microvolts(record: Path, digital: np.ndarray, gains: tuple[Gain, ...], leads: tuple[str, ...]) -> np.ndarray:
    """Digital values ``(time, 12)`` as ``read_record`` returns them."""
    order = _lead_order(leads)
    if order is None:
        raise UnreadableRecord(record, f"leads {', '.join(leads)}; needed: {', '.join(LEADS)}")
    gain, baseline, unit_uv = np.array(gains, dtype=np.float64).T
    units = digital
    if not _in_units(gains):
        units = np.rint((digital.astype(np.float64) - baseline) * unit_uv / gain / MICROVOLTS_PER_UNIT)
    if units.dtype != np.int16 and np.abs(units).max() > LARGEST_UNIT:
        number = int(np.argmax(np.abs(units).max(axis=0)))
        largest = np.abs(units[:, number]).max() * MICROVOLTS_PER_UNIT / 1000
        raise UnreadableRecord(record, f"lead {leads[number]}: {largest:.4g} mV; at most 32.767 can be stored")
    return np.ascontiguousarray(units if order == tuple(range(len(LEADS))) else units[:, order], dtype=np.int16)


def stored_as_it_is(layout: Layout) -> bool:
    """Whether a signal file's bytes are those of the store: leads in order, in microvolts, nothing to subtract."""
    return _in_units(layout.gains) and _lead_order(layout.leads) == tuple(range(len(LEADS)))


@lru_cache(maxsize=1000)
def _in_units(gains: tuple[Gain, ...]) -> bool:
    return all(baseline == 0 and gain == unit_uv / MICROVOLTS_PER_UNIT for gain, baseline, unit_uv in gains)


@lru_cache(maxsize=1000)
def _lead_order(leads: tuple[str, ...]) -> tuple[int, ...] | None:
    """Positions of ``LEADS`` among the record's leads; None unless it has each of them once."""
    places = {LEAD_NUMBER.get(lead.strip().upper()): place for place, lead in enumerate(leads)}
    if len(leads) != len(LEADS) or set(places) != set(range(len(LEADS))):
        return None
    return tuple(places[number] for number in range(len(LEADS)))
