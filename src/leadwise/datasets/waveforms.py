"""One WFDB record of a dataset, read whole and verified: ``(time, 12)`` int16 in microvolts.

Header and samples are read by ``leadwise.ecg.formats.wfdb_record``, as any recording's. Here the record must be as its
dataset has it: 12 leads of 10 s at one rate, every checksum and first value right, no sample missing.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT, RECORD_SECONDS, LeadwiseError, StoredRate
from leadwise.ecg.formats.base import ReaderError, bytes_at
from leadwise.ecg.formats.parsing import MV_PER_UNIT, unit_of
from leadwise.ecg.formats.wfdb_record import Header, SignalLine, is_plain, missing_mark, read_header, stored_samples
from leadwise.ecg.record import RecordingError

LARGEST_UNIT = 2**15 - 1
LEAD_NUMBER = {name.upper(): number for number, name in enumerate(LEADS)}


class UnreadableRecord(LeadwiseError):
    """A record that cannot be trusted; the message names its file and ``reason`` says why."""

    def __init__(self, record: Path, reason: str) -> None:
        super().__init__(f"{record}: {reason}")
        self.record, self.reason = record, reason


class MissingWaveform(UnreadableRecord):
    """The header or the signal file of a record does not exist."""


def samples_at(rate: StoredRate) -> int:
    """Samples per lead of one record."""
    return RECORD_SECONDS * rate


def read_record(record: Path, rate: StoredRate = 100, contents: dict[str, bytes] | None = None) -> np.ndarray:
    """Read and verify one record.

    Args:
        record: path of the record, without extension.
        rate: the sampling rate that it must have, in Hz.
        contents: gets the content of each file that was read, by its name.

    Returns:
        ``(10 * rate, 12)`` int16 in microvolts, leads in the order of ``LEADS``.

    Raises:
        MissingWaveform: its header or its signal file does not exist.
        UnreadableRecord: anything else is wrong with it; the message names the lead where it is one lead.
    """
    contents = {} if contents is None else contents
    try:
        name = f"{record.name}.hea"
        contents[name] = _content(record, name)
        header = read_header(name, contents[name].decode("utf-8", errors="replace"))
        _check_header(record, header, rate)
        for file in header.files:
            contents[file] = _content(record, file)
        if is_plain(header):
            _check_length(record, header, contents)
        stored = stored_samples(name, header, contents)
    except (ReaderError, RecordingError) as error:
        raise UnreadableRecord(record, str(error)) from None
    if not isinstance(stored, np.ndarray) or stored.shape != (len(LEADS), samples_at(rate)):
        shapes = sorted({len(signal) for signal in stored})
        raise UnreadableRecord(record, f"{len(stored)} signals of {shapes} samples; {samples_at(rate)} are needed")
    _verify(record, header.signals, stored)
    return _in_microvolts(record, header.signals, stored)


def _content(record: Path, name: str) -> bytes:
    file = record.with_name(name)
    try:
        return bytes_at(file)
    except ReaderError:
        if not file.exists():
            raise MissingWaveform(record, f"{name} does not exist") from None
        raise


def _check_header(record: Path, header: Header, rate: StoredRate) -> None:
    """Stop before a signal file is opened: a header may name any file, and any layout."""
    found = {"record_name": header.name, "n_sig": len(header.signals), "fs": header.fs_hz, "sig_len": header.samples}
    needed = {"record_name": record.name, "n_sig": len(LEADS), "fs": rate, "sig_len": samples_at(rate)}
    for key, value in found.items():
        if value != needed[key]:
            shown = f"{value:g}" if isinstance(value, float) else repr(value)
            raise UnreadableRecord(record, f"header says {key} {shown}; {needed[key]!r} is needed")
    for file in header.files:
        if "/" in file:
            raise UnreadableRecord(record, f"header names the signal file {file!r}; a name without a folder is needed")
    for line in header.signals:
        if unit_of(line.units) is None:
            raise UnreadableRecord(
                record, f"lead {line.description}: unit {line.units!r}; allowed: {', '.join(MV_PER_UNIT)}"
            )
        if line.gain is None:
            raise UnreadableRecord(record, f"lead {line.description}: the header gives no gain; one is needed")
        if line.samples_per_frame != 1:
            raise UnreadableRecord(record, "has several samples per frame; one is needed")


def _check_length(record: Path, header: Header, contents: dict[str, bytes]) -> None:
    """A file of 16-bit samples holds them and nothing else."""
    name, received = header.files[0], len(contents[header.files[0]])
    expected = header.signals[0].offset + 2 * len(LEADS) * (header.samples or 0)
    if received != expected:
        found = f"{received} bytes" if received < expected else f"more than {expected} bytes"
        raise UnreadableRecord(record, f"{name} has {found}; {expected} are needed")


def _verify(record: Path, signals: Sequence[SignalLine], stored: np.ndarray) -> None:
    """Compare ``(lead, time)`` stored numbers with checksums and first values, and look for missing samples."""
    sums, firsts, lowest = (
        (stored.astype(np.float64) @ np.ones(stored.shape[1])).astype(np.int64).tolist(),
        stored[:, 0].tolist(),
        stored.min(axis=1),
    )
    for line, total, first in zip(signals, sums, firsts, strict=True):
        # Headers hold the 16-bit checksum with or without a sign.
        if line.checksum is None or (total - line.checksum) % 2**16:
            raise UnreadableRecord(
                record, f"lead {line.description}: checksum {total % 2**16}, but the header says {line.checksum}"
            )
        if line.initial is None or first != line.initial:
            raise UnreadableRecord(
                record, f"lead {line.description}: first sample {first}, but the header says {line.initial}"
            )
    for line, low, samples in zip(signals, lowest.tolist(), stored, strict=True):
        if low <= (mark := missing_mark(line.format)):
            count = int((samples <= mark).sum())
            raise UnreadableRecord(record, f"lead {line.description}: {count} samples are marked as not measured")


def _in_microvolts(record: Path, signals: Sequence[SignalLine], stored: np.ndarray) -> np.ndarray:
    """Stored numbers ``(lead, time)`` as ``read_record`` returns them."""
    order = _lead_order(tuple(line.description for line in signals))
    if order is None:
        leads = ", ".join(line.description for line in signals)
        raise UnreadableRecord(record, f"leads {leads}; needed: {', '.join(LEADS)}")
    units = stored
    # Digital units per unit of the store.
    gains = [
        (line.gain or 1.0) * MICROVOLTS_PER_UNIT / 1000 / MV_PER_UNIT[unit_of(line.units) or ""] for line in signals
    ]
    if any(line.baseline for line in signals) or gains != [1.0] * len(gains):
        baselines = np.array([line.baseline for line in signals], dtype=np.float64)
        units = np.rint((stored - baselines[:, None]) / np.array(gains)[:, None])
    if units.dtype != np.int16 and np.abs(units).max() > LARGEST_UNIT:
        number = int(np.argmax(np.abs(units).max(axis=1)))
        largest = np.abs(units[number]).max() * MICROVOLTS_PER_UNIT / 1000
        raise UnreadableRecord(
            record, f"lead {signals[number].description}: {largest:.4g} mV; at most 32.767 can be stored"
        )
    if order != tuple(range(len(LEADS))):
        units = units[list(order)]
    return np.ascontiguousarray(units.T, dtype=np.int16)


@lru_cache(maxsize=100)
def _lead_order(leads: tuple[str, ...]) -> tuple[int, ...] | None:
    """Positions of ``LEADS`` among the record's leads; None unless it has each of them once."""
    places = {LEAD_NUMBER.get(lead.strip().upper()): place for place, lead in enumerate(leads)}
    if set(places) != set(range(len(LEADS))):
        return None
    return tuple(places[number] for number in range(len(LEADS)))
