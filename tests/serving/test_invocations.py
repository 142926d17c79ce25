import base64
import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.features import asked_names
from leadwise.serving.api import answer_in_scoring_server, respond
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


def test_a_request_of_bad_records_only_is_a_400_that_names_them_all(scorer: Scorer) -> None:
    status, content = respond(scorer, json.dumps({"inputs": [{"id": "a"}, {"id": "b", "age": 300}]}).encode(), JSON)
    assert status == 400
    assert content["error"]["code"] == "missing_field"
    assert [answer["error"]["field"] for answer in content["predictions"]] == ["signal", "age"]


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


@pytest.mark.parametrize("params", [None, {}, dict.fromkeys(["policy", "explain", "all_findings"]), {"explain": False}])
def test_parameters_may_be_left_out(scorer: Scorer, params: object) -> None:
    request = {"inputs": [{"age": 50}], "params": params}
    assert respond(scorer, json.dumps(request).encode(), JSON) == respond(scorer, body(age=50), JSON)


def test_too_many_explanations_are_a_413(scorer: Scorer) -> None:
    request = {"inputs": [{"age": 50}] * 9, "params": {"explain": True}}
    status, content = respond(scorer, json.dumps(request).encode(), JSON)
    assert (status, content["error"]["code"]) == (413, "too_many_records")


@pytest.mark.parametrize(
    "content_type", [None, "", "text/csv", "application/x-parquet", "application/json; charset=latin-1"]
)
def test_another_content_type_is_a_415(scorer: Scorer, content_type: str | None) -> None:
    status, content = respond(scorer, body(age=40), content_type)
    assert status == 415
    assert "application/json" in content["message"]


class Broken(Scorer):
    def answers(self, rows: object, asked: object, first: int = 0) -> Iterator[dict[str, object]]:
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
    kind=st.just(JSON),
)
def test_any_bytes_get_a_short_400(scorer: Scorer, data: bytes, kind: str) -> None:
    status, content = respond(scorer, data, kind)
    assert status == 400
    assert len(content["message"]) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
ECG = np.round(simulate_record("NORM", 1).signal_mv.astype(float), 3)
COUNTS = base64.b64encode(np.round(ECG * 1000).astype("<i2").tobytes()).decode("ascii")
SIGNALS = [ECG.tolist(), ECG.T.tolist(), ECG[:, [0, 1, *range(6, 12)]].tolist(), COUNTS, COUNTS[:-4], COUNTS + "=", ""]
hostile_rows = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "signal": st.sampled_from(SIGNALS) | json_values,
        "dtype": st.sampled_from(["int16", "float32"]) | json_values,
        "shape": st.sampled_from([[1000, 12], [12, 1000], [3000, 4], [500, 12]]) | json_values,
        "units_per_count": st.sampled_from([1, 0.001, 5, -1]) | json_values,
        "order": st.sampled_from(["time_lead", "lead_time"]) | json_values,
        "leads": st.sampled_from([list(LEADS), list(LEADS[:8])]) | json_values,
        "fs_hz": st.sampled_from([50, 100, 199.99, 500]) | json_values,
        "units": st.sampled_from(["mV", "uV"]) | json_values,
        **{name: st.integers(0, 1) | st.integers(0, 300) | json_values for name in asked_names()},
    },
)
hostile_params = st.fixed_dictionaries(
    {}, optional={"policy": st.sampled_from(["best_f1", "youden"]) | json_values, "all_findings": json_values}
)


@settings(max_examples=250, deadline=None)
@given(rows=st.lists(hostile_rows | json_values, max_size=3), params=st.none() | hostile_params | json_values)
def test_any_request_is_answered_or_refused_in_plain_json(scorer: Scorer, rows: object, params: object) -> None:
    status, content = respond(scorer, json.dumps({"dataframe_records": rows, "params": params}).encode(), JSON)
    assert status in (200, 400)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    if status == 400:
        assert content["error"]["code"] != "internal"
        assert len(content["message"]) < 300
    else:
        assert len(content["predictions"]) == len(rows)  # type: ignore[arg-type]
