"""A recording in base64 is read as the same recording in lists is, or refused."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.ecg.record import Recording
from leadwise.serving.request import PayloadError, parse_row

Row = dict[str, Any]


def encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def int16_row(ecg_mv: np.ndarray, **more: object) -> Row:
    counts = np.round(ecg_mv * 1000).astype("<i2")
    row = {"signal": encoded(counts), "dtype": "int16", "shape": [1000, 12], "units_per_count": 1, "units": "uV"}
    return row | {"fs_hz": 100} | more


def read(row: Row) -> Recording:
    recording = parse_row(row).recording
    assert recording is not None
    return recording


@pytest.fixture
def expected(ecg_mv: np.ndarray) -> np.ndarray:
    return read({"signal": ecg_mv.tolist(), "fs_hz": 100}).record.signal_mv


def test_int16_with_what_a_count_is(ecg_mv: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(read(int16_row(ecg_mv)).record.signal_mv, expected, atol=1e-6)
    coarse = np.round(ecg_mv * 200).astype("<i2")
    for units, one in (("uV", 5), ("mV", 0.005)):
        row = int16_row(ecg_mv, signal=encoded(coarse), units=units, units_per_count=one)
        np.testing.assert_allclose(read(row).record.signal_mv, expected, atol=0.0026)


def test_float32_in_either_order(ecg_mv: np.ndarray, expected: np.ndarray) -> None:
    row = {"dtype": "float32", "fs_hz": 100}
    for values in (ecg_mv, ecg_mv.T):
        found = read(row | {"signal": encoded(values.astype("<f4")), "shape": list(values.shape)})
        np.testing.assert_allclose(found.record.signal_mv, expected, rtol=1e-6)
    square = np.tile(ecg_mv, (1, 1)).astype("<f4")
    named = row | {"signal": encoded(square), "shape": [1000, 12], "order": "time_lead"}
    np.testing.assert_allclose(read(named).record.signal_mv, expected, rtol=1e-6)


def test_bytes_are_taken_as_they_are(ecg_mv: np.ndarray) -> None:
    row = int16_row(ecg_mv)
    bare = row | {"signal": base64.b64decode(row["signal"])}
    np.testing.assert_array_equal(read(bare).record.signal_mv, read(row).record.signal_mv)


def test_the_lowest_count_and_nan_are_missing_samples(ecg_mv: np.ndarray) -> None:
    counts = np.round(ecg_mv * 1000).astype("<i2")
    counts[500:510, 2] = -32768
    assert read(int16_row(ecg_mv, signal=encoded(counts))).missing == {"III": 10}
    floats = ecg_mv.astype("<f4")
    floats[0, 11] = np.nan
    assert read({"signal": encoded(floats), "dtype": "float32", "shape": [1000, 12], "fs_hz": 100}).missing == {"V6": 1}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"dtype": None}, "missing_field", "dtype: not given"),
        ({"dtype": "float64"}, "not_allowed", "dtype: received 'float64'; allowed: int16, float32"),
        ({"shape": None}, "missing_field", "shape: not given"),
        ({"shape": [1000]}, "wrong_type", "shape: received a list; two whole numbers"),
        ({"shape": "1000x12"}, "wrong_type", "shape: received '1000x12'"),
        ({"shape": [1000.5, 12]}, "not_allowed", "shape: received 1000.5 x 12; whole numbers"),
        ({"shape": [-1000, -12]}, "not_allowed", "shape: received -1000 x -12"),
        ({"shape": [10**9, 10**9]}, "not_allowed", r"shape: received 1e\+09 x 1e\+09"),
        ({"shape": [float("nan"), 12]}, "not_allowed", "shape: received nan x 12"),
        ({"shape": [1001, 12]}, "bad_base64", "signal: received text of 32000 characters; 1001 x 12 int16 numbers are"),
        ({"shape": [1500, 8]}, "wrong_shape", "signal: received 1500 x 8 numbers; 12 leads are named"),
        ({"units_per_count": None}, "missing_field", "units_per_count: not given; with int16"),
        ({"units_per_count": 0}, "not_allowed", "units_per_count: received 0"),
        ({"units_per_count": "2"}, "wrong_type", "units_per_count: received '2'"),
        ({"units_per_count": 1000}, "wrong_units", "signal: reaches .* mV, and its leads span .*; at most 50 mV"),
        ({"units_per_count": 0.001}, "wrong_units", "signal: spans .* were these millivolts"),
        ({"units": "mV"}, "wrong_units", "signal: reaches .* were these microvolts, say units uV"),
        ({"signal": "!" * 32000}, "bad_base64", "signal: received text of 32000 characters that is not base64"),
        ({"signal": "é" * 32000}, "bad_base64", "signal: received text of 32000 characters that is not base64"),
        ({"signal": b"1234"}, "wrong_shape", "signal: received 4 bytes; 1000 x 12 int16 numbers are 24000"),
        ({"dtype": "float32"}, "not_allowed", "units_per_count: is for int16; dtype is float32"),
    ],
)
def test_what_is_wrong_is_named(ecg_mv: np.ndarray, change: Row, code: str, message: str) -> None:
    with pytest.raises(PayloadError, match=message) as caught:
        parse_row(int16_row(ecg_mv) | change)
    assert caught.value.code == code
    assert len(str(caught.value)) < 250


def test_lists_have_no_dtype_and_the_shape_that_is_said(ecg_mv: np.ndarray) -> None:
    row = {"signal": ecg_mv.tolist(), "fs_hz": 100}
    assert read(row | {"shape": [1000, 12]}).missing == {}
    for change, code in (({"dtype": "int16"}, "not_allowed"), ({"shape": [12, 1000]}, "wrong_shape")):
        with pytest.raises(PayloadError) as caught:
            parse_row(row | change)
        assert caught.value.code == code


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(max_size=60) | st.text(max_size=60),
    dtype=st.sampled_from(["int16", "float32"]),
    shape=st.lists(st.integers(-3, 40) | st.floats() | st.none(), max_size=3),
)
def test_any_bytes_are_refused_in_few_words(data: bytes | str, dtype: str, shape: list[object]) -> None:
    row = {"signal": data, "dtype": dtype, "shape": shape, "units_per_count": 1, "fs_hz": 100, "leads": list(LEADS)}
    with pytest.raises(PayloadError) as caught:
        parse_row(row)
    assert len(str(caught.value)) < 250
