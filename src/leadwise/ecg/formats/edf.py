"""European Data Format: EDF (Kemp et al., Electroenceph Clin Neurophysiol 1992; 82:391-393), continuous EDF+ (2003).

A header of 256 bytes, 256 more of each signal, then data records: of every signal in turn its 16-bit numbers.
"""

import math
import re
from collections.abc import Mapping

import numpy as np

from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, register, shown_text, within
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import LONGEST_S, ReaderFlag, RecordingError

HEADER_BYTES, SAMPLE_BYTES = 256, 2
FIELDS = {"label": 16, "transducer": 80, "dimension": 8, "physical minimum": 8, "physical maximum": 8}
FIELDS |= {"digital minimum": 8, "digital maximum": 8, "filter": 80, "samples": 8}
"""Bytes of the fields of a signal. In the header all signals have their first field, then all their second one."""
ANNOTATIONS = "EDF Annotations"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def read_edf(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the leads with their physical dimension; other signals are named only, annotations are not read.

    Refused: the file is cut off, discontinuous, or not EDF.
    """
    content = files[file]
    count = _whole("number of signals", content[252:256])
    records = _whole("number of data records", content[236:244])
    within("number of signals", count, 1, Most.CHANNELS)
    header = HEADER_BYTES * (count + 1)
    if len(content) <= header:
        raise RecordingError("header", f"is cut off: {len(content)} bytes, and {count} signals are announced")
    reserved = content[192:236].decode("latin-1")
    if reserved.startswith("EDF+D"):
        raise RecordingError("header", "is discontinuous (EDF+D): a recording without gaps is needed (EDF+C)")
    seconds = _number("record duration", content[244:252])
    if not 0 < seconds <= LONGEST_S:
        allowed = f"a number of seconds above 0, at most {LONGEST_S:g}, is allowed"
        raise RecordingError("record duration", f"received {seconds:g}; {allowed}")
    signals = _signals(content, count)
    samples = [_whole("samples in a data record", signal["samples"]) for signal in signals]
    if min(samples) < 0 or max(samples) == 0:
        raise RecordingError("samples in a data record", "received none, or fewer")
    width, behind = sum(samples), len(content) - header
    there = behind // (SAMPLE_BYTES * width)
    if there == 0:
        raise RecordingError("signal", f"is cut off: a data record has {SAMPLE_BYTES * width} bytes, {behind} follow")
    is_cut = 0 <= records != there
    stored = np.frombuffer(content, "<i2", there * width, header).reshape(there, width)
    channels: list[Channel] = []
    for signal, start, size in zip(signals, np.cumsum(samples) - samples, samples, strict=True):
        label = signal["label"].decode("latin-1").rstrip()
        if label == ANNOTATIONS:
            continue
        if hints.leads is None and standard_lead(label) is None:
            channels.append(Channel(label, np.empty(0), None))
            continue
        digital = stored[:, start : start + size].reshape(-1)
        channels.append(_lead(signal, label, digital, size / seconds, ("file_incomplete",) if is_cut else ()))
    notes = (f"{records} data records are announced, {there} are there: the file may be cut off.",) if is_cut else ()
    return RawRecording("EDF+" if reserved.startswith("EDF+") else "EDF", tuple(channels), _patient(content), notes)


def _signals(content: bytes, count: int) -> list[dict[str, bytes]]:
    """The fields of every signal by name."""
    signals: list[dict[str, bytes]] = [{} for _ in range(count)]
    at = HEADER_BYTES
    for name, length in FIELDS.items():
        for signal in signals:
            signal[name] = content[at : at + length]
            at += length
    return signals


def _lead(
    signal: Mapping[str, bytes], label: str, digital: np.ndarray, fs_hz: float, noticed: tuple[ReaderFlag, ...]
) -> Channel:
    """One signal in its physical dimension."""
    if len(digital) > Most.SAMPLES:
        raise RecordingError("signal", f"received {len(digital)} samples of a lead; {Most.SAMPLES} at most are read")
    low, high, lowest, highest = (
        (_whole if "digital" in name else _number)(f"{name} of signal {shown_text(label)}", signal[name])
        for name in ("physical minimum", "physical maximum", "digital minimum", "digital maximum")
    )
    if not (high != low and highest != lowest and np.isfinite(high - low)):
        raise RecordingError("header", f"signal {shown_text(label)} has no range from its minimum to its maximum")
    step = (high - low) / (highest - lowest)
    unit = signal["dimension"].decode("latin-1").rstrip()
    return Channel(label, (digital.astype(np.float64) - lowest) * step + low, fs_hz, unit, abs(1 / step), noticed)


def _number(field: str, stated: bytes) -> float:
    """A number of the header with a decimal point, which some write as a comma."""
    text = stated.decode("latin-1").strip(" \0")
    plain = text.replace(",", ".")
    if not (_NUMBER.fullmatch(plain) and math.isfinite(float(plain))):
        raise RecordingError(field, f"received {shown_text(text)}; a number is needed")
    return float(plain)


def _whole(field: str, stated: bytes) -> int:
    number = _number(field, stated)
    if not number.is_integer() or abs(number) > 99_999_999:
        raise RecordingError(field, f"received {number:.9g}; a whole number is needed")
    return int(number)


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
