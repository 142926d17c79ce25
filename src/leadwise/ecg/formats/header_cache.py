"""WFDB records whose headers are alike, as those of one collection are: read for little more than their samples cost.

What a header says is understood once, by the general way; of the next records with the same header but for names, first
values, checksums and comments only the samples and the comments are looked at. Anything that the general way would add
a note about is left to it, so that both ways always give the same.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leadwise.ecg.formats.base import ReadECG, shown_name
from leadwise.ecg.formats.normalisation import unusual_spans
from leadwise.ecg.formats.parsing import MV_PER_UNIT, unit_of
from leadwise.ecg.formats.patient import facts_of, pairs_in
from leadwise.ecg.formats.wfdb_record import (
    LONGEST_HEADER,
    LONGEST_LINE,
    MISSING_16_BIT,
    SIGNAL_ENDINGS,
    is_plain,
    read_header,
)
from leadwise.ecg.leads import lead_extremes

HEADER_ENDING = ".hea"
FIELDS = 9
"""Of a signal's line: file, format, gain, resolution, zero, first value, checksum, block, description."""
MOST_KINDS = 64
"""Collections that are remembered; after more of them all are learnt again."""
_WHOLE = re.compile(r"[-+]?\d{1,11}")

Key = tuple[str, ...]


@dataclass(frozen=True)
class _Told:
    """A header: what is common to many, and what is its own."""

    key: Key
    signal_file: str
    checksums: tuple[int, ...]
    comments: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    """How the records of one key are read.

    Attributes:
        read: what comes of them, without a signal.
        offset: bytes before the samples.
        baseline, gain, factor: ``(lead,)``, or one number for all; mV are ``(stored - baseline) / gain * factor``.
    """

    read: ReadECG
    offset: int
    baseline: np.ndarray | float
    gain: np.ndarray | float
    factor: np.ndarray | float

    def in_mv(self, values: np.ndarray) -> np.ndarray:
        """Stored numbers ``(..., lead)`` float64, which are changed, in millivolts, float32."""
        # In this order, as rounding depends on it.
        values -= self.baseline
        values /= self.gain
        values *= self.factor
        return values.astype(np.float32)


_KINDS: dict[Key, _Kind] = {}


def read_alike(path: Path, bytes_at: Callable[[Path], bytes]) -> ReadECG | None:
    """Read a record whose like was read before; ``None`` where the general way has to look at it.

    Args:
        path: of the header.
        bytes_at: gives the content of a file.

    Raises:
        ReaderError: whatever ``bytes_at`` raises.
    """
    if path.suffix != HEADER_ENDING or not _KINDS:
        return None
    told = _told(path.stem, bytes_at(path))
    kind = _KINDS.get(told.key) if told else None
    if told is None or kind is None or not (beside := path.with_name(told.signal_file)).is_file():
        return None
    content, shape = bytes_at(beside), (kind.read.samples, len(kind.read.leads))
    if len(content) != kind.offset + 2 * shape[0] * shape[1]:
        return None
    stored = np.frombuffer(content, "<i2", shape[0] * shape[1], kind.offset).reshape(shape)
    values = stored.astype(np.float64)
    # A product with ones adds up a narrow array ten times as fast, and whole numbers of this size exactly.
    differences = (np.ones(shape[0]) @ values).astype(np.int64) - told.checksums
    # Of the stored numbers, which are half as large as what they become: in a third of the time.
    lowest, highest = lead_extremes(stored)
    if (differences % 65536).any() or MISSING_16_BIT in lowest:
        return None
    patient, notes = facts_of(pairs_in(told.comments))
    notes += unusual_spans(np.abs(kind.in_mv(highest.astype(np.float64)) - kind.in_mv(lowest.astype(np.float64))))
    signal_mv = kind.in_mv(values)
    return replace(kind.read, file=shown_name(path.name), signal_mv=signal_mv, patient=patient, notes=tuple(notes))


def learn(path: Path, content: bytes, read: ReadECG) -> None:
    """Remember how a record was read, if the next ones with such a header can be read like it.

    Args:
        path: of the header.
        content: the header.
        read: what came of the record without hints.
    """
    told = _told(path.stem, content)
    # Without a note every signal of the file is a lead, in its order and the right way up.
    if told is None or read.notes or read.questions or read.file != path.name:
        return
    header = read_header(path.name, content.decode("utf-8", errors="replace"))
    units = [unit_of(line.units) for line in header.signals]
    gains = [line.gain for line in header.signals]
    if not is_plain(header) or not header.samples or None in units or None in gains:
        return
    if len(_KINDS) >= MOST_KINDS:
        _KINDS.clear()
    _KINDS[told.key] = _Kind(
        read=replace(read, signal_mv=None, patient={}),
        offset=header.signals[0].offset,
        baseline=_of_leads([line.baseline for line in header.signals]),
        gain=_of_leads([gain for gain in gains if gain]),
        factor=_of_leads([MV_PER_UNIT[unit] for unit in units if unit]),
    )


def _of_leads(values: Sequence[float]) -> np.ndarray | float:
    """One number where all are the same, which is several times faster to calculate with."""
    return float(values[0]) if len(set(values)) == 1 else np.array(values, np.float64)


def _told(name: str, content: bytes) -> _Told | None:
    """Take a header apart; ``None`` unless it is laid out as PhysioNet's are, with single spaces and a checksum."""
    text = content.decode("utf-8", errors="replace")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if len(text) > LONGEST_HEADER or max(map(len, lines)) > LONGEST_LINE or len(name.split()) != 1:
        return None
    comments = tuple(line for line in lines if line.startswith("#"))
    record, *signals = [line for line in lines if line.strip() and not line.startswith("#")] or [""]
    first = record.split(" ")
    if len(first) < 4 or first[0] != name or first[1] != str(len(signals)):
        return None
    # A date and a time may follow.
    key, checksums, file = first[1:4], [], ""
    for line in signals:
        fields = line.split(" ", FIELDS - 1)
        if len(fields) != FIELDS or not (_WHOLE.fullmatch(fields[5]) and _WHOLE.fullmatch(fields[6])):
            return None
        file = file or fields[0]
        if fields[0] != file:
            return None
        checksums.append(int(fields[6]))
        key += [*fields[1:5], *fields[7:]]
    ending = file.removeprefix(name)
    if ending not in SIGNAL_ENDINGS:
        return None
    return _Told((ending, *key), file, tuple(checksums), comments)
