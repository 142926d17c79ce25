"""Arrays: NPY and NPZ by NumPy, of which nothing is unpickled; MATLAB 5 as CPSC2018 published it, by scipy."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.record import INDEPENDENT_LEADS

Make = Callable[..., Any]

KNOWN: dict[str, Any] = {"fs_hz": 100, "units": "uV", "leads": LEADS}


class Planted:
    """Unpickling an instance would leave a trace."""

    opened = False

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (Planted, "opened", True))


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4", "<f4", ">f4", "<f8", "<i8"])
@pytest.mark.parametrize(
    "shape", [lambda a: a, lambda a: a.T, lambda a: a[None], lambda a: a.T[None, :, :, None], np.asfortranarray]
)
def test_numbers_of_any_type_and_either_order(ecg: Make, write: Make, dtype: str, shape: Make) -> None:
    one = ecg()
    read = read_ecg(write("npy", shape(one.microvolts.astype(dtype))), **KNOWN)
    assert (read.format, read.leads, read.samples) == ("NPY", LEADS, 1000)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-5)


def test_a_bare_array_asks_for_rate_leads_and_units(ecg: Make, write: Make) -> None:
    eight = ecg(500, leads=INDEPENDENT_LEADS)
    read = read_ecg(write("npy", eight.microvolts.astype("<i2")))
    suggested = {one.field: one.suggestion for one in read.questions}
    assert suggested == {"fs_hz": 500, "leads": INDEPENDENT_LEADS, "units": "uV"}
    answered = read_ecg(write("npy", eight.microvolts.astype("<i2")), **suggested)
    np.testing.assert_allclose(answered.signal_mv, eight.mv, atol=1e-6)
    seven = read_ecg(write("npy", np.ones((700, 7))))
    assert {one.field: one.suggestion for one in seven.questions}["leads"] is None


def test_an_archive_tells_everything_itself(ecg: Make, write: Make) -> None:
    one = ecg(500, unit="mV")
    content = write(
        "npz", one, age=61, sex="female", height_cm=172.0, weight_kg=np.nan, pacemaker=False, patient_name="Secret"
    )
    read = read_ecg(content)
    assert (read.format, read.fs_hz, read.questions) == ("NPZ", 500, ())
    assert read.patient == {"age": 61, "sex": 1, "height_cm": 172, "pacemaker": 0}
    assert "Secret" not in repr(read)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)


def test_an_archive_with_one_array_a_lead(ecg: Make) -> None:
    one = ecg(250)
    stream = io.BytesIO()
    np.savez(
        stream, sampling_rate=np.array([250.0]), unit=np.array("uV"), **dict(zip(LEADS, one.microvolts.T, strict=True))
    )
    read = read_ecg(stream.getvalue())
    np.testing.assert_allclose(read.recording().record.signal_mv, one.mv, atol=1e-6)


def test_of_several_recordings_in_an_array_one_is_named(ecg: Make, write: Make) -> None:
    one = ecg(500)
    three = np.stack([one.mv, one.mv + 0.1, one.mv + 0.2])
    content = packed(ecg=three, fs_hz=500, units="mV", leads=np.array(LEADS), age=np.array([61, 62, 63]))
    assert [question.field for question in read_ecg(content).questions] == ["record"]
    read = read_ecg(content, record=2)
    assert (read.questions, read.patient) == ((), {"age": 63})
    np.testing.assert_allclose(read.signal_mv, one.mv + 0.2, atol=1e-6)
    unnamed = [question.field for question in read_ecg(write("npy", three)).questions]
    assert unnamed == ["record", "fs_hz", "leads", "units"]
    read = read_ecg(write("npy", three), record=1, fs_hz=500, units="mV", leads=LEADS)
    np.testing.assert_allclose(read.signal_mv, one.mv + 0.1, atol=1e-6)


def test_units_and_a_gain_together_are_asked_about(ecg: Make) -> None:
    """Exports of WFDB hold millivolts and, beside them, the gain by which they were divided already."""
    one = ecg(500)
    content = packed(p_signal=one.mv, fs=500, units="mV", gain=1000, sig_name=np.array(LEADS))
    asked = read_ecg(content)
    assert [question.field for question in asked.questions] == ["units"]
    assert "states mV and a gain of 1000" in asked.questions[0].text
    np.testing.assert_allclose(read_ecg(content, units="mV").signal_mv, one.mv, atol=1e-6)
    np.testing.assert_allclose(read_ecg(content, gain=1000).signal_mv, one.mv / 1000, atol=1e-6)
    counted = packed(signal=one.mv * 200, fs=500, units="adu", gain=200, leads=np.array(LEADS))
    np.testing.assert_allclose(read_ecg(counted).signal_mv, one.mv, atol=1e-6)


def packed(**members: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **members)
    return stream.getvalue()


def test_nothing_is_unpickled() -> None:
    with pytest.raises(ReaderError, match="holds Python objects, which are never unpickled"):
        read_ecg(packed(signal=np.array([[Planted()]], dtype=object)), units="mV", fs_hz=100)
    assert not Planted.opened


@settings(max_examples=60, deadline=None)
@given(
    array=arrays(
        dtype=st.sampled_from(["<i2", "<f4", "<f8", "u1", "?", "<c8", "S3", "<U2", "<M8[s]"]),
        shape=st.lists(st.integers(0, 40), max_size=4).map(tuple),
    ),
    leads=st.none() | st.just(LEADS),
    order=st.none() | st.sampled_from(["time_lead", "lead_time", "other"]),
)
def test_any_array_is_read_or_refused(array: np.ndarray, leads: tuple[str, ...] | None, order: str | None) -> None:
    stream = io.BytesIO()
    np.save(stream, array)
    refused = ""
    try:
        read_ecg(stream.getvalue(), fs_hz=100, units="mV", leads=leads, order=order).recording()
    except ReaderError as error:
        refused = error.field
    assert refused != "reader"


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


def test_other_matlab_files_are_named(one: Any) -> None:
    stream = io.BytesIO()
    savemat(stream, {"note": "nothing else"})
    with pytest.raises(ReaderError, match="arrays: none holds samples and leads: none"):
        read_ecg(stream.getvalue(), name="rec.mat")
    with pytest.raises(ReaderError, match=r"rec.mat: format: is the signal file of a WFDB record without its header"):
        read_ecg(struct.pack("<iiiii", 0, 12, 5000, 0, 4) + b"val\0" + bytes(100), name="rec.mat")
