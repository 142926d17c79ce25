"""European Data Format: EDF (Kemp et al., Electroenceph Clin Neurophysiol 1992; 82:391-393), continuous EDF+ (2003)."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import (
    MOST_CHANNELS,
    MOST_SAMPLES,
    Channel,
    RawRecording,
    ReadOptions,
    by_library,
    shown_text,
    within,
)
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.leads import RecordingError
from leadwise.ecg.record import LONGEST_S

if TYPE_CHECKING:
    from edfio import EdfSignal

HEADER_BYTES = 256
"""Of the file's own header, and again of each signal's."""
RANGE_FIELDS = {104: "physical minimum", 112: "physical maximum", 120: "digital minimum", 128: "digital maximum"}
"""Fields of the range of a signal, by the bytes of a signal's fields before them."""
DIGITAL_FIELDS = 120
SAMPLES_FIELD, SAMPLES = 216, "samples in a data record"
NUMBER_BYTES, LABEL_BYTES, SAMPLE_BYTES = 8, 16, 2
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def read_edf(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the leads with their physical dimension; other signals are named only, annotations are not read.

    The header is read strictly here, and edfio is given a copy of it with plain numbers and no more.

    Raises:
        RecordingError: the file is cut off, discontinuous, or not EDF.
    """
    import edfio

    content = files[file]
    signals = _whole("number of signals", content[252:256])
    records = _whole("number of data records", content[236:244])
    within("number of signals", signals, 1, MOST_CHANNELS)
    if len(content) <= HEADER_BYTES * (signals + 1):
        raise RecordingError("header", f"is cut off: {len(content)} bytes, and {signals} signals are announced")
    reserved = content[192:236].decode("latin-1")
    if reserved.startswith("EDF+D"):
        raise RecordingError("header", "is discontinuous (EDF+D): a recording without gaps is needed (EDF+C)")
    whole, there = _clean_copy(content, signals, hints)
    notes = []
    if 0 <= records != there:
        notes.append(f"{records} data records are announced, {there} are there: the file may be cut off.")
    with by_library("header", "a header after the specification of EDF is needed"):
        edf = edfio.read_edf(whole, header_encoding="latin-1")
    channels = [
        _channel(signal) if _is_wanted(signal.label, hints) else Channel(signal.label, np.empty(0), None)
        for signal in edf.signals
    ]
    if notes:
        channels = [replace(channel, noticed=("file_incomplete",)) for channel in channels]
    name = "EDF+" if reserved.startswith("EDF+") else "EDF"
    return RawRecording(name, tuple(channels), _patient(content), tuple(notes))


def _is_wanted(label: str, hints: ReadOptions) -> bool:
    return hints.leads is not None or standard_lead(label) is not None


def _clean_copy(content: bytes, signals: int, hints: ReadOptions) -> tuple[bytes, int]:
    """The file with plain numbers in its header, without a data record that is cut off; and how many there are."""
    header, samples = bytearray(content[: HEADER_BYTES * (signals + 1)]), []

    def put(start: int, number: str) -> None:
        header[start : start + NUMBER_BYTES] = number.encode().ljust(NUMBER_BYTES)

    for signal in range(signals):
        label = header[HEADER_BYTES + LABEL_BYTES * signal :][:LABEL_BYTES].decode("latin-1").rstrip()
        for before, field in RANGE_FIELDS.items() if _is_wanted(label, hints) else ():
            start = HEADER_BYTES + signals * before + NUMBER_BYTES * signal
            field, stated = f"{field} of signal {shown_text(label)}", content[start : start + NUMBER_BYTES]
            put(start, str(_whole(field, stated)) if before >= DIGITAL_FIELDS else _number(field, stated))
        start = HEADER_BYTES + signals * SAMPLES_FIELD + NUMBER_BYTES * signal
        samples.append(_whole(SAMPLES, content[start : start + NUMBER_BYTES]))
        put(start, str(samples[-1]))
    if min(samples) < 0 or max(samples) == 0:
        raise RecordingError(SAMPLES, "received none, or fewer")
    length = SAMPLE_BYTES * sum(samples)
    there = (len(content) - len(header)) // length
    if there == 0:
        raise RecordingError(
            "signal", f"is cut off: a data record has {length} bytes, {len(content) - len(header)} follow"
        )
    put(184, str(len(header)))
    put(236, str(there))
    put(244, _record_duration(content[244:252]))
    header[252:256] = str(signals).encode().ljust(4)
    return bytes(header) + content[len(header) : len(header) + there * length], there


def _record_duration(stated: bytes) -> str:
    """Seconds of a data record, of which the sampling rates are made."""
    text = _number("record duration", stated)
    if not 0 < float(text) <= LONGEST_S:
        allowed = f"a number of seconds above 0, at most {LONGEST_S:g}, is allowed"
        raise RecordingError("record duration", f"received {shown_text(text)}; {allowed}")
    return text


def _number(field: str, stated: bytes) -> str:
    """A number of the header with a decimal point, which some write as a comma."""
    text = stated.decode("latin-1").strip(" \0")
    plain = text.replace(",", ".")
    if not (_NUMBER.fullmatch(plain) and math.isfinite(float(plain))):
        raise RecordingError(field, f"received {shown_text(text)}; a number is needed")
    return plain


def _whole(field: str, stated: bytes) -> int:
    number = float(_number(field, stated))
    if not number.is_integer() or len(str(int(number))) > NUMBER_BYTES:
        raise RecordingError(field, f"received {number:.9g}; a whole number is needed")
    return int(number)


def _channel(signal: "EdfSignal") -> Channel:
    """One signal in its physical dimension."""
    label, fs_hz = signal.label, float(signal.sampling_frequency)
    digital = signal.digital
    if len(digital) > MOST_SAMPLES:
        raise RecordingError("signal", f"received {len(digital)} samples of a lead; {MOST_SAMPLES} at most are read")
    spread, steps = signal.physical_max - signal.physical_min, signal.digital_max - signal.digital_min
    if not (spread and steps and np.isfinite(spread)):
        raise RecordingError("header", f"signal {shown_text(label)} has no range from its minimum to its maximum")
    unit_per_step = spread / steps
    values = (digital.astype(np.float64) - signal.digital_min) * unit_per_step + signal.physical_min
    return Channel(label, values, fs_hz, signal.physical_dimension, abs(1 / unit_per_step))


def _patient(content: bytes) -> dict[str, float | None]:
    """Sex, and age at the recording, if the header is laid out as EDF+ demands.

    That is ``code sex birthdate name`` of the patient and ``Startdate dd-MMM-yyyy ...`` of the recording.
    """
    person = content[8:88].decode("latin-1").split()
    start = content[88:168].decode("latin-1").split()
    if len(person) < 3 or person[1] not in ("M", "F", "X"):
        return {}
    recorded = start[1] if len(start) > 1 and start[0] == "Startdate" else ""
    return facts_said(born=person[2], recorded=recorded, sex=person[1])


def _sniff(content: bytes, name: str) -> bool:
    return content.startswith(b"0       ") and (content[184:192].strip().isdigit() or name.casefold().endswith(".edf"))


register(Format("EDF and EDF+", (".edf",), _sniff, read_edf))
