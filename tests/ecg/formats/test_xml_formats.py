"""HL7 aECG and GE MUSE XML after their published layouts, and XML that means harm."""

import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from broken_files import per_lead

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.record import INDEPENDENT_LEADS

Make = Callable[..., Any]

Ecg = Any
MDC = [f"MDC_ECG_LEAD_{lead.upper()}" for lead in LEADS]


@pytest.fixture(scope="module")
def one(ecg: Make) -> Ecg:
    return ecg(500, names=MDC)


@pytest.fixture(scope="module")
def eight(ecg: Make) -> Ecg:
    return ecg(500, leads=INDEPENDENT_LEADS)


@pytest.mark.parametrize(
    "more",
    [
        {"scale": 2.5}, {"scale": -1.0}, {"origin": 250.0, "scale": 5.0}, {"unit": "mV"}, {"unit": "nV"},
        {"increment": 'value="2" unit="ms"'}, {"increment": 'value="2000" unit="us"'}, {"increment": 'value="0.002"'},
    ],
)  # fmt: skip
def test_hl7_origin_scale_and_increment_in_any_unit(one: Ecg, write: Make, more: dict[str, Any]) -> None:
    read = read_ecg(write("hl7", one, **more))
    assert (read.format, read.fs_hz, read.questions, read.notes) == ("HL7 aECG", 500, (), ())
    assert list(read.leads_found) == MDC
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=abs(more.get("scale", 1)) * 0.5e-3 + 1e-6)
    assert read.gain_per_mv == pytest.approx((1000 / abs(more.get("scale", 1)),) * 12)


def test_hl7_of_several_series_the_fullest_is_read(one: Ecg, ecg: Make, write: Make) -> None:
    short = write("hl7", ecg(500, leads=("I", "II")))
    extra = re.search(rb"<component><series>.*</series>\s*</component>", short, re.DOTALL)
    assert extra is not None
    both = write("hl7", one).replace(b"<component><series>", extra[0] + b"<component><series>", 1)
    read = read_ecg(both)
    assert read.notes == ("The file holds 2 series; number 2 was read.",)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


def later(sequence_set: bytes, start: bytes) -> bytes:
    return sequence_set.replace(b"20200601091000.000", start)


def test_hl7_leads_of_the_same_time_are_put_together_and_others_refused(one: Ecg, write: Make) -> None:
    content = write("hl7", one)
    before, between, after = (
        re.split(rb"(?=<component><sequence><code code=\"MDC_ECG_LEAD_V1\")", content, maxsplit=1)[0],
        b"",
        b"",
    )
    chest = content[len(before) :]
    clock = re.search(rb"<component><sequence><code code=\"TIME_ABSOLUTE\".*?</component>", content, re.DOTALL)
    assert clock is not None
    between = b"</sequenceSet></component><component><sequenceSet>"
    read = read_ecg(before + between + clock[0] + chest)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)
    after = later(clock[0], b"20200601091002.500")
    with pytest.raises(ReaderError, match="sequenceSet: the leads begin at 2 different times; they must be recorded"):
        read_ecg(before + between + after + chest)


def test_hl7_without_a_clock_or_units_asks(one: Ecg, write: Make) -> None:
    content = write("hl7", one)
    read = read_ecg(re.sub(rb"<increment [^>]*>", b"", content).replace(b' unit="uV"', b""))
    assert {question.field: question.suggestion for question in read.questions} == {"fs_hz": 500, "units": "uV"}
    again = read_ecg(re.sub(rb"<increment [^>]*>", b"", content).replace(b' unit="uV"', b""), fs_hz=500, units="uV")
    np.testing.assert_allclose(again.signal_mv, one.mv, atol=1e-6)


@pytest.mark.parametrize(
    ("gender", "birth", "facts"),
    [
        ("M", "19620517", {"sex": 0, "age": 58}),
        ("UN", "196205170830", {"age": 58}),
        ("F", "1962", {"sex": 1}),
        ("F", "20210101", {"sex": 1}),
        ("F", "17000101", {"sex": 1}),
    ],
)
def test_hl7_subject(one: Ecg, write: Make, gender: str, birth: str, facts: dict[str, float]) -> None:
    content = write("hl7", one).replace(b'Code code="F"', f'Code code="{gender}"'.encode())
    assert read_ecg(content.replace(b"19620517", birth.encode())).patient == facts


@pytest.mark.parametrize("per_bit", [1.0, 2.5, 4.88])
def test_muse_reads_the_rhythm_and_not_the_medians(eight: Ecg, write: Make, per_bit: float) -> None:
    read = read_ecg(write("muse", eight, per_bit=per_bit))
    assert (read.format, read.fs_hz, read.samples, read.leads) == ("GE MUSE XML", 500, 5000, INDEPENDENT_LEADS)
    assert read.units_found == "MICROVOLTS"
    assert read.gain_per_mv == pytest.approx((1000 / per_bit,) * 8)
    np.testing.assert_allclose(read.signal_mv, eight.mv, atol=per_bit / 2000 + 1e-6)


@pytest.mark.parametrize(
    ("demographics", "facts"),
    [
        ("<PatientAge>18</PatientAge><AgeUnits>MONTHS</AgeUnits><Gender>MALE</Gender>", {"age": 1.5, "sex": 0}),
        ("<DateofBirth>06-02-1962</DateofBirth><HeightCM>170</HeightCM>", {"age": 57, "height_cm": 170}),
        ("<HeightCM>170</HeightCM><WeightKG>72</WeightKG>", {"height_cm": 170, "weight_kg": 72}),
        ("<PatientAge>0</PatientAge><Gender>Unknown</Gender><HeightCM>0</HeightCM>", {"age": 0}),
        ("<Race>x</Race>", {}),
    ],
)  # fmt: skip
def test_muse_demographics(eight: Ecg, write: Make, demographics: str, facts: dict[str, float]) -> None:
    read = read_ecg(write("muse", eight, demographics=demographics))
    assert read.patient == facts
    assert not [note for note in read.notes if "unknown" in note]


def test_muse_notes_of_the_device_are_told(eight: Ecg, write: Make) -> None:
    content = write("muse", eight)
    rhythm = content.index(b"<WaveformType>Rhythm")
    off = content[:rhythm] + content[rhythm:].replace(b"<LeadOff>FALSE", b"<LeadOff>TRUE", 1)
    assert "The device noted that the electrode of lead 'I' was off." in read_ecg(off).notes
    miscounted = content[:rhythm] + content[rhythm:].replace(b"Total>5000", b"Total>4999", 1)
    assert "Lead 'I' holds 5000 samples, other than the file says." in read_ecg(miscounted).notes
    assert read_ecg(off).noticed == {"electrode_off": ("I",)}
    assert read_ecg(miscounted).noticed == {"file_incomplete": ("I",)}
    swaying = content[:rhythm] + content[rhythm:].replace(
        b"<LeadOff>", b"<BaselineSway>TRUE</BaselineSway><LeadOff>", 2
    )
    assert read_ecg(swaying).noticed == {"baseline_sway": ("I", "II")}


def test_muse_baselines_are_subtracted_and_told(eight: Ecg, write: Make) -> None:
    baselines = [0, 20, -23, 2048, 0, 0, 7.5, 1]
    stored = type(eight)(eight.microvolts + np.array(baselines) * 2.5, 500, names=eight.names)
    content = per_lead(write("muse", stored, per_bit=2.5), "FirstSampleBaseline", baselines)
    read = read_ecg(content)
    np.testing.assert_allclose(read.signal_mv, eight.mv, atol=2.5e-3 / 2 + 1e-6)
    (note,) = (note for note in read.notes if "FirstSampleBaseline" in note)
    assert "were subtracted: 'I' 0, 'II' 20, 'V1' -23, 'V2' 2048" in note
    np.testing.assert_allclose(read_ecg(content, gain=400).signal_mv, eight.mv, atol=2.5e-3 / 2 + 1e-6)


def checksums(eight: Ecg) -> list[int]:
    """CRC-32 of the bytes that ``muse_bytes`` stores for a lead."""
    return [zlib.crc32(np.round(column / 4.88).astype("<i2").tobytes()) for column in eight.microvolts.T]


def test_muse_checksums_that_do_not_fit_name_their_leads(eight: Ecg, write: Make) -> None:
    crcs: list[object] = list(checksums(eight))
    crcs[1], crcs[4], crcs[7] = crcs[0], "none", ""
    read = read_ecg(per_lead(write("muse", eight), "LeadDataCRC32", crcs))
    (note,) = (note for note in read.notes if "checksum" in note)
    assert note == "The checksum in the file does not fit the samples of II, V3: the file may be damaged."
    changed = type(eight)(eight.microvolts.copy(), 500, names=eight.names)
    changed.microvolts[300:350, 3] += 100
    read = read_ecg(per_lead(write("muse", changed), "LeadDataCRC32", list(checksums(eight))))
    assert "The checksum in the file does not fit the samples of V2: the file may be damaged." in read.notes


def test_muse_offsets_of_all_leads_keep_them_beside_each_other(eight: Ecg, write: Make) -> None:
    read = read_ecg(per_lead(write("muse", eight), "LeadTimeOffset", [4] * 8))
    np.testing.assert_allclose(read.signal_mv, eight.mv, atol=4.88e-3 / 2 + 1e-6)
    assert "Every lead has a LeadTimeOffset of 4: they begin together, so nothing was shifted." in read.notes
    read = read_ecg(per_lead(write("muse", eight), "LeadOffsetFirstSample", [8] * 8))
    np.testing.assert_allclose(read.signal_mv, eight.mv[4:], atol=4.88e-3 / 2 + 1e-6)
    assert "Cut off, as LeadOffsetFirstSample says: the first 8 bytes of every lead." in read.notes


def test_muse_rate_with_an_exponent_and_plain_numbers(eight: Ecg, write: Make) -> None:
    content = write("muse", eight).replace(b"<SampleBase>500", b"<SampleBase>5").replace(b"Exponent>0", b"Exponent>2")
    assert read_ecg(content).fs_hz == 500
    leads = "".join(
        f"<LeadData><LeadID>{lead}</LeadID><LeadAmplitudeUnitsPerBit>1</LeadAmplitudeUnitsPerBit>"
        f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><WaveFormData>{','.join(map(str, column.astype(int)))}"
        "</WaveFormData></LeadData>"
        for lead, column in zip(INDEPENDENT_LEADS, eight.microvolts.T, strict=True)
    )
    read = read_ecg(f"<RestingECG><Waveform><SampleBase>500</SampleBase>{leads}</Waveform></RestingECG>".encode())
    np.testing.assert_allclose(read.signal_mv, eight.mv, atol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_xml_in_other_encodings(one: Ecg, write: Make, encoding: str) -> None:
    text = write("hl7", one).decode().replace("UTF-8", "ISO-8859-1" if encoding == "latin-1" else encoding[:6].upper())
    np.testing.assert_allclose(read_ecg(text.encode(encoding)).signal_mv, one.mv, atol=1e-6)
