"""One row of a request: every field read, or refused by name."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hostile_bodies import hostile_rows
from hypothesis import given, settings

from leadwise.contract import LEADS
from leadwise.ecg.record import Recording, RecordingError
from leadwise.serving.request import parse_row, request_fields

MARKER = 7.654321
SENT = {"signal": [[MARKER] * 12] * 1000, "fs_hz": 100}

Signal = list[list[float]]


def test_a_full_row_is_read(signal_mv: Signal) -> None:
    row = {
        "id": "a-1", "signal": signal_mv, "leads": list(LEADS), "fs_hz": 100, "units": "mV", "order": "time_lead",
        "age": 63, "sex": "Female", "height_cm": 170.5, "weight_kg": 80, "pacemaker": False,
    }  # fmt: skip
    request = parse_row(row)
    assert request.record_id == "a-1"
    assert request.patient == {"age": 63, "sex": 1, "height_cm": 170.5, "weight_kg": 80, "pacemaker": 0}
    assert request.recording is not None
    np.testing.assert_allclose(request.recording.record.signal_mv, signal_mv, rtol=1e-6)
    assert request.warnings == ()


def test_none_and_nan_mean_not_given(signal_mv: Signal) -> None:
    bare = parse_row({"signal": signal_mv, "fs_hz": 100})
    padded = parse_row(dict.fromkeys(request_fields()) | {"signal": signal_mv, "fs_hz": 100, "age": math.nan})
    assert bare.patient == padded.patient == {}
    assert bare.record_id is padded.record_id is None
    assert bare.warnings == padded.warnings == ("not given, so taken as unknown: age, sex, height_cm, weight_kg",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1.0, 1), ("male", 0), ("m", 0), (" F ", 1), ("FEMALE", 1), (np.int64(1), 1)],
)
def test_sex_as_number_or_word(value: object, expected: float) -> None:
    assert parse_row({"sex": value}).patient["sex"] == expected


IDS = ["x", "", 17, 17.0, 0, -1, 1.5, -0.0, 2**53 + 1, 2**64, 10**199, 1e300, "7", "0"]


@pytest.mark.parametrize("value", [*IDS, np.int64(7), np.float64(0.5), np.uint8(0)])
def test_an_id_comes_back_as_it_was_given(value: Any) -> None:
    found = parse_row({"id": value, "age": 50}).record_id
    assert found == value
    assert type(found) is type(value.item() if isinstance(value, np.generic) else value)


@pytest.mark.parametrize("value", [True, 10**200, -(10**200), math.inf, "x" * 201, [7], {"a": 7}, b"7"])
def test_what_cannot_name_a_row_is_refused(value: object) -> None:
    with pytest.raises(RecordingError, match=r"id: received .*; text of at most 200 characters, or a number"):
        parse_row({"id": value, "age": 50})


def test_eight_leads_in_microvolts_the_other_way_round(signal_mv: Signal) -> None:
    names = ["v6", "V5", "v4", "V3", "V2", "V1", "ii", "i"]
    eight = np.array(signal_mv)[:, [11, 10, 9, 8, 7, 6, 1, 0]].T * 1000
    request = parse_row({"signal": eight.tolist(), "leads": names, "fs_hz": 100, "units": "uV", "age": 40, "sex": 0})
    assert request.recording is not None
    read = request.recording.record.signal_mv
    np.testing.assert_allclose(read[:, [0, 1, *range(6, 12)]], np.array(signal_mv)[:, [0, 1, *range(6, 12)]], atol=1e-6)
    assert "leads computed from I and II: III, aVR, aVL, aVF" in request.warnings


def test_a_low_rate_is_pointed_out(signal_mv: Signal) -> None:
    request = parse_row({"signal": signal_mv, "fs_hz": 50, "age": 40, "sex": 0, "height_cm": 170, "weight_kg": 70})
    assert request.warnings == ("sampled at 50 Hz: everything above 25 Hz is lost",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": 121}, "age: received 121; 0 to 120 years is allowed"),
        ({"age": 10**400}, "age: received inf"),
        ({"age": "old"}, "age: received 'old'; a number is needed"),
        ({"age": True}, "age: received true; a number is needed"),
        ({"age": [MARKER] * 100}, "age: received a list; a number is needed"),
        ({"age": {"a": MARKER}}, "age: received an object"),
        ({"sex": 2}, "sex: received 2; allowed: 0 \\(male\\), 1 \\(female\\)"),
        ({"sex": "x" * 1000}, "sex: received text of 1000 characters"),
        ({"sex": True}, "sex: received true"),
        ({"pacemaker": "yes"}, "pacemaker: received 'yes'"),
        ({"hieght_cm": 170}, "hieght_cm: unknown field; allowed: id, signal"),
        ({"x" * 5000: 1}, "a long or odd name: unknown field"),
        ({}, "signal: not given, nor any of age"),
        ({"id": "only"}, "signal: not given, nor any of age"),
        ({"signal": [[MARKER] * 12] * 1000}, "fs_hz: not given"),
        (SENT | {"fs_hz": "fast"}, "fs_hz: received 'fast'; a number is needed"),
        ({"signal": [[MARKER] * 12] * 999 + [[MARKER]], "fs_hz": 100}, "signal: received lists of different lengths"),
        (
            {"signal": [[MARKER] * 11 + [None]] * 1000, "fs_hz": 100},
            "signal: 100% of the samples of lead V6",
        ),
        ({"signal": [[str(MARKER)] * 12] * 1000, "fs_hz": 100}, "signal: .* not a number"),
        ({"signal": [[True] * 12] * 1000, "fs_hz": 100}, "signal: .* not a number"),
        ({"signal": [[math.inf] * 12] * 1000, "fs_hz": 100}, "signal: sample 0 of lead I is not a finite"),
        ({"signal": [[10**400] * 12] * 1000, "fs_hz": 100}, "signal: received a number that is too large"),
        ({"signal": [[[MARKER]] * 12] * 1000, "fs_hz": 100}, "signal: received 3 dimensions or more"),
        ({"signal": [MARKER] * 1000, "fs_hz": 100}, "signal: received a list of something else than lists"),
        ({"signal": {"data": MARKER}, "fs_hz": 100}, "signal: received an object; nested lists"),
        ({"signal": str(MARKER) * 100, "fs_hz": 100}, "dtype: not given; it is needed with a signal in base64"),
        ({"signal": [], "fs_hz": 100}, "signal: received no samples"),
        (SENT, "signal: is a flat line"),
        (SENT | {"leads": "all"}, "leads: received 'all'; a list"),
        (SENT | {"leads": [1] * 12}, "leads: received a list; a list of"),
        (SENT | {"units": "mm"}, "units: received 'mm'; allowed: mV, uV"),
        (SENT | {"order": 3}, "order: received 3; allowed: time_lead"),
        ([1, 2], "row: received a list; fields by name are needed"),
        (SENT | {"noticed": ["checksum_mismatch"]}, "noticed: received a list; leads by flag are needed"),
        (SENT | {"noticed": {"flat": ["V2"]}}, "noticed: received another flag; allowed: "),
        (SENT | {"noticed": {"checksum_mismatch": ["<b>"]}}, "noticed: received '<b>'; allowed: I, II"),
        (SENT | {"noticed": {"checksum_mismatch": "V2"}}, "noticed: received 'V2'; a list of lead names"),
    ],
)
def test_a_wrong_field_is_named_and_never_repeated_at_length(row: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        parse_row(row)
    assert str(MARKER) not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_missing_samples_are_filled_along_a_line_and_counted(signal_mv: Signal) -> None:
    with_gap: list[list[float | None]] = [list(row) for row in signal_mv]
    for k in range(400, 420):
        with_gap[k][7] = None
    recording = parse_row({"signal": with_gap, "fs_hz": 100}).recording
    assert recording is not None
    assert recording.missing == {"V2": 20}
    ends = signal_mv[399][7], signal_mv[420][7]
    np.testing.assert_allclose(recording.record.signal_mv[399:421, 7], np.linspace(*ends, 22), atol=1e-6)
    whole = parse_row({"signal": signal_mv, "fs_hz": 100}).recording
    assert whole is not None
    np.testing.assert_array_equal(recording.record.signal_mv[:, 6], whole.record.signal_mv[:, 6])


def outcome(values: Mapping[Any, Any]) -> str:
    try:
        request = parse_row(values)
    except RecordingError as error:
        return str(error)
    return f"{request.record_id} {request.patient} {request.warnings}"


@settings(max_examples=60, deadline=None)
@given(row=hostile_rows().filter(lambda row: isinstance(row, dict)))
def test_a_row_that_went_through_a_table_reads_the_same(row: dict[str, Any]) -> None:
    known = {"age": 50} | {name: value for name, value in row.items() if name in request_fields()}
    (through_table,) = pd.DataFrame([known], dtype=object).to_dict(orient="records")
    assert outcome(known) == outcome(through_table)


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
    for values, more in ((ecg_mv, {}), (ecg_mv, {"order": "time_lead"}), (ecg_mv.T, {})):
        found = read(row | {"signal": encoded(values.astype("<f4")), "shape": list(values.shape), **more})
        np.testing.assert_allclose(found.record.signal_mv, expected, rtol=1e-6)


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
        ({"units_per_count": 1000}, "wrong_units", "signal: reaches .* mV, .*at most 50 mV"),
        ({"units_per_count": 0.001}, "wrong_units", "signal: spans .* were these millivolts"),
        ({"units": "mV"}, "wrong_units", "signal: reaches .* were these microvolts, say units uV"),
        ({"signal": "!" * 32000}, "bad_base64", "signal: received text of 32000 characters that is not base64"),
        ({"signal": "é" * 32000}, "bad_base64", "signal: received text of 32000 characters that is not base64"),
        ({"signal": b"1234"}, "wrong_shape", "signal: received 4 bytes; 1000 x 12 int16 numbers are 24000"),
        ({"dtype": "float32"}, "not_allowed", "units_per_count: is for int16; dtype is float32"),
    ],
)
def test_what_is_wrong_with_a_packed_signal_is_named(ecg_mv: np.ndarray, change: Row, code: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        parse_row(int16_row(ecg_mv) | change)
    assert caught.value.code == code
    assert len(str(caught.value)) < 250


def test_lists_have_no_dtype_and_the_shape_that_is_said(ecg_mv: np.ndarray) -> None:
    row = {"signal": ecg_mv.tolist(), "fs_hz": 100}
    assert read(row | {"shape": [1000, 12]}).missing == {}
    for change, code in (({"dtype": "int16"}, "not_allowed"), ({"shape": [12, 1000]}, "wrong_shape")):
        with pytest.raises(RecordingError) as caught:
            parse_row(row | change)
        assert caught.value.code == code
