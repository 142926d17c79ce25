"""European Data Format: EDF (Kemp et al., Electroenceph Clin Neurophysiol 1992; 82:391-393), continuous EDF+ (2003)."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadwise.signals.readers.errors import MOST_CHANNELS, MOST_SAMPLES, ReaderError, shown_text
from leadwise.signals.readers.found import Channel, Found, Hints
from leadwise.signals.readers.lead_names import standard_lead
from leadwise.signals.readers.patient_facts import age_between, checked_facts, sex_of

if TYPE_CHECKING:
    from edfio import EdfSignal

HEADER_BYTES = 256
"""Of the file's own header, and again of each signal's."""
SAMPLES_FIELD = 216
"""Bytes of the fields of a signal before its number of samples in a data record."""
SAMPLE_BYTES = 2


def read_edf(file: str, content: bytes, hints: Hints) -> Found:
    """Read the leads with their physical dimension; other signals are named only, annotations are not read.

    Raises:
        ReaderError: the file is cut off, discontinuous, or not EDF.
    """
    import edfio

    signals = _header_number(file, content, 252, 4, "number of signals")
    records = _header_number(file, content, 236, 8, "number of data records")
    if not 1 <= signals <= MOST_CHANNELS:
        raise ReaderError(file, "number of signals", f"received {signals}; 1 to {MOST_CHANNELS} are allowed")
    if len(content) <= HEADER_BYTES * (signals + 1):
        raise ReaderError(file, "header", f"is cut off: {len(content)} bytes, and {signals} signals are announced")
    reserved = content[192:236].decode("latin-1")
    if reserved.startswith("EDF+D"):
        raise ReaderError(file, "header", "is discontinuous (EDF+D): a recording without gaps is needed (EDF+C)")
    whole, there = _whole_records(file, content, signals)
    notes = []
    if 0 <= records != there:
        notes.append(f"{records} data records are announced, {there} are there: the file may be cut off.")
    edf = edfio.read_edf(whole, header_encoding="latin-1")
    wanted = [hints.leads is not None or standard_lead(signal.label) is not None for signal in edf.signals]
    channels = [
        _channel(file, signal) if read else Channel(signal.label, np.empty(0), None)
        for signal, read in zip(edf.signals, wanted, strict=True)
    ]
    if notes:
        channels = [replace(channel, noticed=("file_incomplete",)) for channel in channels]
    facts, oddities = _patient(content)
    return Found("EDF+" if reserved.startswith("EDF+") else "EDF", tuple(channels), facts, (*notes, *oddities))


def _whole_records(file: str, content: bytes, signals: int) -> tuple[bytes, int]:
    """The file without a data record that is cut off, its number of records put right; and that number."""
    header = HEADER_BYTES * (signals + 1)
    first = HEADER_BYTES + signals * SAMPLES_FIELD
    samples = [
        _header_number(file, content, first + 8 * signal, 8, "samples in a data record") for signal in range(signals)
    ]
    if min(samples) < 0 or max(samples) == 0:
        raise ReaderError(file, "samples in a data record", "received none, or fewer")
    length = SAMPLE_BYTES * sum(samples)
    there = (len(content) - header) // length
    if there == 0:
        raise ReaderError(
            file, "signal", f"is cut off: a data record has {length} bytes, {len(content) - header} follow"
        )
    return content[:236] + str(there).encode().ljust(8) + content[244 : header + there * length], there


def _header_number(file: str, content: bytes, start: int, length: int, field: str) -> int:
    try:
        return int(content[start : start + length].decode("ascii"))
    except ValueError:
        raise ReaderError(file, field, "received no whole number in the header") from None


def _channel(file: str, signal: "EdfSignal") -> Channel:
    """One signal in its physical dimension."""
    label, fs_hz = signal.label, float(signal.sampling_frequency)
    digital = signal.digital
    if len(digital) > MOST_SAMPLES:
        raise ReaderError(file, "signal", f"received {len(digital)} samples of a lead; {MOST_SAMPLES} at most are read")
    spread, steps = signal.physical_max - signal.physical_min, signal.digital_max - signal.digital_min
    if not (spread and steps and np.isfinite(spread)):
        raise ReaderError(file, "header", f"signal {shown_text(label)} has no range from its minimum to its maximum")
    unit_per_step = spread / steps
    values = (digital.astype(np.float64) - signal.digital_min) * unit_per_step + signal.physical_min
    return Channel(label, values, fs_hz, signal.physical_dimension, abs(1 / unit_per_step))


def _patient(content: bytes) -> tuple[dict[str, float], list[str]]:
    """Sex, and age at the recording, if the header is laid out as EDF+ demands.

    That is ``code sex birthdate name`` of the patient and ``Startdate dd-MMM-yyyy ...`` of the recording.
    """
    person = content[8:88].decode("latin-1").split()
    start = content[88:168].decode("latin-1").split()
    if len(person) < 3 or person[1] not in ("M", "F", "X"):
        return {}, []
    found: dict[str, float | None] = {} if person[1] == "X" else {"sex": sex_of(person[1])}
    if len(start) > 1 and start[0] == "Startdate":
        age = age_between(person[2], start[1])
        if age is not None:
            found["age"] = age
    return checked_facts(found)
