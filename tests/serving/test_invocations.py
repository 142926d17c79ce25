import io
import json
import logging

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.serving.invocations import answer_in_scoring_server, respond
from leadwise.serving.scorer import Scorer

Signal = list[list[float]]
JSON = "application/json"
MARKER = 7.654321


def body(**row: object) -> bytes:
    return json.dumps({"inputs": [row]}).encode()


def test_a_good_request_is_answered(scorer: Scorer, signal_mv: Signal) -> None:
    status, content = respond(scorer, body(id="a", signal=signal_mv, fs_hz=100), "application/json; charset=utf-8")
    assert status == 200
    assert content["predictions"][0]["id"] == "a"


def test_all_findings_are_listed_when_they_are_asked_for(scorer: Scorer, signal_mv: Signal) -> None:
    request = {"inputs": [{"signal": signal_mv, "fs_hz": 100}], "params": {"all_findings": True}}
    status, content = respond(scorer, json.dumps(request).encode(), JSON)
    assert status == 200
    findings = content["predictions"][0]["findings"]
    assert len(findings) == 4
    usual = respond(scorer, body(signal=signal_mv, fs_hz=100), JSON)[1]["predictions"][0]["findings"]
    assert usual == [finding for finding in findings if finding["reported"]] != findings


def test_a_parquet_table_is_answered_as_json_is(scorer: Scorer, signal_mv: Signal) -> None:
    row = {"id": "a", "signal": signal_mv, "fs_hz": 100, "age": 50}
    stream = io.BytesIO()
    pd.DataFrame([row, {"id": "b", "age": 60}]).to_parquet(stream)
    of_table = respond(scorer, stream.getvalue(), "application/vnd.apache.parquet")
    of_json = respond(scorer, json.dumps({"inputs": [row, {"id": "b", "age": 60}]}).encode(), JSON)
    assert of_table == of_json
    assert of_table[0] == 200


def test_a_wrong_row_is_a_400_with_row_and_field(scorer: Scorer) -> None:
    status, content = respond(scorer, body(signal=[[MARKER] * 12] * 1000, fs_hz=100, age=300), JSON)
    assert status == 400
    assert content == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "row 0: age: received 300; 0 to 120 years is allowed",
        "row": 0,
        "field": "age",
    }


@pytest.mark.parametrize("content_type", [None, "", "text/csv", "text/plain", "application/json; charset=latin-1"])
def test_another_content_type_is_a_415(scorer: Scorer, content_type: str | None) -> None:
    status, content = respond(scorer, body(age=40), content_type)
    assert status == 415
    assert "application/json" in content["message"]


class Broken(Scorer):
    def score(self, rows: object, *, all_findings: bool = False) -> list[dict[str, object]]:
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


def test_outside_of_the_scoring_server_nothing_is_taken_over(scorer: Scorer) -> None:
    assert not answer_in_scoring_server(scorer)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
    kind=st.sampled_from([JSON, "application/x-parquet"]),
)
def test_any_bytes_get_a_short_400(scorer: Scorer, data: bytes, kind: str) -> None:
    status, content = respond(scorer, data, kind)
    assert status == 400
    assert len(content["message"]) < 200
