import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.serving.request import PayloadError, parse_row, request_fields

MARKER = 7.654321

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


@pytest.mark.parametrize("value", [True, False, 10**200, -(10**200), math.inf, "x" * 201, [7], {"a": 7}, b"7"])
def test_what_cannot_name_a_row_is_refused(value: object) -> None:
    with pytest.raises(PayloadError, match=r"id: received .*; text of at most 200 characters, or a number, is needed"):
        parse_row({"id": value, "age": 50})


def test_eight_leads_in_microvolts_the_other_way_round(signal_mv: Signal) -> None:
    names = ["v6", "V5", "v4", "V3", "V2", "V1", "ii", "i"]
    eight = np.array(signal_mv)[:, [11, 10, 9, 8, 7, 6, 1, 0]].T * 1000
    request = parse_row({"signal": eight.tolist(), "leads": names, "fs_hz": 100, "units": "uV", "age": 40, "sex": 0})
    assert request.recording is not None
    read = request.recording.record.signal_mv
    np.testing.assert_allclose(read[:, [0, 1, *range(6, 12)]], np.array(signal_mv)[:, [0, 1, *range(6, 12)]], atol=1e-6)
    assert "leads computed from I and II: III, aVR, aVL, aVF" in request.warnings


def test_rows_of_whole_numbers_and_arrays_of_arrays_are_read(signal_mv: Signal) -> None:
    units = np.round(np.array(signal_mv) * 1000).astype(int)
    of_lists = parse_row({"signal": units.tolist(), "fs_hz": 100, "units": "uV"}).recording
    of_arrays = np.empty(1000, dtype=object)
    of_arrays[:] = list(units)
    assert of_lists is not None
    again = parse_row({"signal": of_arrays, "fs_hz": 100, "units": "uV"}).recording
    assert again is not None
    np.testing.assert_array_equal(again.record.signal_mv, of_lists.record.signal_mv)


def test_a_low_rate_is_pointed_out(signal_mv: Signal) -> None:
    request = parse_row({"signal": signal_mv, "fs_hz": 50, "age": 40, "sex": 0, "height_cm": 170, "weight_kg": 70})
    assert request.warnings == ("sampled at 50 Hz: everything above 25 Hz is lost",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": 121}, "row 4: age: received 121; 0 to 120 years is allowed"),
        ({"age": -1}, "age: received -1"),
        ({"age": 10**400}, "age: received inf"),
        ({"age": "old"}, "age: received 'old'; a number is needed"),
        ({"age": True}, "age: received true; a number is needed"),
        ({"age": [MARKER] * 100}, "age: received a list; a number is needed"),
        ({"age": {"a": MARKER}}, "age: received an object"),
        ({"height_cm": 1.78}, "height_cm: received 1.78; 40 to 250 cm is allowed"),
        ({"weight_kg": 1000}, "weight_kg: received 1000"),
        ({"sex": 2}, "sex: received 2; allowed: 0 \\(male\\), 1 \\(female\\)"),
        ({"sex": "x" * 1000}, "sex: received text of 1000 characters"),
        ({"sex": True}, "sex: received true"),
        ({"pacemaker": "yes"}, "pacemaker: received 'yes'"),
        ({"id": ["a"], "age": 3}, "id: received a list"),
        ({"id": "x" * 201, "age": 3}, "id: received text of 201 characters"),
        ({"hieght_cm": 170}, "hieght_cm: unknown field; allowed: id, signal"),
        ({"infarction_stadium1": "Stadium I"}, "infarction_stadium1: unknown field"),
        ({"x" * 5000: 1}, "a long or odd name: unknown field"),
        ({}, "signal: not given, nor any of age"),
        ({"id": "only"}, "signal: not given, nor any of age"),
        ({"signal": [[MARKER] * 12] * 1000}, "fs_hz: not given"),
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": "fast"}, "fs_hz: received 'fast'; a number is needed"),
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
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": 100}, "signal: is a flat line"),
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": 100, "leads": "all"}, "leads: received 'all'; a list"),
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": 100, "leads": [1] * 12}, "leads: received a list; a list of"),
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": 100, "units": "mm"}, "units: received 'mm'; allowed: mV, uV"),
        ({"signal": [[MARKER] * 12] * 1000, "fs_hz": 100, "order": 3}, "order: received 3; allowed: time_lead"),
        ([1, 2], "row: received a list; fields by name are needed"),
    ],
)
def test_a_wrong_field_is_named_and_never_repeated_at_length(row: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message) as caught:
        parse_row(row, 4)
    assert caught.value.row == 4
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)
matrices = st.tuples(st.integers(0, 40), st.integers(0, 13), st.floats(width=32)).map(
    lambda shape: [[shape[2]] * shape[1]] * shape[0] * 20
)
rows = st.dictionaries(
    st.sampled_from(request_fields()) | st.text(max_size=8),
    json_values | matrices | st.sampled_from([100, 500, 0, 1, "mV", "uV", "male", list(LEADS), "lead_time"]),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(row=rows, number=st.integers(0, 3))
def test_any_row_is_read_or_refused_in_few_words(row: dict[str, Any], number: int) -> None:
    try:
        request, refusal = parse_row(row, number), None
    except PayloadError as error:
        request, refusal = None, error
    if refusal:
        assert refusal.row == number
        assert len(str(refusal)) < 300
    else:
        assert request is not None
        assert request.recording is not None or request.patient


@settings(max_examples=60, deadline=None)
@given(row=rows)
def test_a_row_that_went_through_a_table_reads_the_same(row: dict[str, Any]) -> None:
    known = {name: value for name, value in row.items() if name in request_fields()}
    (through_table,) = pd.DataFrame([{"age": 50, **known}], dtype=object).to_dict(orient="records")

    def outcome(values: dict[Any, Any]) -> str:
        try:
            request = parse_row(values)
        except PayloadError as error:
            return str(error)
        return f"{request.record_id} {request.patient} {request.warnings}"

    assert outcome({"age": 50, **known}) == outcome(through_table)
