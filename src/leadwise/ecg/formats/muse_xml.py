"""GE MUSE XML (root ``RestingECG``), as the MUSE cardiology information system exports it.

After its document type ``restecg.dtd``: a ``Waveform`` of type ``Rhythm`` (and one of medians, which is not the
recording) with ``SampleBase`` x 10^``SampleExponent`` samples a second, and one ``LeadData`` a lead with base64 of
16-bit little-endian numbers and ``LeadAmplitudeUnitsPerBit``. MUSE stores I, II, V1-V6; the other four are computed.

A sample means: (stored number - ``FirstSampleBaseline``) x ``LeadAmplitudeUnitsPerBit``. ``LeadDataCRC32`` is the
CRC-32 of the decoded bytes. Public programs disagree on what ``LeadOffsetFirstSample`` counts (bytes at the beginning
that are not valid, or samples by which a lead begins later) and none says the unit of ``LeadTimeOffset``: where all
leads have the same, they stand beside each other either way; where they differ, the file is refused.
"""

import zlib
from collections.abc import Mapping, Sequence

from leadwise.ecg.formats import xml_tree as xml
from leadwise.ecg.formats.base import Channel, Format, RawRecording, ReadOptions, register, shown_text, within
from leadwise.ecg.formats.parsing import checksum_note, standard_lead
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import ReaderFlag, RecordingError

FORMAT = "GE MUSE XML"
LARGEST_BASELINE = 2**16
"""Stored numbers have 16 bits."""
NOTED: Mapping[str, tuple[ReaderFlag, str]] = {
    "LeadOff": ("electrode_off", "The device noted that the electrode of lead {} was off."),
    "BaselineSway": ("baseline_sway", "The device noted a swaying baseline in lead {}."),
}
"""Element of a lead -> its flag, and what to note."""


def read_muse_xml(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the rhythm waveform. Refused: there is none, or a lead is broken."""
    root = xml.parse_xml(files[file])
    waveforms = list(xml.children(root, "Waveform"))
    rhythm = [waveform for waveform in waveforms if xml.text_of(waveform, "WaveformType").casefold() == "rhythm"]
    if not rhythm and len(waveforms) == 1 and not xml.text_of(waveforms[0], "WaveformType"):
        rhythm = waveforms
    if not rhythm:
        raise RecordingError("Waveform", "none is of WaveformType Rhythm; medians are no recording")
    notes: list[str] = []
    if len(rhythm) > 1:
        notes.append(f"The file holds {len(rhythm)} rhythm waveforms; the first was read.")
    leads = list(xml.children(rhythm[0], "LeadData"))
    invalid, fs_hz = _invalid_bytes(leads, notes), _sampling_rate(rhythm[0])
    baselines = {xml.text_of(lead, "LeadID"): _baseline(lead) for lead in leads}
    if any(baselines.values()):
        subtracted = ", ".join(f"{shown_text(name)} {baseline:g}" for name, baseline in list(baselines.items())[:12])
        notes.append(f"The baselines of the leads, FirstSampleBaseline, were subtracted: {subtracted}.")
    damaged: list[str] = []
    channels = [_lead(lead, fs_hz, invalid, notes, damaged) for lead in leads]
    if damaged:
        notes.append(checksum_note("file", damaged))
    return RawRecording(FORMAT, tuple(channels), _patient(root), tuple(notes))


def _sampling_rate(waveform: xml.Element) -> float | None:
    base = xml.text_of(waveform, "SampleBase")
    if not base:
        return None
    exponent = xml.number_of("SampleExponent", xml.text_of(waveform, "SampleExponent"), 0.0)
    return xml.number_of("SampleBase", base) * 10.0 ** within("SampleExponent", exponent, -9, 9)


def _invalid_bytes(leads: Sequence[xml.Element], notes: list[str]) -> int:
    """How many bytes at the beginning of every lead are no recording; what all leads have in common is noted."""
    late = _of_all_leads(leads, "LeadTimeOffset")
    if late:
        notes.append(f"Every lead has a LeadTimeOffset of {late:g}: they begin together, so nothing was shifted.")
    invalid = _of_all_leads(leads, "LeadOffsetFirstSample")
    if invalid < 0 or invalid % xml.SAMPLE_BYTES:
        allowed = f"0 or more bytes of whole samples of {xml.SAMPLE_BYTES} are allowed"
        raise RecordingError("LeadOffsetFirstSample", f"received {invalid:g}; {allowed}")
    if invalid:
        notes.append(f"Cut off, as LeadOffsetFirstSample says: the first {invalid:g} bytes of every lead.")
    return int(invalid)


def _of_all_leads(leads: Sequence[xml.Element], field: str) -> float:
    """A number that stands in every lead, 0 where it is left out.

    Refused: the leads differ in it, so that it is not known how they stand beside each other.
    """
    numbers = [(xml.text_of(lead, "LeadID"), xml.number_of(field, xml.text_of(lead, field), 0.0)) for lead in leads]
    (first, number), *others = numbers or [("", 0.0)]
    for name, other in others:
        if other != number:
            received = f"received {number:g} in lead {shown_text(first)} and {other:g} in lead {shown_text(name)}"
            why = "only the same in every lead is read, as it is not known how such leads stand beside each other"
            raise RecordingError(field, f"{received}; {why}")
    return number


def _baseline(lead: xml.Element) -> float:
    """The stored number that stands for 0."""
    field, where = "FirstSampleBaseline", f"lead {shown_text(xml.text_of(lead, 'LeadID'))}: "
    return within(
        field, xml.number_of(field, xml.text_of(lead, field), 0.0), -LARGEST_BASELINE, LARGEST_BASELINE, where
    )


def _lead(lead: xml.Element, fs_hz: float | None, invalid: int, notes: list[str], damaged: list[str]) -> Channel:
    name = xml.text_of(lead, "LeadID")
    shown = shown_text(name)
    size = xml.text_of(lead, "LeadSampleSize")
    if size and size != str(xml.SAMPLE_BYTES):
        raise RecordingError("LeadSampleSize", f"lead {shown}: {xml.SAMPLE_BYTES} bytes a sample is allowed")
    text, checksum = xml.text_of(lead, "WaveFormData"), None
    if "," in text:
        # The plain numbers that some carts write have no bytes to check.
        stored = xml.numbers_of("WaveFormData", name, text, ",")
    else:
        raw = xml.bytes_of("WaveFormData", name, text)
        stored, checksum = xml.samples_of("WaveFormData", name, raw), zlib.crc32(raw)
    noticed: list[ReaderFlag] = []
    stated = xml.text_of(lead, "LeadDataCRC32")
    if stated and checksum is not None and stated.casefold() not in _spellings(checksum):
        damaged.append(name if standard_lead(name) is not None else shown)
        noticed.append("checksum_mismatch")
    count = xml.text_of(lead, "LeadSampleCountTotal")
    if count and xml.number_of("LeadSampleCountTotal", count) != len(stored):
        notes.append(f"Lead {shown} holds {len(stored)} samples, other than the file says.")
        noticed.append("file_incomplete")
    if invalid >= xml.SAMPLE_BYTES * len(stored) > 0:
        held = f"the lead holds {xml.SAMPLE_BYTES * len(stored)}, and fewer than these are allowed"
        raise RecordingError("LeadOffsetFirstSample", f"lead {shown}: received {invalid} bytes; {held}")
    for element, (flag, note) in NOTED.items():
        if standard_lead(name) is not None and xml.text_of(lead, element).casefold() == "true":
            notes.append(note.format(shown))
            noticed.append(flag)
    values = stored[invalid // xml.SAMPLE_BYTES :] - _baseline(lead)
    step = None
    if per_bit := xml.text_of(lead, "LeadAmplitudeUnitsPerBit"):
        step = xml.number_of("LeadAmplitudeUnitsPerBit", per_bit)
        if step <= 0:
            raise RecordingError("LeadAmplitudeUnitsPerBit", f"lead {shown}: received {step:g}; above 0 is allowed")
    return Channel.stored(name, values, fs_hz, step, xml.text_of(lead, "LeadAmplitudeUnits"), tuple(noticed))


def _spellings(checksum: int) -> tuple[str, ...]:
    """32 bits as exports may write them: a number without or with a sign, or hexadecimal."""
    signed = checksum - 2**32 if checksum >= 2**31 else checksum
    return str(checksum), str(signed), f"{checksum:08x}", f"0x{checksum:08x}"


def _patient(root: xml.Element) -> dict[str, float | None]:
    patient, test = xml.child(root, "PatientDemographics"), xml.child(root, "TestDemographics")
    age = xml.text_of(patient, "PatientAge")
    sizes = [("height_cm", "HeightCM", "cm"), ("height_cm", "HeightIN", "in")]
    sizes += [("weight_kg", "WeightKG", "kg"), ("weight_kg", "WeightLBS", "lb")]
    return facts_said(
        age=f"{age} {xml.text_of(patient, 'AgeUnits') or 'YEARS'}" if age else "",
        born=xml.text_of(patient, "DateofBirth"),
        recorded=xml.text_of(test, "AcquisitionDate"),
        sex=xml.text_of(patient, "Gender"),
        sizes=[(fact, xml.text_of(patient, element), unit) for fact, element, unit in sizes],
    )


register(Format(FORMAT, (".xml",), xml.has_root("restingecg"), read_muse_xml))
