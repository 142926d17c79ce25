"""GE MUSE XML (root ``RestingECG``), as the MUSE cardiology information system exports it.

After its document type ``restecg.dtd``: a ``Waveform`` of type ``Rhythm`` (and one of medians, which is not the
recording) with ``SampleBase`` x 10^``SampleExponent`` samples a second, and one ``LeadData`` a lead with base64 of
16-bit little-endian numbers and ``LeadAmplitudeUnitsPerBit``. MUSE stores I, II, V1-V6; the other four are computed.

A sample means: (stored number - ``FirstSampleBaseline``) x ``LeadAmplitudeUnitsPerBit``. ``LeadDataCRC32`` is the
CRC-32 of the decoded bytes. Public programs disagree on what ``LeadOffsetFirstSample`` counts (bytes at the beginning
that are not valid, or samples by which a lead begins later) and none says the unit of ``LeadTimeOffset``: where all
leads have the same, they stand beside each other either way; where they differ, the file is refused.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import MOST_SAMPLES, Channel, RawRecording, ReadOptions, checksum_note, shown_text
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.patient import age_between, facts_of
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.formats.xml_tree import child, children, number_of, parse_xml, root_name, text_of
from leadwise.ecg.leads import ReaderFlag, RecordingError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMAT = "GE MUSE XML"
SAMPLE_BYTES = 2
LARGEST_BASELINE = 2**16
"""Stored numbers have 16 bits."""


def read_muse_xml(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the rhythm waveform.

    Raises:
        RecordingError: there is none, or a lead is broken.
    """
    content = files[file]
    root = parse_xml(content)
    waveforms = list(children(root, "Waveform"))
    rhythm = [one for one in waveforms if text_of(one, "WaveformType").casefold() == "rhythm"]
    if not rhythm and len(waveforms) == 1 and not text_of(waveforms[0], "WaveformType"):
        rhythm = waveforms
    if not rhythm:
        raise RecordingError("Waveform", "none is of WaveformType Rhythm; medians are no recording")
    notes: list[str] = []
    if len(rhythm) > 1:
        notes.append(f"The file holds {len(rhythm)} rhythm waveforms; the first was read.")
    leads = list(children(rhythm[0], "LeadData"))
    invalid, fs_hz = _invalid_bytes(leads, notes), _sampling_rate(rhythm[0])
    baselines = {text_of(lead, "LeadID"): _baseline(lead) for lead in leads}
    if any(baselines.values()):
        told = ", ".join(f"{shown_text(name)} {baseline:g}" for name, baseline in list(baselines.items())[:12])
        notes.append(f"The baselines of the leads, FirstSampleBaseline, were subtracted: {told}.")
    damaged: list[str] = []
    channels = [_lead(lead, fs_hz, invalid, notes, damaged) for lead in leads]
    if damaged:
        notes.append(checksum_note("file", damaged))
    facts, oddities = _patient(root)
    return RawRecording(FORMAT, tuple(channels), facts, (*notes, *oddities))


def _sampling_rate(waveform: "Element") -> float | None:
    base = text_of(waveform, "SampleBase")
    if not base:
        return None
    exponent = number_of("SampleExponent", text_of(waveform, "SampleExponent") or "0")
    if abs(exponent) > 9:
        raise RecordingError("SampleExponent", f"received {exponent:g}; -9 to 9 is allowed")
    return number_of("SampleBase", base) * 10.0**exponent


def _invalid_bytes(leads: Sequence["Element"], notes: list[str]) -> int:
    """How many bytes at the beginning of every lead are no recording; what all leads have in common is noted."""
    late = _of_all_leads(leads, "LeadTimeOffset")
    if late:
        notes.append(f"Every lead has a LeadTimeOffset of {late:g}: they begin together, so nothing was shifted.")
    invalid = _of_all_leads(leads, "LeadOffsetFirstSample")
    if invalid < 0 or invalid % SAMPLE_BYTES:
        allowed = f"0 or more bytes of whole samples of {SAMPLE_BYTES} are allowed"
        raise RecordingError("LeadOffsetFirstSample", f"received {invalid:g}; {allowed}")
    if invalid:
        notes.append(f"Cut off, as LeadOffsetFirstSample says: the first {invalid:g} bytes of every lead.")
    return int(invalid)


def _of_all_leads(leads: Sequence["Element"], field: str) -> float:
    """A number that stands in every lead, 0 where it is left out.

    Raises:
        RecordingError: the leads differ in it, so that it is not known how they stand beside each other.
    """
    numbers = [(text_of(lead, "LeadID"), number_of(field, text_of(lead, field) or "0")) for lead in leads]
    (first, number), *others = numbers or [("", 0.0)]
    for name, other in others:
        if other != number:
            raise RecordingError(
                field,
                f"received {number:g} in lead {shown_text(first)} and {other:g} in lead {shown_text(name)}; only the "
                "same in every lead is read, as it is not known how such leads stand beside each other",
            )
    return number


def _baseline(lead: "Element") -> float:
    """The stored number that stands for 0."""
    baseline = number_of("FirstSampleBaseline", text_of(lead, "FirstSampleBaseline") or "0")
    if abs(baseline) > LARGEST_BASELINE:
        shown = shown_text(text_of(lead, "LeadID"))
        allowed = f"-{LARGEST_BASELINE} to {LARGEST_BASELINE} is allowed"
        raise RecordingError("FirstSampleBaseline", f"lead {shown}: received {baseline:g}; {allowed}")
    return baseline


def _lead(lead: "Element", fs_hz: float | None, invalid: int, notes: list[str], damaged: list[str]) -> Channel:
    name = text_of(lead, "LeadID")
    shown = shown_text(name)
    size = text_of(lead, "LeadSampleSize")
    if size and size != str(SAMPLE_BYTES):
        raise RecordingError("LeadSampleSize", f"lead {shown}: {SAMPLE_BYTES} bytes a sample is allowed")
    stored, checksum = _samples(shown, text_of(lead, "WaveFormData"))
    noticed: list[ReaderFlag] = []
    stated = text_of(lead, "LeadDataCRC32")
    if stated and checksum is not None and stated.casefold() not in _spellings(checksum):
        damaged.append(name if standard_lead(name) is not None else shown)
        noticed.append("checksum_mismatch")
    count = text_of(lead, "LeadSampleCountTotal")
    if count and number_of("LeadSampleCountTotal", count) != len(stored):
        notes.append(f"Lead {shown} holds {len(stored)} samples, other than the file says.")
        noticed.append("file_incomplete")
    if invalid >= SAMPLE_BYTES * len(stored) > 0:
        held = f"the lead holds {SAMPLE_BYTES * len(stored)}, and fewer than these are allowed"
        raise RecordingError("LeadOffsetFirstSample", f"lead {shown}: received {invalid} bytes; {held}")
    if standard_lead(name) is not None:
        if text_of(lead, "LeadOff").casefold() == "true":
            notes.append(f"The device noted that the electrode of lead {shown} was off.")
            noticed.append("electrode_off")
        if text_of(lead, "BaselineSway").casefold() == "true":
            notes.append(f"The device noted a swaying baseline in lead {shown}.")
            noticed.append("baseline_sway")
    values = stored[invalid // SAMPLE_BYTES :] - _baseline(lead)
    per_bit = text_of(lead, "LeadAmplitudeUnitsPerBit")
    if not per_bit:
        return Channel(name, values, fs_hz, noticed=tuple(noticed))
    scale = number_of("LeadAmplitudeUnitsPerBit", per_bit)
    if scale <= 0:
        raise RecordingError("LeadAmplitudeUnitsPerBit", f"lead {shown}: received {scale:g}; above 0 is allowed")
    unit = text_of(lead, "LeadAmplitudeUnits")
    return Channel(name, values * scale, fs_hz, unit, 1 / scale, tuple(noticed))


def _samples(shown: str, text: str) -> tuple[np.ndarray, int | None]:
    """``(time,)`` float64 and their checksum from base64 of 16-bit numbers.

    Or from the plain numbers that some carts write, which have no bytes to check.
    """
    checksum = None
    if "," in text:
        try:
            values = np.array(text.split(",", maxsplit=MOST_SAMPLES), dtype=np.float64)
        except ValueError:
            raise RecordingError("WaveFormData", f"lead {shown} holds something that is no number") from None
    else:
        joined = "".join(text.split())
        try:
            raw = base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise RecordingError("WaveFormData", f"lead {shown} is not base64") from None
        if len(raw) % SAMPLE_BYTES:
            raise RecordingError("WaveFormData", f"lead {shown} is cut off: {len(raw)} bytes of 16-bit samples")
        values, checksum = np.frombuffer(raw, dtype="<i2").astype(np.float64), zlib.crc32(raw)
    if len(values) > MOST_SAMPLES:
        raise RecordingError("WaveFormData", f"lead {shown}: received more than {MOST_SAMPLES} samples")
    return values, checksum


def _spellings(checksum: int) -> tuple[str, ...]:
    """32 bits as exports may write them: a number without or with a sign, or hexadecimal."""
    signed = checksum - 2**32 if checksum >= 2**31 else checksum
    return str(checksum), str(signed), f"{checksum:08x}", f"0x{checksum:08x}"


def _patient(root: "Element") -> tuple[dict[str, float], list[str]]:
    """Facts of ``PatientDemographics``; the date of birth only serves to know the age at the recording."""
    patient, test = child(root, "PatientDemographics"), child(root, "TestDemographics")
    years = age_between(text_of(patient, "DateofBirth"), text_of(test, "AcquisitionDate"))
    age, gender = text_of(patient, "PatientAge"), text_of(patient, "Gender")
    if age:
        age = f"{age} {text_of(patient, 'AgeUnits') or 'YEARS'}"
    elif years is not None:
        age = f"{years:g}"
    facts = {"age": age, "sex": "" if gender.casefold() in ("other", "u") else gender}
    # Of one fact the last counts.
    sizes = {
        "HeightIN": "height (in)",
        "HeightCM": "height (cm)",
        "WeightLBS": "weight (lb)",
        "WeightKG": "weight (kg)",
    }
    return facts_of([*facts.items(), *((name, text_of(patient, element)) for element, name in sizes.items())])


def _sniff(content: bytes, name: str) -> bool:
    return root_name(content) == "restingecg"


register(Format("GE MUSE XML", (".xml",), _sniff, read_muse_xml))
