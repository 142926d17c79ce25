import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest

from leadwise.serving.api import answer_in_scoring_server, respond
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


def test_outside_of_the_scoring_server_nothing_is_taken_over(scorer: Scorer) -> None:
    assert not answer_in_scoring_server(scorer)
