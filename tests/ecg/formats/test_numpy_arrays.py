"""NPY and NPZ, written by NumPy; nothing in them is ever unpickled."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.leads import INDEPENDENT_LEADS

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


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"signal": np.array([[Planted()]], dtype=object)}, "holds Python objects, which are never unpickled"),
        ({"signal": np.ones((1000, 12)), "leads": np.array(LEADS, dtype=object)}, "holds Python objects"),
        (
            {"signal": np.ones((1000, 12)), "leads": np.array(LEADS[:9])},
            "array: received|leads: received 9 names for 12 leads",
        ),
        (
            {"signal": np.ones((1000, 12)), "leads": np.array(LEADS), "units": np.array(["mV", "uV"])},
            "units: received 2 units for 12",
        ),
        ({"signal": np.ones((1000, 12)), "fs_hz": np.array("fast")}, "fs_hz: needs one number"),
        ({"signal": np.ones((1000, 12)), "fs_hz": np.inf}, "fs_hz: needs one number"),
        (
            {"one": np.ones((1000, 12)), "two": np.ones((1000, 12))},
            "arrays: several could be the signal: .*; call one signal",
        ),
        ({"signal": np.ones((1000, 12), dtype=bool)}, "'signal' holds no numbers; floats or whole numbers are"),
        ({"signal": np.ones((1000, 12), dtype=complex)}, "'signal' holds no numbers"),
        ({"signal": np.ones((2, 3, 1000, 12))}, "received 4 dimensions .2x3x1000x12.; recordings, samples and leads"),
        ({"signal": np.ones((0, 12))}, r"none holds samples and leads: 'signal' .0x12."),
    ],
)
def test_an_archive_that_cannot_be_read_says_why(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_ecg(packed(**members), units="mV", fs_hz=100)
    assert not Planted.opened


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10**9, 12), "announces 12000000000 numbers; at most 19200000 are read"),
        ((2**63, 2**63), "announces"),
        ((1000, 13), "is cut off: 96000 bytes, 104000 are announced"),
        ((-1000, 12), "announces -12000 numbers"),
        ((1, 12_000), "received 1 leads of 12000|names"),
        ((12_000,), "received 1 dimensions"),
        ((), "received 0 dimensions"),
    ],
)
def test_a_header_that_lies_about_the_size_is_refused(shape: tuple[int, ...], message: str) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with pytest.raises(ReaderError, match=message):
        read_ecg(stream.getvalue() + bytes(96_000), **KNOWN)


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
    try:
        read = read_ecg(stream.getvalue(), fs_hz=100, units="mV", leads=leads, order=order)
        read.recording()
    except ReaderError:
        pass
