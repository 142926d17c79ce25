"""What every registered format has to do: the same ECG, written in each, is read back; and one from outside."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.formats.base import FORMATS, Channel, Format, RawRecording, ReadOptions, format_of, formats
from leadwise.ecg.record import INDEPENDENT_LEADS

Make = Callable[..., Any]

KINDS = {
    "WFDB": "wfdb",
    "CSV and TSV": "csv",
    "NPY": "npy",
    "NPZ": "npz",
    "EDF and EDF+": "edf",
    "DICOM waveform": "dicom",
    "HL7 aECG XML": "hl7",
    "GE MUSE XML": "muse",
    "Parquet": "parquet",
    "MATLAB 5": "mat5",
    "SCP-ECG": "scp",
    "Philips Sierra XML": "philips",
    "HDF5": "hdf5",
    "MATLAB 7.3": "mat73",
    "WFDB of several segments": "segments",
    "ISHNE": "ishne",
    "MFER": "mfer",
    "Mortara XML": "mortara",
    "GE CardioSoft XML": "cardiosoft",
}
"""Name of a format -> how the tests call what writes it; a new format needs a line here."""
ANY_NAME = ("edf", "hl7", "muse", "dicom", "csv", "npz", "parquet")
"""Those that spell the names of leads as they are told."""
RESOLUTION_MV = {"muse": 4.88e-3 / 2, "edf": 1e-5}
"""Half a unit of MUSE; EDF holds its physical range in eight characters, which edfio rounds."""
EXACT_MV = 3e-6
"""float32 of some millivolts."""
BOTH = {"age": 58, "sex": 1}
FACTS: dict[str, dict[str, float]] = {
    "edf": BOTH,
    "hl7": BOTH,
    "muse": BOTH | {"height_cm": 165.1, "weight_kg": 68.04},
    "dicom": BOTH | {"height_cm": 165, "weight_kg": 68},
    "scp": BOTH | {"height_cm": 165},
    "philips": BOTH | {"height_cm": 165, "weight_kg": 68},
    "mortara": BOTH | {"height_cm": 165, "weight_kg": 68},
    "cardiosoft": BOTH | {"height_cm": 165, "weight_kg": 68},
    "ishne": BOTH,
    "mfer": BOTH,
}
SPELLINGS = {
    "upper case": str.upper,
    "with a word": lambda name: f"Lead {name}",
    "with ECG before it": lambda name: f"ECG {name}",
    "as MDC code": lambda name: f"MDC_ECG_LEAD_{name.upper()}",
}
SHUFFLED = ("V6", "aVF", "II", "V1", "III", "V3", "aVR", "I", "V5", "aVL", "V2", "V4")


@pytest.fixture
def files_of(write: Make, tmp_path: Path) -> Make:
    """``files_of(kind, ecg, ...)``: the files that hold it, the first file first."""

    def made(kind: str, one: Any, **more: Any) -> dict[str, bytes]:
        folder = {"wfdb": [tmp_path / "wfdb"], "segments": [tmp_path / "segments"]}.get(kind, [])
        written = write(kind, one.mv if kind == "npy" else one, *folder, **more)
        if not isinstance(written, bytes):
            return dict(sorted(written.items(), reverse=kind == "wfdb"))
        (name,) = (name for name, called in KINDS.items() if called == kind)
        return {f"some{next(one for one in formats() if one.name == name).endings[0]}": written}

    return made


def hints_for(kind: str, one: Any) -> dict[str, Any]:
    """What a bare array does not say."""
    return {"fs_hz": one.fs_hz, "units": "mV", "leads": one.names} if kind == "npy" else {}


@pytest.mark.parametrize("name", KINDS)
def test_a_format_is_detected_by_content_alone_and_by_no_other(ecg: Make, files_of: Make, name: str) -> None:
    content = next(iter(files_of(KINDS[name], ecg(500)).values()))
    found = format_of(content, "unnamed")
    assert found is not None
    surer = [one.name for one in formats() if one.sureness <= found.sureness and one.sniff(content, "unnamed")]
    assert surer == [found.name] == [name]


@pytest.mark.parametrize(
    ("fs_hz", "unit", "leads"),
    [(100, "mV", LEADS), (250, "uV", LEADS), (500, "mV", INDEPENDENT_LEADS), (1000, "uV", INDEPENDENT_LEADS)],
)
@pytest.mark.parametrize("kind", KINDS.values())
def test_a_recording_is_read_back_at_every_rate_and_unit_and_of_eight_leads(
    ecg: Make, files_of: Make, kind: str, fs_hz: int, unit: str, leads: Sequence[str]
) -> None:
    one = ecg(fs_hz, unit=unit, leads=leads)
    files = files_of(kind, one, **({"sensitivity": 0.001 if unit == "mV" else 1.0} if kind == "dicom" else {}))
    read = read_ecg(files, **hints_for(kind, one))
    assert (read.questions, read.leads, read.fs_hz, read.file) == ((), tuple(leads), fs_hz, next(iter(files)))
    assert (read.samples, read.seconds) == (10 * fs_hz, 10)
    recording = read.recording()
    signal, tolerance_mv = recording.record.signal_mv, RESOLUTION_MV.get(kind, 0) + EXACT_MV
    np.testing.assert_allclose(signal[:, [LEADS.index(lead) for lead in leads]], one.mv, atol=tolerance_mv)
    np.testing.assert_allclose(signal[:, 0] + signal[:, 2] - signal[:, 1], 0, atol=1.1e-3 + 3 * tolerance_mv)
    assert recording.computed_leads == tuple(lead for lead in LEADS if lead not in leads)
    computed = "Not in the file, so computed from leads I and II: III, aVR, aVL, aVF."
    assert (computed in read.notes) == (len(leads) == 8)


@pytest.mark.parametrize("kind", FACTS)
def test_facts_of_the_patient_are_found_and_nothing_that_tells_who(ecg: Make, write: Make, kind: str) -> None:
    content = write(kind, ecg(500))
    assert b"Secret" in content
    read = read_ecg(content)
    assert read.patient == pytest.approx(FACTS[kind])
    for private in ("Secret", "Mona", "ID-77", "1962", "2020"):
        assert private not in repr(read)
    assert read.recording().record.patient == read.patient
    assert read.recording({"age": 40.0}).record.patient == {"age": 40.0}


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("kept", [0.02, 0.3])
def test_a_file_that_is_cut_off_is_refused_with_the_field_named(
    ecg: Make, files_of: Make, kind: str, kept: float
) -> None:
    files = files_of(kind, ecg(500))
    last = list(files)[-1]
    files[last] = files[last][: int(kept * len(files[last]))]
    with pytest.raises(ReaderError) as refused:
        # What is left of a text is a shorter recording, too short for an ECG.
        read_ecg(files, **hints_for(kind, ecg(500))).recording()
    assert refused.value.field != "reader"
    assert refused.value.problem
    assert refused.value.file


@pytest.mark.parametrize("kind", ANY_NAME)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_leads_in_any_order_and_spelling(ecg: Make, write: Make, kind: str, spelling: str) -> None:
    names = [SPELLINGS[spelling](lead) for lead in SHUFFLED]
    one = ecg(leads=SHUFFLED, names=names)
    read = read_ecg(write(kind, one, **({"scheme": "NAME"} if kind == "dicom" else {})))
    assert read.leads == SHUFFLED
    if kind not in ("csv", "parquet"):  # whose names hold the unit as well
        assert list(read.leads_found) == names or (kind == "dicom" and spelling != "upper case")
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=RESOLUTION_MV.get(kind, 0) + EXACT_MV)


@pytest.mark.parametrize("kind", ANY_NAME)
def test_a_path_a_name_and_a_zip_give_the_same(ecg: Make, write: Make, kind: str, tmp_path: Path) -> None:
    content = write(kind, ecg())
    file = tmp_path / f"some.{kind}"
    file.write_bytes(content)
    reads = [read_ecg(file), read_ecg(str(file)), read_ecg(content, name=file.name)]
    if kind != "npz":
        reads.append(read_ecg(write("zip", {f"folder/{file.name}": content})))
    for read in reads:
        assert read.file == file.name
        np.testing.assert_array_equal(read.signal_mv, reads[0].signal_mv)


def test_ten_at_once_do_not_mix(ecg: Make, write: Make) -> None:
    files = []
    for number, kind in enumerate(ANY_NAME * 6):
        one = ecg(seconds=5)
        files.append((write(kind, type(one)(one.microvolts + 5 * number, 100)), one.mv + 0.005 * number))
    with ThreadPoolExecutor(10) as people:
        reads = list(people.map(lambda file: read_ecg(file[0]), files))
    for read, (_, expected) in zip(reads, files, strict=True):
        np.testing.assert_allclose(read.signal_mv, expected, atol=RESOLUTION_MV["muse"] + EXACT_MV)


def read_waves(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """A format of this test: a mark, the sampling rate, then int16 microvolts of twelve leads."""
    content = files[file]
    samples = np.frombuffer(content[10:], "<i2").reshape(-1, 12)
    rate = int(content[5:10])
    channels = (Channel(lead, column.astype(float), rate, "uV") for lead, column in zip(LEADS, samples.T, strict=True))
    return RawRecording("Waves", tuple(channels))


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> Format:
    """The format, registered for one test."""
    one = Format("Waves", (".waves",), lambda content, name: content.startswith(b"WAVES"), read_waves)
    monkeypatch.setitem(FORMATS, one.name, one)
    return one


def test_a_format_registered_from_outside_is_read_and_searched_for(ecg: Make, tmp_path: Path, waves: Format) -> None:
    from leadwise.serving.batch_source import entries

    one = ecg(500)
    content = b"WAVES00500" + one.microvolts.astype("<i2").tobytes()
    (tmp_path / "some.waves").write_bytes(content)
    for read in (read_ecg(tmp_path / "some.waves"), read_ecg(content)):
        assert (read.format, read.fs_hz) == ("Waves", 500)
        np.testing.assert_allclose(read.signal_mv, one.mv, atol=2e-6)
    assert [entry["file"] for entry in entries(tmp_path)] == [str(tmp_path / "some.waves")]
    with pytest.raises(ReaderError, match=r"Waves \(\.waves\)"):
        read_ecg(b"nothing")


def test_the_page_takes_what_is_registered(ecg: Make, waves: Format) -> None:
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        from leadwise.app.inputs import uploaded_case

        uploaded_case()

    content = b"WAVES00500" + ecg(500).microvolts.astype("<i2").tobytes()
    visit = AppTest.from_function(page, default_timeout=120).run()
    assert "Waves (.waves)" in visit.file_uploader(key="upload").help
    visit.file_uploader(key="upload").set_value(("some.waves", content, "application/octet-stream")).run()
    assert not visit.exception
    assert any("Waves" in shown.body for shown in visit.get("html"))
