"""DICOM waveforms that hold an ECG (PS3.3 A.34 and C.10.9 Waveform Module; leads of CID 3001).

A sample means: stored number x channel sensitivity x correction factor + channel baseline, in the sensitivity's units.
"""

import io
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.ecg.formats.base import (
    Channel,
    Format,
    Most,
    RawRecording,
    ReadOptions,
    by_library,
    register,
    shown_text,
    within,
)
from leadwise.ecg.formats.parsing import standard_lead, standard_leads
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import INDEPENDENT_LEADS, RecordingError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_READS = 60_000
"""Pieces that an object is read in, two or three an element: a 12-lead ECG has a thousand elements."""

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def _element(dataset: "Dataset", keyword: str) -> Any:
    """An element as it was read, its value perhaps still bytes; ``None`` if it is absent."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    return dataset.get_item(tag) if tag is not None and tag in dataset else None


def text_in(dataset: "Dataset", keyword: str) -> str:
    """An element as text without padding; empty if it is absent or empty. Of several values the first."""
    value = getattr(_element(dataset, keyword), "value", None)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return str(value).split("\\")[0].strip(" \0") if value is not None else ""


def number_in(dataset: "Dataset", keyword: str) -> float | None:
    """An element as a finite number; ``None`` if it is absent or is none."""
    from pydicom.datadict import dictionary_VR

    element = _element(dataset, keyword)
    value = getattr(element, "value", None)
    if value is None:
        return None
    try:
        kind = BINARY.get(dictionary_VR(element.tag))
        if isinstance(value, bytes) and kind is not None:
            order = ">" if getattr(element, "is_little_endian", True) is False else "<"
            number = float(struct.unpack_from(order + kind, value)[0])
        else:
            number = float(text_in(dataset, keyword))
    except (ValueError, struct.error):
        return None
    return number if math.isfinite(number) else None


class Reads:
    """Counts the pieces that an object is read in, so that one of millions of tiny elements is refused soon."""

    left = MOST_READS

    def check(self) -> None:
        """Refuse what has been read in too many pieces: pydicom may have turned the first refusal into an OSError."""
        if self.left < 0:
            raise RecordingError("DICOM", "has far more elements than any ECG")

    def stream(self, content: bytes) -> io.BytesIO:
        """A stream of which every read counts."""
        reads = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                reads.left -= 1
                reads.check()
                return super().read(size)

        return Counted(content)

    def items(self, dataset: "Dataset", keyword: str) -> "list[Dataset]":
        """The items of a sequence; none if it is absent."""
        from pydicom.filereader import read_sequence

        element = _element(dataset, keyword)
        value: object = getattr(element, "value", None)
        if isinstance(value, bytes):
            # Left unread so far, as its length was known.
            implicit, little = bool(getattr(element, "is_implicit_VR", False)), getattr(element, "is_little_endian", 1)
            with by_library(keyword, "a sequence of items is needed"):
                return list(read_sequence(self.stream(value), implicit, bool(little), len(value), "latin-1"))
        return list(value) if isinstance(value, Sequence) else []


PREAMBLE, PREFIX = bytes(128), b"DICM"
DEFLATED = "1.2.840.10008.1.2.1.99"
ECG_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.9.1.1": "12-lead ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.2": "general ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.3": "ambulatory ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "general 32-bit ECG",
    "1.2.840.10008.5.1.4.1.1.9.2.1": "hemodynamic waveform",
    "1.2.840.10008.5.1.4.1.1.9.3.1": "electrophysiology waveform",
}
"""The last two may hold the leads of an ECG beside pressures or signals from within the heart."""
FIRST_ELEMENTS = {(2, 0), (2, 1), (2, 2), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x12), (8, 0x16), (8, 0x18), (8, 0x20)}
FIRST_ELEMENT_BYTES, LONGEST_FIRST_ELEMENT = 8, 128
SAMPLE_TYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
"""Waveform sample interpretations that are plain numbers: not the logarithmic codes of telephony, which no ECG uses."""


@dataclass(frozen=True)
class _Group:
    """A multiplex group: channels that were sampled together."""

    dataset: "Dataset"
    names: tuple[str, ...]
    definitions: "tuple[Dataset, ...]"

    @property
    def leads(self) -> set[str]:
        """The standard leads in it."""
        return standard_leads(self.names)

    @property
    def clock(self) -> tuple[float, ...]:
        """Rate, length and start: groups that share these can stand side by side."""
        fields = ("SamplingFrequency", "NumberOfWaveformSamples", "MultiplexGroupTimeOffset")
        return tuple((number_in(self.dataset, field) or 0.0) for field in fields)


def read_dicom(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the multiplex group, or the simultaneous groups, that hold the standard leads.

    Refused: the object is no ECG waveform, or a group is broken.
    """
    reads = Reads()
    try:
        return _read(files[file], reads, hints)
    except RecordingError:
        reads.check()
        raise


def _read(content: bytes, reads: Reads, hints: ReadOptions) -> RawRecording:
    notes: list[str] = []
    with by_library("data set", "elements as PS3.5 encodes them are needed"):
        dataset = _dataset(content, reads, notes)
    kind = text_in(dataset, "SOPClassUID")
    if kind not in ECG_CLASSES:
        # What is no UID may be anything in the file, such as a name.
        uid = kind if re.fullmatch(r"[\d.]{1,64}", kind) else "unknown"
        held = "an embedded document" if "EncapsulatedDocument" in dataset else f"SOP class {uid}"
        problem = f"received {held}; ECG waveforms are read: {', '.join(ECG_CLASSES.values())}"
        raise RecordingError("SOPClassUID", problem)
    groups = []
    for item in reads.items(dataset, "WaveformSequence"):
        definitions = tuple(reads.items(item, "ChannelDefinitionSequence"))
        groups.append(_Group(item, tuple(_lead_name(each, reads) for each in definitions), definitions))
    channels = [channel for group in _recorded_together(groups, notes) for channel in _channels(group, reads, hints)]
    return RawRecording(f"DICOM {ECG_CLASSES[kind]}", tuple(channels), _patient(dataset), tuple(notes))


def _dataset(content: bytes, reads: Reads, notes: list[str]) -> "Dataset":
    """The data set; one that is deflated is unpacked to no more than the largest file."""
    import pydicom
    from pydicom.filereader import read_dataset

    if not content.startswith(PREFIX, len(PREAMBLE)):
        content = PREAMBLE + (b"" if content.startswith(PREFIX) else PREFIX) + content
    stream = reads.stream(content)
    stream.seek(len(PREAMBLE + PREFIX))
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    syntax = text_in(meta, "TransferSyntaxUID")
    if syntax != DEFLATED:
        dataset = pydicom.dcmread(reads.stream(content))
        if not syntax:
            implicit, little = dataset.original_encoding
            taken = f"{'implicit' if implicit else 'explicit'} VR, {'little' if little else 'big'} endian"
            notes.append(f"The file names no transfer syntax: {taken} was taken, as its first element is written.")
        return dataset
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflate.decompress(content[stream.tell() :], Most.BYTES)
    if inflate.unconsumed_tail:
        raise RecordingError("size", f"unpacks to more than {Most.BYTES // 2**20} MiB, which is the most")
    return read_dataset(reads.stream(inflated), False, True)


def begins_without_preamble(content: bytes) -> bool:
    """Whether a content begins as a DICOM file does behind its preamble, which some leave out.

    That is with ``DICM``, or with an element of group 2 or 8: its tag, and its kind of value or a short length.
    """
    for order in "<>" if len(content) >= FIRST_ELEMENT_BYTES else "":
        group, element, length = struct.unpack_from(f"{order}HHI", content)
        explicit = content[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"LO", b"SH")
        if (group, element) in FIRST_ELEMENTS and (explicit or (order == "<" and 0 < length <= LONGEST_FIRST_ELEMENT)):
            return True
    return content.startswith(PREFIX)


def _lead_name(definition: "Dataset", reads: Reads) -> str:
    """The lead's code if it means a standard lead, or else the name that the device shows."""
    sources = reads.items(definition, "ChannelSourceSequence")
    for source in sources:
        for field in ("CodeValue", "CodeMeaning"):
            if standard_lead(text_in(source, field)) is not None:
                return text_in(source, field)
    return text_in(definition, "ChannelLabel") or next((text_in(source, "CodeMeaning") for source in sources), "")


def _recorded_together(groups: list[_Group], notes: list[str]) -> list[_Group]:
    """The group that holds all leads, or the groups that hold them together and begin at the same time."""
    if not groups:
        raise RecordingError("WaveformSequence", "holds no waveform")
    needed = set(INDEPENDENT_LEADS)
    recorded = [group for group in groups if text_in(group.dataset, "WaveformOriginality") != "DERIVED"]
    if len(recorded) < len(groups):
        notes.append(f"Waveforms that are derived, such as medians, were left out: {len(groups) - len(recorded)}.")
    if not recorded:
        raise RecordingError("WaveformOriginality", "all waveforms are derived, such as medians; none is a recording")
    whole = [group for group in recorded if needed <= group.leads]
    if whole:
        if len(whole) > 1:
            notes.append(f"{len(whole)} waveforms hold all leads; the longest was read.")
        return [max(whole, key=lambda group: group.clock[1])]
    by_clock: dict[tuple[float, ...], list[_Group]] = {}
    for group in recorded:
        by_clock.setdefault(group.clock, []).append(group)
    together = max(by_clock.values(), key=lambda parts: len(set().union(*(part.leads for part in parts))))
    there, at_any_time = (set[str]().union(*(group.leads for group in some)) for some in (together, recorded))
    if not needed <= there and needed <= at_any_time:
        raise RecordingError("WaveformSequence", "the leads are not all recorded at the same time; they must be")
    if len(together) > 1:
        notes.append(f"The leads were put together from {len(together)} multiplex groups of the same time.")
    return together


def _channels(group: _Group, reads: Reads, hints: ReadOptions) -> list[Channel]:
    count = int(number_in(group.dataset, "NumberOfWaveformChannels") or 0)
    samples = int(number_in(group.dataset, "NumberOfWaveformSamples") or 0)
    within("NumberOfWaveformChannels", count, 1, Most.CHANNELS)
    within("NumberOfWaveformSamples", samples, 1, Most.SAMPLES)
    if len(group.definitions) != count:
        held = len(group.definitions)
        raise RecordingError("ChannelDefinitionSequence", f"received {held} definitions for {count} channels")
    stored = _stored(group.dataset, samples, count)
    fs_hz = number_in(group.dataset, "SamplingFrequency") or None
    return [
        _channel(name, definition, stored[:, column], fs_hz, reads, hints)
        if hints.leads is not None or standard_lead(name) is not None or not any(group.names)
        else Channel(name, np.empty(0), None)
        for column, (name, definition) in enumerate(zip(group.names, group.definitions, strict=True))
    ]


def _stored(group: "Dataset", samples: int, count: int) -> np.ndarray:
    """``(time, channel)`` the stored numbers as float64, NaN where the padding value stands."""
    interpretation = text_in(group, "WaveformSampleInterpretation")
    if interpretation not in SAMPLE_TYPES:
        raise RecordingError("WaveformSampleInterpretation", f"only {', '.join(SAMPLE_TYPES)} are read")
    order = "<" if group.original_encoding[1] is not False else ">"
    sample_type = np.dtype(f"{order}{SAMPLE_TYPES[interpretation]}")
    if int(number_in(group, "WaveformBitsAllocated") or 0) != sample_type.itemsize * 8:
        raise RecordingError("WaveformBitsAllocated", f"{sample_type.itemsize * 8} are needed for {interpretation}")
    raw = group.get("WaveformData")
    if not isinstance(raw, bytes) or len(raw) < samples * count * sample_type.itemsize:
        held = len(raw) if isinstance(raw, bytes) else 0
        raise RecordingError("WaveformData", f"is cut off: {held} bytes for {count} channels of {samples} samples")
    numbers = np.frombuffer(raw, dtype=sample_type, count=samples * count).reshape(samples, count)
    stored = numbers.astype(np.float64)
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes) and len(padding) >= sample_type.itemsize:
        stored[numbers == np.frombuffer(padding, dtype=sample_type, count=1)[0]] = np.nan
    return stored


def _channel(
    name: str,
    definition: "Dataset",
    stored: np.ndarray,
    fs_hz: float | None,
    reads: Reads,
    hints: ReadOptions,
) -> Channel:
    sensitivity = _stated(name, definition, "ChannelSensitivity")
    factor = _stated(name, definition, "ChannelSensitivityCorrectionFactor")
    baseline = _stated(name, definition, "ChannelBaseline")
    if sensitivity is None:
        return Channel(name, stored, fs_hz)
    if 0 in (sensitivity, factor):
        if hints.gain is not None or hints.units is not None:
            return Channel(name, stored, fs_hz)
        keyword = "ChannelSensitivity" if sensitivity == 0 else "ChannelSensitivityCorrectionFactor"
        needed = "a number other than 0 is needed, or a gain (stored numbers per mV) as a hint"
        raise RecordingError(keyword, f"lead {shown_text(name)}: received 0; {needed}")
    scale = sensitivity * (1.0 if factor is None else factor)
    if not (np.isfinite(scale) and scale != 0):
        raise RecordingError("ChannelSensitivity", "with its correction factor is beyond any number")
    units = reads.items(definition, "ChannelSensitivityUnitsSequence")
    unit = text_in(units[0], "CodeValue") if units else ""
    return Channel(name, stored * scale + (baseline or 0.0), fs_hz, unit, abs(1 / scale))


def _stated(name: str, definition: "Dataset", keyword: str) -> float | None:
    """A number of a channel; ``None`` where there is none, but not where it cannot be read."""
    number, text = number_in(definition, keyword), text_in(definition, keyword)
    if number is None and text:
        received = f"lead {shown_text(name)}: received {shown_text(text)}"
        raise RecordingError(keyword, f"{received}; a number is needed")
    return number


def _patient(dataset: "Dataset") -> dict[str, float | None]:
    """Facts of the patient and study modules; the date of birth only serves to know the age at the recording."""
    age = text_in(dataset, "PatientAge")
    dates = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "StudyDate")
    facts = facts_said(
        # 000Y is written where no age is known: one below a year is given in months, weeks or days.
        age="" if re.fullmatch(r"0+[Yy]?", age) else age,
        born=text_in(dataset, "PatientBirthDate"),
        recorded=next((text for name in dates if (text := text_in(dataset, name))), ""),
        sex=text_in(dataset, "PatientSex"),
    )
    if (metres := number_in(dataset, "PatientSize")) is not None:
        facts["height_cm"] = metres * 100
    if (kilograms := number_in(dataset, "PatientWeight")) is not None:
        facts["weight_kg"] = kilograms
    return facts


def _sniff(content: bytes, name: str) -> bool:
    return content.startswith(PREFIX, 128) or begins_without_preamble(content)


register(Format("DICOM waveform", (".dcm",), _sniff, read_dicom))
