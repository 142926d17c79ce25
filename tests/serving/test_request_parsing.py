import json
import math
from typing import Any

import pytest

from leadwise.serving.request_parsing import MOST_LISTS, MOST_RECORDS, MOST_VALUES, RequestError, rows_of_json

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
    rows, params = rows_of_json(json.dumps(body).encode())
    assert rows == ROWS
    assert not params


def test_an_object_with_plain_values_is_one_row() -> None:
    row = {"age": 50, "leads": ["I", "II"], "id": None}
    assert rows_of_json(json.dumps({"inputs": row}).encode()) == ([row], None)


def test_nan_as_python_writes_it_is_taken() -> None:
    ((row,), params) = rows_of_json(b'{"inputs": [{"age": NaN, "id": "a"}], "params": {"policy": "youden"}}')
    assert math.isnan(row.pop("age"))
    assert (row, params) == ({"id": "a"}, {"policy": "youden"})


def test_a_signal_in_base64_is_one_row_or_a_column() -> None:
    row = {"signal": "AAAA", "dtype": "int16", "shape": [1, 2], "leads": ["I", "II"]}
    assert rows_of_json(json.dumps({"inputs": row}).encode())[0] == [row]
    columns = {name: [value, value] for name, value in row.items()}
    assert rows_of_json(json.dumps({"inputs": columns}).encode())[0] == [row, row]


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
        (
            '{"dataframe_split": {"columns": ["age"], "data": [[1], [1, 7.654321]]}}',
            "row 1 is not a list of 1 values",
        ),
        ('{"dataframe_split": {"columns": ["age"], "data": 7.654321}}', "data: a list of rows is needed"),
    ],
)
def test_a_body_that_is_no_envelope_is_refused_without_repeating_it(body: str | bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        rows_of_json(body if isinstance(body, bytes) else body.encode())
    assert "7.654321" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"inputs": [' + b"{}," * MOST_RECORDS + b"{}]}", "too_many_records"),
        (b'{"inputs": [' + b"0," * (MOST_VALUES + 1) + b"0]}", "too_many_values"),
        (b"[" * (MOST_LISTS + 1), "too_many_values"),
    ],
)
def test_more_than_is_allowed_is_a_413(body: bytes, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        rows_of_json(body)
    assert (caught.value.code, caught.value.status) == (code, 413)
