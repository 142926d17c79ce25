"""What every registered format has to do, and a format that is registered from outside."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.formats.base import Channel, RawRecording, ReadOptions
from leadwise.ecg.formats.registry import FORMATS, Format, format_of, formats

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
    "MATLAB 5": "mat",
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
RESOLUTION_MV = {"muse": 4.88e-3 / 2, "edf": 1e-5}


@pytest.fixture
def files_of(ecg: Make, write: Make, tmp_path: Path) -> Callable[[str], tuple[Any, dict[str, bytes]]]:
    """A recording of 500 Hz, and the files that hold it in a format, the first file first."""

    def made(name: str) -> tuple[Any, dict[str, bytes]]:
        kind, one = KINDS[name], ecg(500)
        ending = next(found for found in formats() if found.name == name).endings[0]
        match kind:
            case "wfdb":
                files = write("wfdb", one, tmp_path / "made", comments=["Age: 58", "Sex: F"])
                return one, dict(sorted(files.items(), reverse=True))
            case "csv":
                content = b"# Age: 58\n# Sex: F\n" + write("csv", one)
            case "npz":
                content = write("npz", one, age=58, sex="female")
            case "npy":
                content = write("npy", one.mv)
            case "mat":
                stream = io.BytesIO()
                savemat(stream, {"ECG": {"sex": "Female", "age": 58, "data": one.mv.T}})
                content = stream.getvalue()
            case "segments":
                return one, write("segments", one, tmp_path / "segments")
            case _:
                content = write(kind, one)
        return one, {f"some{ending}": content}

    return made


@pytest.mark.parametrize("name", KINDS)
def test_a_format_is_detected_by_content_alone_and_by_no_other(files_of: Make, name: str) -> None:
    _, files = files_of(name)
    content = next(iter(files.values()))
    found = format_of(content, "unnamed")
    assert found is not None
    assert found.name == name
    surer = [one.name for one in formats() if one.sureness <= found.sureness and one.sniff(content, "unnamed")]
    assert surer == [name]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_recording_gives_the_same_samples_and_facts(files_of: Make, name: str) -> None:
    one, files = files_of(name)
    hints = {"fs_hz": 500, "units": "mV", "leads": LEADS} if name == "NPY" else {}
    read = read_ecg(files, **hints)
    assert (read.leads, read.fs_hz, read.questions, read.file) == (LEADS, 500, (), next(iter(files)))
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=RESOLUTION_MV.get(KINDS[name], 0) + 2e-6)
    facts = {key: value for key, value in read.patient.items() if key in ("age", "sex")}
    assert facts == ({} if name in ("NPY", "Parquet") else {"age": 58, "sex": 1})


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kept", [0.02, 0.3])
def test_a_file_that_is_cut_off_is_refused_with_the_field_named(files_of: Make, name: str, kept: float) -> None:
    _, files = files_of(name)
    last = list(files)[-1]
    files[last] = files[last][: int(kept * len(files[last]))]
    with pytest.raises(ReaderError) as refused:
        # What is left of a text is a shorter recording, too short for an ECG.
        read_ecg(files, **({"fs_hz": 500, "units": "mV", "leads": LEADS} if name == "NPY" else {})).recording()
    assert refused.value.field != "reader"
    assert refused.value.problem
    assert refused.value.file


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


def test_a_format_registered_from_outside_is_read_searched_for_and_taken_by_the_page(
    ecg: Make, tmp_path: Path, waves: Format
) -> None:
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
