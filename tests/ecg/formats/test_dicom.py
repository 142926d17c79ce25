"""DICOM ECG objects, written by pydicom, and the one that comes with it."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
@pytest.mark.parametrize("scheme", ["MDC", "SCPECG"])
def test_transfer_syntaxes_lead_codes_and_missing_preambles(ecg: Make, write: Make, syntax: str, scheme: str) -> None:
    one = ecg(500)
    content = write("dicom", one, syntax=syntax, scheme=scheme)
    read = read_ecg(content)
    assert (read.format, read.fs_hz, read.leads, read.samples) == ("DICOM 12-lead ECG", 500, LEADS, 5000)
    assert read.notes == ("Waveforms that are derived, such as medians, were left out: 1.",)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)
    # Without the preamble, and without DICM as well.
    for start in (128, 132):
        for name in ("", "a.dcm", "ecg"):
            np.testing.assert_array_equal(read_ecg(content[start:], name=name).signal_mv, read.signal_mv)


def test_pydicoms_own_example_is_read_as_pydicom_reads_it() -> None:
    import pydicom
    from pydicom.data import get_testdata_file

    path = get_testdata_file("waveform_ecg.dcm", download=False)
    expected = pydicom.dcmread(path).waveform_array(0) / 1000
    read = read_ecg(path)
    assert (read.fs_hz, read.leads, read.questions) == (1000, LEADS, ())
    assert read.patient == {"age": 42, "sex": 1}
    assert read.gain_per_mv == pytest.approx((800,) * 12)
    np.testing.assert_allclose(read.recording().record.signal_mv, expected, atol=1e-5)


def test_sensitivity_correction_and_baseline(ecg: Make, write: Make) -> None:
    one = ecg(500)

    def correct(dataset: Any) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            channel.ChannelSensitivityCorrectionFactor = 2

    content = write("dicom", one, sensitivity=2.5, baseline=100.0)
    np.testing.assert_allclose(read_ecg(content).signal_mv, one.mv, atol=1.25e-3 + 1e-6)
    twice = read_ecg(write("dicom", one, sensitivity=2.5, baseline=0.0, change=correct))
    np.testing.assert_allclose(twice.signal_mv, 2 * one.mv, atol=2.5e-3 + 1e-6)


def test_leads_spread_over_groups_of_the_same_time(ecg: Make, write: Make) -> None:
    one = ecg(500)
    groups = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    read = read_ecg(write("dicom", one, groups=groups))
    assert "The leads were put together from 4 multiplex groups of the same time." in read.notes
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)

    def one_after_another(dataset: Any) -> None:
        for number, group in enumerate(dataset.WaveformSequence):
            group.MultiplexGroupTimeOffset = 2500 * number

    with pytest.raises(ReaderError, match="WaveformSequence: the leads are not all recorded at the same time"):
        read_ecg(write("dicom", one, groups=groups, change=one_after_another))


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.9.1.2", "general ECG"),
        ("1.2.840.10008.5.1.4.1.1.9.1.3", "ambulatory ECG"),
        ("1.2.840.10008.5.1.4.1.1.9.2.1", "hemodynamic waveform"),
        ("1.2.840.10008.5.1.4.1.1.9.3.1", "electrophysiology waveform"),
    ],
)
def test_an_ecg_beside_a_pressure_in_other_classes(ecg: Make, write: Make, uid: str, name: str) -> None:
    one = ecg(500)
    pressure = type(one)(np.column_stack([one.microvolts, np.full(5000, 7)]), 500, names=[*LEADS, "Aortic pressure"])

    def other_class(dataset: Any) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        last = dataset.WaveformSequence[0].ChannelDefinitionSequence[12]
        last.ChannelSensitivity, last.ChannelSensitivityUnitsSequence[0].CodeValue = 0, "mm[Hg]"

    read = read_ecg(write("dicom", pressure, scheme="NAME", change=other_class))
    assert (read.format, read.questions) == (f"DICOM {name}", ())
    assert "Not used, as they are no standard leads: 'Lead Aortic pressure'." in read.notes
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


@pytest.mark.parametrize(
    ("syntax", "taken"), [(IMPLICIT, "implicit VR, little endian"), (EXPLICIT, "explicit VR, little endian")]
)
@pytest.mark.parametrize("preamble", [b"", bytes(128) + b"DICM"])
def test_without_file_meta_information_the_encoding_is_assumed_and_said(
    ecg: Make, write: Make, syntax: str, taken: str, preamble: bytes
) -> None:
    one = ecg(500)
    content = write("dicom", one, syntax=syntax)
    (length,) = struct.unpack_from("<I", content, 140)
    read = read_ecg(preamble + content[144 + length :])
    assert f"The file names no transfer syntax: {taken} was taken, as its first element is written." in read.notes
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


@pytest.mark.parametrize("keyword", ["ChannelSensitivityCorrectionFactor", "ChannelSensitivity"])
def test_a_factor_of_0_is_refused_by_its_name_unless_the_gain_is_given(ecg: Make, write: Make, keyword: str) -> None:
    one = ecg(500)

    def put(dataset: Any) -> None:
        setattr(dataset.WaveformSequence[0].ChannelDefinitionSequence[1], keyword, 0)

    content = write("dicom", one, change=put)
    with pytest.raises(ReaderError, match=f"{keyword}: lead '2:2': received 0; a number other than 0 is needed"):
        read_ecg(content)
    np.testing.assert_allclose(read_ecg(content, gain=1000).signal_mv, one.mv, atol=1e-6)


def test_without_a_sensitivity_the_units_are_asked_for(ecg: Make, write: Make) -> None:
    one = ecg(500)

    def strip(dataset: Any) -> None:
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            del channel.ChannelSensitivity, channel.ChannelSensitivityUnitsSequence

    content = write("dicom", one, change=strip)
    (question,) = read_ecg(content).questions
    assert (question.field, question.suggestion) == ("units", "uV")
    np.testing.assert_allclose(read_ecg(content, units="uV").signal_mv, one.mv, atol=1e-6)


def test_padding_is_missing(ecg: Make, write: Make) -> None:
    one = ecg(500)
    padded = one.microvolts.copy()
    padded[4000:] = -32768

    def pad(dataset: Any) -> None:
        dataset.WaveformSequence[0].WaveformPaddingValue = struct.pack("<h", -32768)
        dataset.WaveformSequence[0]["WaveformPaddingValue"].VR = "OW"

    read = read_ecg(write("dicom", type(one)(padded, 500), change=pad))
    assert read.samples == 4000
    np.testing.assert_allclose(read.signal_mv, one.mv[:4000], atol=1e-6)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"PatientAge": "000Y"}, {"age": 58, "sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientAge": "000Y", "PatientBirthDate": ""}, {"sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientAge": "000"}, {"age": 58, "sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientAge": "000D"}, {"age": 0, "sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientAge": "old"}, {"age": 58, "sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientAge": "018M"}, {"age": 1.5, "sex": 1, "height_cm": 165, "weight_kg": 68}),
        ({"PatientSex": "O", "PatientSize": 0, "PatientWeight": None}, {"age": 58}),
        ({"PatientBirthDate": "", "StudyDate": "", "PatientSize": 165}, {"sex": 1, "weight_kg": 68}),
        (
            {"PatientSex": "M", "AcquisitionDateTime": "20200516235900"},
            {"age": 57, "sex": 0, "height_cm": 165, "weight_kg": 68},
        ),
    ],
)
def test_facts(ecg: Make, write: Make, facts: dict[str, Any], expected: dict[str, float]) -> None:
    def put(dataset: Any) -> None:
        for name, value in facts.items():
            setattr(dataset, name, value)

    assert read_ecg(write("dicom", ecg(), change=put)).patient == pytest.approx(expected)


def test_an_invalid_value_of_a_patient_is_not_repeated_in_a_warning(
    ecg: Make, write: Make, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    content = write("dicom", ecg()).replace(b"19620517", b"SECRET-1").replace(b"20200601", b"SECRET-2")
    recwarn.clear()
    read = read_ecg(content)
    assert "SECRET" not in repr(read) + caplog.text + "".join(str(warning.message) for warning in recwarn)
