"""MATLAB 5 files as CPSC2018 published them, written by scipy."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]


def mat(*, packed: bool = False, **ecg: object) -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"ECG": ecg}, do_compression=packed)
    return stream.getvalue()


@pytest.fixture(scope="module")
def one(ecg: Make) -> Any:
    return ecg(500)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_on_its_own_is_read_and_what_was_assumed_is_said(one: Any, packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "A0001.mat"
    file.write_bytes(mat(sex="Female", age=74, data=one.mv.T, packed=packed))
    for read in (read_ecg(file), read_ecg(file.read_bytes())):
        assert (read.fs_hz, read.leads, read.questions) == (500, LEADS, ())
        assert read.patient == {"age": 74, "sex": 1}
        (note,) = read.notes
        assert note == (
            "Assumed, as the file is laid out like those of CPSC2018 and does not say it: 500 Hz; mV; the leads "
            f"{', '.join(LEADS)} in this order."
        )
        np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


@pytest.mark.parametrize(
    ("table", "unit_mv"), [(np.float32, 1.0), (np.int16, 0.001), (np.int32, 0.001), (np.float64, 0.001)]
)
def test_numbers_of_any_kind_and_a_transposed_table(one: Any, table: type, unit_mv: float) -> None:
    numbers = (one.mv if unit_mv == 1 else one.microvolts).astype(table)
    units = "mV" if unit_mv == 1 else "uV"
    for data in (numbers, numbers.T):
        read = read_ecg(mat(sex="Male", age=np.nan, data=data), units=units)
        assert read.patient == {"sex": 0}
        np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


def announcing(content: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    """The file with other dimensions in its header."""
    return content.replace(struct.pack("<ii", *old), struct.pack("<ii", *new), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: announcing(c, (12, 5000), (8, 5000)), "ECG.data: is 8 x 5000 by its header, which is 320000 bytes"),
        (lambda c: announcing(c, (12, 5000), (12, 2**30)), "ECG.data: is 12 x 1073741824 by its header"),
        (lambda c: announcing(c, (12, 5000), (-12, -5000)), "ECG.data: is -12 x -5000 by its header"),
        (
            lambda c: announcing(c, (1, 1), (1, 2**30)),
            r"arrays: received 'ECG'; an array of samples and leads is needed",
        ),
        (lambda c: c[:3000], "MATLAB: is cut off in the element of type 14 at byte 128: .* 2864 follow"),
        (lambda c: c[:130], "MATLAB: is cut off in the element at byte 128"),
    ],
)
def test_a_broken_file_says_what_is_wrong_in_little_memory(
    one: Any, change: Callable[[bytes], bytes], message: str
) -> None:
    content = mat(sex="Male", age=60, data=one.mv.T)
    tracemalloc.start()
    with pytest.raises(ReaderError, match=message):
        read_ecg(change(content), name="A0001.mat")
    assert tracemalloc.get_traced_memory()[1] < 5 * len(content)
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": np.zeros((8, 5000))}, "ECG/data: received 8 x 5000; 12 leads x samples are needed"),
        ({"data": "text"}, "ECG/data: received no numbers; 12 leads x samples are needed"),
        ({"data": np.zeros((12, 5000), complex)}, "MATLAB: the matrix at byte .* is complex; real numbers are needed"),
        ({"data": np.zeros((12, 10, 10))}, "ECG/data: received 12 x 10 x 10"),
        ({"other": 1}, "arrays: none holds samples and leads: 'ECG/other' .1x1.; call one signal, signal_mv"),
    ],
)
def test_other_structs_are_refused_by_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_ecg(mat(**fields), name="A0001.mat")


def test_an_element_that_is_deflated_is_not_unpacked_beyond_all_measure() -> None:
    bomb = zlib.compress(bytes(65 * 2**20), 1)
    content = mat(data=np.zeros((12, 8)))[:128] + struct.pack("<II", 15, len(bomb)) + bomb
    with pytest.raises(ReaderError, match="size: unpacks to more than 64 MiB"):
        read_ecg(content)


def test_other_matlab_files_are_named(one: Any) -> None:
    stream = io.BytesIO()
    savemat(stream, {"note": "nothing else"})
    with pytest.raises(ReaderError, match="arrays: none holds samples and leads: none"):
        read_ecg(stream.getvalue(), name="rec.mat")
    with pytest.raises(ReaderError, match=r"rec.mat: format: is the signal file of a WFDB record without its header"):
        read_ecg(struct.pack("<iiiii", 0, 12, 5000, 0, 4) + b"val\0" + bytes(100), name="rec.mat")
