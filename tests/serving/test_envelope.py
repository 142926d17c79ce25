import io
import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.serving.envelope import EnvelopeError, rows_of_json, rows_of_parquet

ROWS = [{"id": "a", "age": 50, "leads": ["I", "II"]}, {"id": "b", "age": 60, "leads": ["II", "I"]}]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {"inputs": ROWS},
        {"instances": ROWS},
        {"inputs": COLUMNS},
        {"instances": COLUMNS},
        {"dataframe_split": {"columns": list(COLUMNS), "data": [list(row.values()) for row in ROWS]}},
        {"dataframe_split": {"columns": list(COLUMNS), "data": [list(row.values()) for row in ROWS], "index": [3, 4]}},
        {"dataframe_records": ROWS, "params": {}},
        {"dataframe_records": ROWS, "params": None},
    ],
)
def test_every_envelope_gives_the_same_rows(body: dict[str, Any]) -> None:
    assert rows_of_json(json.dumps(body)) == (ROWS, {})


def test_rows_that_state_different_facts_are_not_merged() -> None:
    rows = [{"age": 50}, {"weight_kg": 80}]
    assert rows_of_json(json.dumps({"instances": rows})) == (rows, {})


def test_an_object_with_plain_values_is_one_row() -> None:
    row = {"age": 50, "leads": ["I", "II"], "id": None}
    assert rows_of_json(json.dumps({"inputs": row})) == ([row], {})


@pytest.mark.parametrize("params", [{"all_findings": True}, {"all_findings": False}])
def test_the_one_parameter_is_read(params: dict[str, bool]) -> None:
    assert rows_of_json(json.dumps({"inputs": [{"age": 50}], "params": params})) == ([{"age": 50}], params)
    assert rows_of_json('{"inputs": [{"age": 50}], "params": {"all_findings": null}}') == ([{"age": 50}], {})


def test_a_parquet_table_gives_rows() -> None:
    stream = io.BytesIO()
    pd.DataFrame([{"id": "a", "age": 50, "signal": [[1.0, 2.0], [3.0, 4.0]]}, {"id": "b", "age": 60}]).to_parquet(
        stream
    )
    first, second = rows_of_parquet(stream.getvalue())
    assert (first["id"], first["age"], [list(row) for row in first["signal"]]) == ("a", 50, [[1, 2], [3, 4]])
    assert second["signal"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"inputs": [[7.654321,', "body: not JSON: .* at character"),
        (b"\xff\xfe\x00", "body: not JSON"),
        ("[" * 200_000, "body: not JSON"),
        ("[7.654321]", "body: an object is needed with one of dataframe_split"),
        ("{}", "body: exactly one of"),
        ('{"inputs": [{}], "instances": [{}]}', "body: exactly one of"),
        ('{"inputs": [{}], "extra": 7.654321}', "body: exactly one of"),
        ('{"messages": [7.654321]}', "body: exactly one of"),
        ('{"inputs": [{}], "params": {"a": 7.654321}}', "params: an object is needed; allowed: all_findings"),
        ('{"inputs": [{}], "params": [7.654321]}', "params: an object is needed"),
        ('{"inputs": [{}], "params": {"all_findings": 7.654321}}', "params: true or false is needed"),
        ('{"inputs": [{}], "params": {"all_findings": 1}}', "params: true or false is needed"),
        ('{"inputs": 7.654321}', "inputs: a list of objects"),
        ('{"inputs": []}', "inputs: received no rows"),
        ('{"dataframe_records": {"age": [7.654321]}}', "dataframe_records: a list of objects"),
        ('{"dataframe_records": [7.654321]}', "dataframe_records: a list of objects"),
        ('{"inputs": {"age": [50, 60], "id": "a"}}', "inputs: either one row, or lists of the same length"),
        ('{"inputs": {"age": [50, 60], "id": ["a"]}}', "inputs: either one row, or lists of the same length"),
        ('{"dataframe_split": [7.654321]}', "dataframe_split: an object with columns and data"),
        ('{"dataframe_split": {"columns": ["age"]}}', "dataframe_split: an object with columns and data"),
        ('{"dataframe_split": {"columns": [1], "data": [[7.654321]]}}', "columns: a list of field names"),
        ('{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 7.654321]]}}', "columns: a field is named twice"),
        ('{"dataframe_split": {"columns": ["age"], "data": [[1], [1, 7.654321]]}}', "row 1 is not a list of 1 values"),
        ('{"dataframe_split": {"columns": ["age"], "data": 7.654321}}', "data: a list of rows"),
    ],
)
def test_a_body_that_is_no_envelope_is_refused_without_repeating_it(body: str | bytes, message: str) -> None:
    with pytest.raises(EnvelopeError, match=message) as caught:
        rows_of_json(body)
    assert "7.654321" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_is_no_parquet_table_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="body: not a Parquet table"):
        rows_of_parquet(b"PAR1 7.654321 PAR1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
names = st.sampled_from(["dataframe_split", "dataframe_records", "inputs", "instances", "params", "other"])


@settings(max_examples=300, deadline=None)
@given(body=st.dictionaries(names, json_values, max_size=3).map(json.dumps) | st.text(max_size=200) | st.binary())
def test_any_body_gives_rows_or_an_envelope_error(body: str | bytes) -> None:
    try:
        (rows, parameters), message = rows_of_json(body), ""
    except EnvelopeError as error:
        rows, parameters, message = [], {}, str(error)
    assert bool(rows) != bool(message)
    assert all(isinstance(row, dict) for row in rows)
    assert all(isinstance(value, bool) for value in parameters.values())
    assert len(message) < 300
