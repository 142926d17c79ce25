"""GE MUSE XML (root ``RestingECG``), as the MUSE cardiology information system exports it.

After its document type ``restecg.dtd``: a ``Waveform`` of type ``Rhythm`` (and one of medians, which is not the
recording) with ``SampleBase`` x 10^``SampleExponent`` samples a second, and one ``LeadData`` a lead with base64 of
16-bit little-endian numbers and ``LeadAmplitudeUnitsPerBit``. MUSE stores I, II, V1-V6; the other four are computed.
"""

import base64
import binascii
from typing import TYPE_CHECKING

import numpy as np

from leadwise.signals.readers.errors import MOST_SAMPLES, ReaderError, shown_text
from leadwise.signals.readers.found import Channel, Found, Hints
from leadwise.signals.readers.lead_names import standard_lead
from leadwise.signals.readers.patient_facts import (
    age_between,
    age_of,
    checked_facts,
    read_fact,
    sex_of,
)
from leadwise.signals.readers.xml_tree import child, children, number_of, parse_xml, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMAT = "GE MUSE XML"
SAMPLE_BYTES = 2


def read_muse_xml(file: str, content: bytes, hints: Hints) -> Found:
    """Read the rhythm waveform.

    Raises:
        ReaderError: there is none, or a lead is broken.
    """
    root = parse_xml(file, content)
    waveforms = list(children(root, "Waveform"))
    rhythm = [one for one in waveforms if text_of(one, "WaveformType").casefold() == "rhythm"]
    if not rhythm and len(waveforms) == 1 and not text_of(waveforms[0], "WaveformType"):
        rhythm = waveforms
    if not rhythm:
        raise ReaderError(file, "Waveform", "none is of WaveformType Rhythm; medians are no recording")
    notes: list[str] = []
    if len(rhythm) > 1:
        notes.append(f"The file holds {len(rhythm)} rhythm waveforms; the first was read.")
    channels = [_lead(file, lead, _sampling_rate(file, rhythm[0]), notes) for lead in children(rhythm[0], "LeadData")]
    facts, oddities = _patient(root)
    return Found(FORMAT, tuple(channels), facts, (*notes, *oddities))


def _sampling_rate(file: str, waveform: "Element") -> float | None:
    base = text_of(waveform, "SampleBase")
    if not base:
        return None
    exponent = number_of(file, "SampleExponent", text_of(waveform, "SampleExponent") or "0")
    if abs(exponent) > 9:
        raise ReaderError(file, "SampleExponent", f"received {exponent:g}; -9 to 9 is allowed")
    return number_of(file, "SampleBase", base) * 10.0**exponent


def _lead(file: str, lead: "Element", fs_hz: float | None, notes: list[str]) -> Channel:
    name = text_of(lead, "LeadID")
    shown = shown_text(name)
    size = text_of(lead, "LeadSampleSize")
    if size and size != str(SAMPLE_BYTES):
        raise ReaderError(file, "LeadSampleSize", f"lead {shown}: {SAMPLE_BYTES} bytes a sample is allowed")
    stored = _samples(file, shown, text_of(lead, "WaveFormData"))
    count = text_of(lead, "LeadSampleCountTotal")
    if count and number_of(file, "LeadSampleCountTotal", count) != len(stored):
        notes.append(f"Lead {shown} holds {len(stored)} samples, other than the file says.")
    if standard_lead(name) is not None:
        if text_of(lead, "LeadOff").casefold() == "true":
            notes.append(f"The device noted that the electrode of lead {shown} was off.")
        if text_of(lead, "BaselineSway").casefold() == "true":
            notes.append(f"The device noted a swaying baseline in lead {shown}.")
    per_bit = text_of(lead, "LeadAmplitudeUnitsPerBit")
    if not per_bit:
        return Channel(name, stored, fs_hz)
    scale = number_of(file, "LeadAmplitudeUnitsPerBit", per_bit)
    if scale <= 0:
        raise ReaderError(file, "LeadAmplitudeUnitsPerBit", f"lead {shown}: received {scale:g}; above 0 is allowed")
    return Channel(name, stored * scale, fs_hz, text_of(lead, "LeadAmplitudeUnits"), 1 / scale)


def _samples(file: str, shown: str, text: str) -> np.ndarray:
    """``(time,)`` float64 from base64 of 16-bit numbers, or from the plain numbers that some carts write."""
    if "," in text:
        try:
            values = np.array(text.split(",", maxsplit=MOST_SAMPLES), dtype=np.float64)
        except ValueError:
            raise ReaderError(file, "WaveFormData", f"lead {shown} holds something that is no number") from None
    else:
        joined = "".join(text.split())
        try:
            raw = base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ReaderError(file, "WaveFormData", f"lead {shown} is not base64") from None
        if len(raw) % SAMPLE_BYTES:
            raise ReaderError(file, "WaveFormData", f"lead {shown} is cut off: {len(raw)} bytes of 16-bit samples")
        values = np.frombuffer(raw, dtype="<i2").astype(np.float64)
    if len(values) > MOST_SAMPLES:
        raise ReaderError(file, "WaveFormData", f"lead {shown}: received more than {MOST_SAMPLES} samples")
    return values


def _patient(root: "Element") -> tuple[dict[str, float], list[str]]:
    """Facts of ``PatientDemographics``; the date of birth only serves to know the age at the recording."""
    patient, test = child(root, "PatientDemographics"), child(root, "TestDemographics")
    found: dict[str, float | None] = {}
    if age := text_of(patient, "PatientAge"):
        found["age"] = age_of(f"{age} {text_of(patient, 'AgeUnits') or 'YEARS'}")
    elif (born := text_of(patient, "DateofBirth")) and (day := text_of(test, "AcquisitionDate")):
        years = age_between(born, day)
        if years is not None:
            found["age"] = years
    gender = text_of(patient, "Gender")
    if gender and gender.casefold() not in ("unknown", "other", "u"):
        found["sex"] = sex_of(gender)
    for fact, spellings in (
        ("height_cm", {"HeightCM": "cm", "HeightIN": "in"}),
        ("weight_kg", {"WeightKG": "kg", "WeightLBS": "lb"}),
    ):
        for name, unit in spellings.items():
            if (text := text_of(patient, name)) and fact not in found:
                found[fact] = read_fact(fact, text, unit)
    return checked_facts(found)
