"""What is made of a file: hints, questions, notes; what is refused with which sentence; zips, unpacked in memory."""

import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS, LeadwiseError
from leadwise.ecg.formats import ReaderError, formats_read, read_ecg
from leadwise.ecg.formats.read import unpack

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def content(ecg: Make, write: Make) -> bytes:
    """A CSV that says everything itself: 500 Hz, microvolts."""
    return write("csv", ecg(500))


def test_hints_count_more_than_the_file_and_say_so(content: bytes, ecg: Make) -> None:
    one = ecg(500)
    read = read_ecg(content, fs_hz=250, units="nV", leads=LEADS[::-1])
    assert (read.fs_hz, read.seconds, read.leads) == (250, 20, LEADS[::-1])
    np.testing.assert_allclose(read.signal_mv, one.mv / 1000, atol=1e-9)
    assert read.notes == (
        "The leads are named as given, not as in the file.",
        "The file says 500 Hz; 250 Hz was taken, as given.",
        "The file states 'uV'; nV was taken, as given.",
        "The leads span only 0.0013 mV, less than in any usual ECG: check the units.",
    )
    gained = read_ecg(content, gain=500)
    np.testing.assert_allclose(gained.signal_mv, one.mv * 2, atol=1e-6)
    assert gained.notes == ("The file states 'uV'; 500 units per mV was taken, as given.",)


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"units": "furlong"}, "units: received 'furlong'; allowed: V, mV, uV, nV"),
        ({"gain": 0}, "gain: received 0; a number of units per mV above 0 is needed"),
        ({"gain": float("nan")}, "gain: received nan"),
        ({"gain": 200, "units": "mV"}, "gain: received units as well"),
        ({"fs_hz": 5}, "fs_hz: received 5; 50 to 2000 Hz is allowed"),
        ({"fs_hz": float("nan")}, "fs_hz: received nan; 50 to 2000 Hz is allowed"),
        ({"leads": ["I", "II"]}, "leads: received 2 names; the file holds 12 signals in this order"),
        ({"leads": ["I"] * 12}, "leads: missing II, V1"),
        ({"leads": ["x"] * 12}, "leads: missing I, II, V1"),
    ],
)
def test_a_hint_that_cannot_be_is_refused(content: bytes, hints: dict[str, Any], message: str) -> None:
    with pytest.raises(ReaderError) as caught:
        read_ecg(content, name="a.csv", **hints)
    assert isinstance(caught.value, LeadwiseError)
    assert str(caught.value).startswith("a.csv: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(("units", "fits"), [("mV", False), ("uV", True), ("V", False), ("nV", False)])
def test_wrong_units_are_caught_when_it_becomes_a_recording(content: bytes, units: str, fits: bool) -> None:
    read = read_ecg(content, name="a.csv", units=units)
    if fits:
        read.recording()
        return
    assert any("check the units" in note for note in read.notes)
    with pytest.raises(ReaderError, match=r"a.csv: signal: (reaches|spans)"):
        read.recording()


@pytest.mark.parametrize("median_span_mv", [0.61, 1.3, 2.9])
@pytest.mark.parametrize(
    ("steps_per_mv", "unit"),
    [(0.001, "V"), (1, "mV"), (1000, "uV"), (1e6, "nV"), (10, None), (100, None), (1e4, None), (1e-4, None)],
)
def test_a_unit_is_suggested_only_where_the_numbers_fit_what_the_question_says(
    ecg: Make, write: Make, steps_per_mv: float, unit: str | None, median_span_mv: float
) -> None:
    mv = ecg().mv
    mv = mv * median_span_mv / np.median(np.ptp(mv, axis=0))
    read = read_ecg(write("npy", mv * steps_per_mv), fs_hz=100, leads=LEADS)
    (question,) = read.questions
    assert (question.field, question.suggestion) == ("units", unit)
    assert "those of an ECG 0.6 to 3 mV" in question.text
    said = re.search(
        r"None of V, mV, uV, nV makes that of them, but a gain .* between (\S+) and (\S+) does", question.text
    )
    assert (said is None) == (unit is not None)
    if said is not None:
        assert float(said[1]) < steps_per_mv * 1.001 < float(said[2]) * 1.002


@pytest.mark.parametrize(("seconds", "fits"), [(4.9, False), (5, True), (600, True), (601, False)])
def test_five_seconds_to_ten_minutes_are_a_recording(write: Make, seconds: float, fits: bool) -> None:
    array = np.random.default_rng(1).normal(size=(round(100 * seconds), 12)).astype(np.float32)
    read = read_ecg(write("npy", array), fs_hz=100, units="mV", leads=LEADS)
    assert read.seconds == seconds
    if fits:
        assert read.recording().record.signal_mv.shape == array.shape
    else:
        with pytest.raises(ReaderError, match="5 s to 600 s is allowed"):
            read.recording()


def test_numbers_beyond_all_measure_are_refused_as_a_recording(write: Make) -> None:
    for value in (np.inf, -np.inf, 1e300):
        array = np.random.default_rng(1).normal(size=(1000, 12))
        array[500, 3] = value
        read = read_ecg(write("npy", array), fs_hz=100, units="mV", leads=LEADS)
        with pytest.raises(ReaderError, match="sample 500 of lead aVR is not a finite number"):
            read.recording()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (bytes(range(256)), "is not recognised"),
        (b"%PDF-1.7 ...", "is a PDF: a drawing of an ECG"),
        (b"\x89PNG\r\n", "is a picture of an ECG"),
        (b"\xff\xd8\xff\xe0", "is a picture of an ECG"),
        (bytes(16) + b"SCPECG" + bytes(100), "is SCP-ECG, of which the beginning is broken"),
        (b"MATLAB 5.0 MAT-file, made", "is a MATLAB file that is cut off or broken"),
        (b"MATLAB 7.3 MAT-file, made", "is a MATLAB 7.3 file that is cut off or broken"),
        (b"ANN  1.0", "is a file of ISHNE annotations without samples"),
        (b"\x1f\x8b\x08", "is compressed with gzip"),
        (b"\x80\x04\x95", "is a Python pickle, which is never opened"),
        (b"\xffBIOSEMI", "is BDF; convert it to EDF"),
        (b'{"signal": [[1, 2]]}', "is JSON"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_with_what_is(content: bytes, message: str) -> None:
    with pytest.raises(ReaderError, match=message) as caught:
        read_ecg(content, name="folder/some.ecg")
    assert str(caught.value).startswith("some.ecg: format: ")
    assert formats_read() in str(caught.value)


def test_sizes_and_numbers_of_files_are_limited(tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as stream:
        stream.truncate(2**26 + 1)
    for source in (large, bytes(2**26 + 1), {"a": bytes(2**25), "b": bytes(2**25 + 1)}):
        with pytest.raises(ReaderError, match=r"size: received 64\.0 MiB; 64 MiB at most are read"):
            read_ecg(source)
    with pytest.raises(ReaderError, match="files: received 65; 1 to 64 are allowed"):
        read_ecg({str(number): b"" for number in range(65)})
    with pytest.raises(ReaderError, match="files: received 0; 1 to 64 are allowed"):
        read_ecg({})


def test_files_of_folders_go_by_their_bare_names(content: bytes) -> None:
    assert read_ecg({"C:\\data\\a.csv": content}).file == "a.csv"
    with pytest.raises(ReaderError, match="files: received two files of this name"):
        read_ecg({"one/a.csv": content, "two/a.csv": content})


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, r"file: (is no regular file|cannot be read: Is a directory)"),
        (tmp_path / "pipe", "pipe: file: is no regular file"),
        (tmp_path / "none.csv", "none.csv: file: cannot be read: No such file or directory"),
    ):
        with pytest.raises(ReaderError, match=message):
            read_ecg(path)


def test_a_message_shows_no_folder_and_no_endless_name() -> None:
    with pytest.raises(ReaderError) as caught:
        read_ecg(b"", name="/home/mona\n/" + "x" * 200 + "\r\x1b[31m.csv")
    assert len(caught.value.args[0].split(": ")[0]) <= 60
    assert "mona" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


TABLE = b"I,II,V1,V2,V3,V4,V5,V6\n" + b"1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1\n" * 300


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_lose_their_folders_and_litter_is_left(compression: int) -> None:
    members = {"a/b/one.csv": TABLE, "__MACOSX/a/b/._one.csv": b"x", "a/.DS_Store": b"x", "two.txt": b"", "empty/": b""}
    assert unpack("a.zip", packed(members, compression)) == {"one.csv": TABLE, "two.txt": b""}


def encrypted(content: bytes) -> bytes:
    """The archive with the flag of encryption set on its first member."""
    at = content.index(b"PK\x01\x02")
    return content[:6] + b"\1" + content[7 : at + 8] + b"\1" + content[at + 9 :]


def of_false_size(content: bytes, size: int) -> bytes:
    """The archive claiming another size of its first member, unpacked."""
    at = content.index(b"PK\x01\x02")
    return content[:22] + struct.pack("<I", size) + content[26 : at + 24] + struct.pack("<I", size) + content[at + 28 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: packed({"a.csv": bytes(2**26 + 1)}), "zip: unpacks to more than 64 MiB"),
        (lambda: packed({f"{n}.csv": bytes(2**24) for n in range(5)}), "zip: unpacks to more than 64 MiB"),
        (lambda: of_false_size(packed({"a.csv": bytes(2**26 + 1)}), 10), "zip: is broken or cut off"),
        (lambda: packed({f"{n}.csv": b"" for n in range(65)}), "zip: holds more than 64 files"),
        (lambda: packed({"../../etc/cron.d/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"..\\x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"/tmp/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"C:/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"a/x.csv": TABLE, "b/x.csv": TABLE}), "zip: holds x.csv more than once"),
        (lambda: encrypted(packed({"x.csv": TABLE})), "zip: is encrypted; unpack it"),
        (lambda: packed({"inner.zip": packed({"x.csv": TABLE})}), "inner.zip: format: is not recognised"),
        (lambda: packed({"__MACOSX/x": b""}), "zip: holds no file"),
        (lambda: packed({}), "zip: holds no file"),
        (lambda: packed({"x.csv": TABLE})[:-30], "zip: is broken or cut off"),
        (lambda: packed({"x.csv": TABLE}).replace(TABLE[:8], b"y"), "x.csv|zip"),
        (
            lambda: packed({"[Content_Types].xml": b"<x/>", "xl/a.xml": b"<x/>"}),
            "is an Office file; save the table as CSV",
        ),
        (lambda: packed({"a.csv": TABLE, "b.csv": TABLE}), r"files: hold 2 recordings \(a.csv, b.csv\); one at a time"),
    ],
)
def test_an_archive_that_means_harm_or_is_broken_is_refused(content: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_ecg(content(), name="a.zip").recording()


def test_other_files_beside_a_recording_are_named(ecg: Make, write: Make) -> None:
    one = ecg()
    read = read_ecg(packed({"ecg.edf": write("edf", one), "report.pdf": b"%PDF-1.4", "readme.txt": b"1, 2, 3 and 4"}))
    assert read.notes == ("Not read: report.pdf, readme.txt.",)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-5)
