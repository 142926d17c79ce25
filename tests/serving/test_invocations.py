"""The body of a request: rows and parameters out of every envelope, and an answer or an error for each."""

import json
import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from leadwise.serving.api import respond
from leadwise.serving.request_parsing import MOST_LISTS, MOST_RECORDS, MOST_VALUES, RequestError, rows_of_json
from leadwise.serving.scorer import Scorer

Signal = list[list[float]]
JSON = "application/json"
MARKER = 7.654321


def body(**row: object) -> bytes:
    return json.dumps({"inputs": [row]}).encode()


def test_a_wrong_row_alone_is_a_400_with_code_and_field(scorer: Scorer) -> None:
    status, content = respond(scorer, body(id="a", signal=[[MARKER] * 12] * 1000, fs_hz=100, age=300), JSON)
    message = "row 0: age: received 300; 0 to 120 years is allowed"
    error = {"code": "not_allowed", "field": "age", "message": message, "row": 0}
    assert status == 400
    assert content == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": message,
        "error": error,
        "predictions": [{"id": "a", "error": error}],
    }


def test_a_bad_record_spoils_only_itself(scorer: Scorer, signal_mv: Signal) -> None:
    good = {"id": "good", "signal": signal_mv, "fs_hz": 100, "age": 50}
    bad = [
        {"id": "flat", "signal": [[MARKER] * 12] * 1000, "fs_hz": 100},
        {"id": "old", "age": 300},
        {"id": ["x"], "age": 50},
        {"id": "noise", "signal": np.random.default_rng(1).normal(size=(1000, 12)).tolist(), "fs_hz": 100},
    ]
    status, content = respond(scorer, json.dumps({"inputs": [*bad[:2], good, *bad[2:]]}).encode(), JSON)
    assert status == 200
    answers = content["predictions"]
    assert answers[2] == respond(scorer, json.dumps({"inputs": [good]}).encode(), JSON)[1]["predictions"][0]
    wrong = [answer for answer in answers if "error" in answer]
    assert [(answer["id"], answer["error"]["code"], answer["error"]["row"]) for answer in wrong] == [
        ("flat", "flat_line", 0),
        ("old", "not_allowed", 1),
        (None, "not_allowed", 3),
        ("noise", "not_an_ecg", 4),
    ]
    assert str(MARKER) not in json.dumps(wrong)


@pytest.mark.parametrize(
    ("params", "code", "field"),
    [
        ({"a": MARKER}, "unknown_parameter", "params"),
        ([MARKER], "unknown_parameter", "params"),
        ({"policy": "best"}, "not_allowed", "params.policy"),
        ({"policy": ["best_f1"]}, "not_allowed", "params.policy"),
        ({"explain": "HEART"}, "not_allowed", "params.explain"),
        ({"explain": ["MI", MARKER]}, "wrong_type", "params.explain"),
        ({"explain": 1}, "wrong_type", "params.explain"),
        ({"all_findings": MARKER}, "wrong_type", "params.all_findings"),
        ({"all_findings": 1}, "wrong_type", "params.all_findings"),
    ],
)
def test_a_wrong_parameter_is_a_400(scorer: Scorer, params: object, code: str, field: str) -> None:
    status, content = respond(scorer, json.dumps({"inputs": [{"age": 50}], "params": params}).encode(), JSON)
    assert status == 400
    assert (content["error"]["code"], content["error"]["field"]) == (code, field)
    assert str(MARKER) not in json.dumps(content)


def test_too_many_explanations_are_a_413(scorer: Scorer) -> None:
    request = {"inputs": [{"age": 50}] * 9, "params": {"explain": True}}
    status, content = respond(scorer, json.dumps(request).encode(), JSON)
    assert (status, content["error"]["code"]) == (413, "too_many_records")


class Broken(Scorer):
    def answers(self, rows: object, asked: object) -> Iterator[dict[str, object]]:
        raise ValueError(f"cannot score {rows}")


def test_a_defect_is_a_500_that_tells_neither_caller_nor_log_what_was_sent(
    caplog: pytest.LogCaptureFixture, scorer: Scorer
) -> None:
    with caplog.at_level(logging.ERROR):
        status, content = respond(Broken(scorer.fusion, scorer.metadata, False), body(age=MARKER), JSON)
    assert status == 500
    assert str(MARKER) not in json.dumps(content)
    assert "ValueError while answering" in caplog.text
    assert str(MARKER) not in caplog.text


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


BODY = '{"inputs": [{"age": 50, "id": 7}]}'
REFUSED: dict[tuple[int, str], list[tuple[bytes, str]]] = {
    (400, "not_json"): [
        (BODY.encode(name), JSON) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig")
    ],
    (415, "content_type"): [
        (BODY.encode(), f"application/json; charset={charset}")
        for charset in ("utf-16", "iso-8859-1", "utf-32le", '"utf-8", application/json')
    ],
    (400, "repeated_key"): [
        (body, JSON)
        for body in (
            b'{"inputs": [{"age": 50, "\\u0061ge": 51, "id": "12:30"}]}',
            b'{"inputs": [{"age": 50}], "inputs": [{"age": 51}]}',
            b'{"inputs": [{"age": 50}], "params": {"policy": "youden", "policy": "best_f1"}}',
            b'{"inputs": {"age": [50], "age": [51]}}',
            b'{"dataframe_split": {"columns": ["age"], "data": [[50]], "data": [[51]]}}',
            b'{"inputs": [{"age": 50, "sex": {"a": [{"b": 1, "b": 2}]}}]}',
            b'{"inputs": [{"age": NaN, "age": 51}]}',
        )
    ],
}


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda one: one[1])
def test_what_is_no_plain_json_is_refused_by_its_code(scorer: Scorer, refusal: tuple[int, str]) -> None:
    for sent, kind in REFUSED[refusal]:
        status, content = respond(scorer, sent, kind)
        assert (status, content["error"]["code"]) == refusal, sent


@pytest.mark.parametrize("identifier", ["12:30", "a:b:c", "\\u003a", '\\"age\\": 50'])
def test_a_colon_in_a_text_is_no_key(scorer: Scorer, identifier: str) -> None:
    _, content = respond(scorer, f'{{"inputs": [{{"age": 50, "id": "{identifier}"}}]}}'.encode(), JSON)
    assert content["predictions"][0]["id"] == json.loads(f'"{identifier}"')


ENVELOPES: dict[str, Any] = {
    "dataframe_records": lambda ids: [{"id": one, "age": 50} for one in ids],
    "dataframe_split": lambda ids: {"columns": ["id", "age"], "data": [[one, 50] for one in ids]},
    "inputs": lambda ids: [{"id": one, "age": 50} for one in ids],
    "instances": lambda ids: {"id": ids, "age": [50] * len(ids)},
}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_ids_come_back_as_they_were_sent(scorer: Scorer, envelope: str) -> None:
    ids = [7, 0, -1, 7.0, 0.5, 2**53 + 1, 2**63, 2**64 + 1, -(10**30), 1e300, "7", "", None]
    _, content = respond(scorer, json.dumps({envelope: ENVELOPES[envelope](ids)}).encode(), JSON)
    found = [answer["id"] for answer in content["predictions"]]
    assert found == ids
    assert list(map(type, found)) == list(map(type, ids))
    # One that cannot be answered has its own as well.
    assert respond(scorer, body(id=2**64 + 1, age=300), JSON)[1]["predictions"][0]["id"] == 2**64 + 1
