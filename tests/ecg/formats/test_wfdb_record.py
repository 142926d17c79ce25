"""WFDB records, written by wfdb or by hand after the format's own description, in every state of repair."""

import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]

Files = dict[str, bytes]


@pytest.fixture
def record(ecg: Make, write: Make, tmp_path: Path) -> Files:
    """A plain record of 100 Hz: ``rec.hea`` and ``rec.dat``."""
    return write("wfdb", ecg(), tmp_path / "made")


def changed(files: Files, old: str, new: str, count: int = -1) -> Files:
    """The record with another text in its header."""
    header = files["rec.hea"].decode()
    assert old in header
    return files | {"rec.hea": header.replace(old, new, count).encode()}


@pytest.mark.parametrize("fs_hz", [100, 1000])
@pytest.mark.parametrize(
    ("fmt", "unit"), [("16", "mV"), ("16", "uV"), ("24", "mV"), ("32", "uV"), ("80", "mV"), ("516", "mV")]
)
def test_a_record_is_read_in_every_format_that_wfdb_writes(
    ecg: Make, write: Make, tmp_path: Path, fmt: str, unit: str, fs_hz: int
) -> None:
    one = ecg(fs_hz, unit=unit)
    if fmt == "80":
        # Eight bits hold 127 steps.
        one = type(one)(np.clip(one.microvolts, -120, 120), fs_hz, unit=unit)
    read = read_ecg(write("wfdb", one, tmp_path, fmt=fmt))
    assert (read.format, read.notes, read.questions, read.leads, read.fs_hz) == ("WFDB", (), (), LEADS, fs_hz)
    assert read.gain_per_mv == pytest.approx((1000,) * 12)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=2e-6)


def packed_212(samples: np.ndarray) -> bytes:
    """Pairs of 12-bit numbers in three bytes."""
    first, second = (samples.reshape(-1, 2) & 0xFFF).T
    three = np.stack([first & 0xFF, (first >> 8) | ((second >> 8) << 4), second & 0xFF], axis=1)
    return three.astype(np.uint8).tobytes()


def packed_310(samples: np.ndarray) -> bytes:
    """Three 10-bit numbers in two words: the third is spread over the five highest bits of both."""
    first, second, third = (samples.reshape(-1, 3) & 0x3FF).T
    words = np.stack([(first << 1) | ((third & 0x1F) << 11), (second << 1) | ((third >> 5) << 11)], axis=1)
    return words.astype("<u2").tobytes()


def packed_311(samples: np.ndarray) -> bytes:
    """Three 10-bit numbers in 32 bits, the lowest first."""
    first, second, third = (samples.reshape(-1, 3) & 0x3FF).T
    return (first | (second << 10) | (third << 20)).astype("<u4").tobytes()


BY_HAND: dict[str, tuple[float, Callable[[np.ndarray], bytes]]] = {
    "212": (5, packed_212),
    "310": (20, packed_310),
    "311": (20, packed_311),
    "61": (1, lambda samples: samples.astype(">i2").tobytes()),
    "160": (1, lambda samples: (samples + 32768).astype("<u2").tobytes()),
}
"""Format -> microvolts of a step, and a writer after the description of the format in ``signal(5)``."""


@pytest.mark.parametrize("fmt", BY_HAND)
def test_a_record_in_a_format_that_wfdb_does_not_write(ecg: Make, fmt: str) -> None:
    step, packed = BY_HAND[fmt]
    stored = np.round(ecg(500).microvolts / step).astype(np.int64)
    fields = f"{1000 / step:g}(0)/mV 12 0"
    lines = [f"h.dat {fmt} {fields} {column[0]} 0 0 {lead}" for lead, column in zip(LEADS, stored.T, strict=True)]
    header = f"h 12 500 {len(stored)} 10:15:00 17/05/2020\n" + "\n".join(lines) + "\n# Age: 61 Sex: M\n"
    read = read_ecg({"h.hea": header.encode(), "h.dat": packed(stored)})
    np.testing.assert_allclose(read.signal_mv, stored * step / 1000, atol=2e-6)
    assert read.patient == {"age": 61, "sex": 0}
    assert "2020" not in repr(read)


def test_nothing_stays_on_the_disk(record: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    read_ecg(record)
    with pytest.raises(ReaderError):
        read_ecg(changed(record, "rec.dat 16", "rec.dat 516"))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_facts_that_cannot_be_are_left_out_with_a_note(ecg: Make, write: Make, tmp_path: Path) -> None:
    read = read_ecg(write("wfdb", ecg(), tmp_path, comments=["Age: 300", "Sex: 1", "Weight: 0", "Height: NaN"]))
    assert read.patient == {}
    assert read.notes == (
        "The file gives age as 300 years, which cannot be; it is taken as unknown.",
        "The file gives sex in a way that is not understood; it is taken as unknown.",
    )


def test_without_a_gain_it_is_asked_for(record: Files) -> None:
    files = changed(record, "1.0(0)/uV", "0")
    read = read_ecg(files)
    assert read.signal_mv is None
    (question,) = read.questions
    assert (question.field, question.suggestion) == ("gain", 200)
    with pytest.raises(ReaderError, match=r"rec.hea: gain: The header gives no gain"):
        read.recording()
    answered = read_ecg(files, gain=1000)
    np.testing.assert_array_equal(answered.signal_mv, read_ecg(record).signal_mv)
    assert answered.questions == ()


def test_missing_samples_at_both_ends_are_cut_off(ecg: Make, write: Make, tmp_path: Path) -> None:
    one = ecg()
    holes = one.microvolts.copy()
    holes[:100], holes[-50:] = np.nan, np.nan
    read = read_ecg(write("wfdb", type(one)(holes, 100), tmp_path))
    assert read.samples == 850
    np.testing.assert_allclose(read.signal_mv, one.mv[100:-50], atol=2e-6)
    assert read.notes == ("Cut off, as no lead has a value there: 100 samples at the beginning, 50 at the end.",)
    assert read.noticed == {"ends_cut": ()}


def test_missing_samples_within_are_noted_and_filled_where_they_are_few(ecg: Make, write: Make, tmp_path: Path) -> None:
    one = ecg()
    holes = one.microvolts.copy()
    holes[400:420, 7] = np.nan
    read = read_ecg(write("wfdb", type(one)(holes, 100), tmp_path))
    assert read.notes == ("Samples are missing within the recording, most in 'V2': 20.",)
    assert read.recording().missing == {"V2": 20}
    holes[300:420, 7] = np.nan
    with pytest.raises(ReaderError, match=r"rec.hea: signal: 12% of the samples of lead V2 are missing; 5% is allowed"):
        read_ecg(write("wfdb", type(one)(holes, 100), tmp_path)).recording()


def test_a_wrong_checksum_is_noted(record: Files) -> None:
    damaged = bytearray(record["rec.dat"])
    damaged[2 * 12 * 50] ^= 0x40
    read = read_ecg(record | {"rec.dat": bytes(damaged)})
    assert read.notes == ("The checksum in the header does not fit the samples of I: the file may be damaged.",)
    assert read.noticed == {"checksum_mismatch": ("I",)}


def test_a_lead_upside_down_is_turned_and_a_strange_one_left(record: Files) -> None:
    whole = read_ecg(record).recording().record.signal_mv
    read = read_ecg(changed(changed(record, " aVR", " -aVR"), " V6\n", " V6\n").copy())
    np.testing.assert_allclose(read.recording().record.signal_mv[:, 3], -whole[:, 3], atol=1e-6)
    assert "The file holds aVR upside down ('-aVR'); it was turned back." in read.notes
    with pytest.raises(ReaderError, match=r"rec.hea: leads: missing II; .* received 'MLII'"):
        read_ecg(changed(record, " II\n", " MLII\n"))


def test_several_samples_a_frame_give_their_own_rate(ecg: Make) -> None:
    one = ecg(500)
    frames = one.microvolts.astype("<i2").reshape(1000, 5, 12).transpose(0, 2, 1)
    lines = [f"f.dat 16x5 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    read = read_ecg({"f.hea": ("f 12 100 1000\n" + "\n".join(lines)).encode(), "f.dat": frames.tobytes()})
    assert read.fs_hz == 500
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=2e-6)


@pytest.mark.parametrize(
    ("old", "new", "folder"),
    [
        ("rec.dat", "rec.dat", ""),
        ("rec.dat", "rec", ""),
        ("rec 12", "data/rec 12", ""),
        ("rec 12", "a/b/rec 12", ""),
        ("rec.dat", "data/rec.dat", "data"),
        ("rec.dat", "data/more/rec.dat", "data/more"),
        ("rec.dat", "data/rec", "data"),
        ("rec.dat", "data/rec.dat", ""),
    ],
)
def test_a_signal_file_without_its_ending_or_in_a_folder_below(
    record: Files, tmp_path: Path, old: str, new: str, folder: str
) -> None:
    expected = read_ecg(record).signal_mv
    files = changed(record, old, new)
    np.testing.assert_array_equal(read_ecg(files).signal_mv, expected)
    (tmp_path / "set" / folder).mkdir(parents=True)
    (tmp_path / "set" / "rec.hea").write_bytes(files["rec.hea"])
    (tmp_path / "set" / folder / "rec.dat").write_bytes(files["rec.dat"])
    sources: list[Path | str] = [tmp_path / "set" / "rec.hea", tmp_path / "set" / "rec", str(tmp_path / "set" / "rec")]
    if old == new:
        sources.append(tmp_path / "set" / "rec.dat")
    for source in sources:
        read = read_ecg(source)
        assert read.notes == ()
        np.testing.assert_array_equal(read.signal_mv, expected)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("rec.hea", files["rec.hea"])
        archive.writestr(str(PurePosixPath(folder, "rec.dat")), files["rec.dat"])
        archive.writestr("notes.txt", "taken 1, 2, 3, 4, 5, 6, 7, 8, 9 days later")
    read = read_ecg(tmp_path / "a.zip")
    np.testing.assert_array_equal(read.signal_mv, expected)
    assert read.notes == ("Not read: notes.txt.",)


def test_a_numbered_record_of_a_folder_is_not_one_of_segments(record: Files) -> None:
    header = changed(record, "rec 12", "data/100 12")["rec.hea"]
    read = read_ecg({"100.hea": header, "rec.dat": record["rec.dat"]})
    np.testing.assert_array_equal(read.signal_mv, read_ecg(record).signal_mv)
    with pytest.raises(ReaderError, match="segments: 100 are announced"):
        read_ecg({"100.hea": header.replace(b"data/100", b"100/100"), "rec.dat": record["rec.dat"]})


def test_a_header_chooses_no_file_outside_of_its_folder(record: Files, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "rec.dat").write_bytes(record["rec.dat"])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data").symlink_to(tmp_path / "secret")
    for name in ("data/../../secret/rec.dat", "./rec.dat", "//secret/rec.dat", "data//rec.dat", "../secret/rec"):
        (tmp_path / "set" / "rec.hea").write_bytes(changed(record, "rec.dat", name)["rec.hea"])
        with pytest.raises(ReaderError, match=r"signal line 1: names .*; a file beside the header is needed"):
            read_ecg(tmp_path / "set" / "rec.hea")
    (tmp_path / "set" / "rec.hea").write_bytes(changed(record, "rec.dat", "data/rec.dat")["rec.hea"])
    with pytest.raises(ReaderError, match=r"signal file: names rec.dat, which is missing"):
        read_ecg(tmp_path / "set" / "rec.hea")


def test_signal_files_of_the_same_name_in_two_folders_are_refused(record: Files, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rec.dat").write_bytes(record["rec.dat"])
    header = changed(changed(record, "rec.dat", "a/rec.dat"), "a/rec.dat", "b/rec.dat", 6)["rec.hea"]
    (tmp_path / "rec.hea").write_bytes(header)
    with pytest.raises(ReaderError, match="signal file: names two files that differ in folder or ending only"):
        read_ecg(tmp_path / "rec.hea")


def test_a_compressed_signal_file_that_is_damaged_names_file_and_format(ecg: Make, write: Make, tmp_path: Path) -> None:
    files = write("wfdb", ecg(), tmp_path / "made", fmt="516")
    with pytest.raises(
        ReaderError, match=r"rec.hea: signal file: cannot be decoded \(.*\); .* rec_1.dat of format 516"
    ):
        read_ecg(files | {"rec_1.dat": bytes(len(files["rec_1.dat"]))})


def test_half_a_record_says_what_is_missing(record: Files, tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"rec.hea: signal file: names rec.dat, which is missing; give header and"):
        read_ecg({"rec.hea": record["rec.hea"]})
    with pytest.raises(ReaderError, match=r"rec.dat: format: is the signal file of a WFDB record without its header"):
        read_ecg({"rec.dat": record["rec.dat"]})
    (tmp_path / "made" / "rec.hea").unlink()
    with pytest.raises(ReaderError, match=r"rec.dat: format: is the signal file of a WFDB record without its header"):
        read_ecg(tmp_path / "made" / "rec.dat")


@pytest.mark.real
def test_real_recordings_are_read_as_wfdb_reads_them(ptbxl_tree: Path) -> None:
    import wfdb

    headers = sorted(ptbxl_tree.glob("records100/*/*.hea"))[::40]
    assert len(headers) > 5
    for header in headers:
        expected = wfdb.rdrecord(str(header.with_suffix("")))
        read = read_ecg(header)
        assert (read.notes, read.questions, read.units_found) == ((), (), "mV")
        assert read.fs_hz == expected.fs == 100
        assert list(read.leads_found) == expected.sig_name
        np.testing.assert_allclose(read.signal_mv, expected.p_signal, atol=2e-6)
        assert read.recording().record.signal_mv.shape == (1000, 12)
