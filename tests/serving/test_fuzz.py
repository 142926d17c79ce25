"""Thousands of requests that nobody should send: never a 500, a stack trace, the patient's signal, a dead worker.

`LEADWISE_FUZZ=10000 pytest tests/serving/test_fuzz.py` sends 10,000 in process and 2,500 more over HTTP.
"""

import json
import logging
import os

import pytest
import requests
from hostile_bodies import CHUNK, JSON, MARKER, VALID_BODIES, hostile_requests, packed, recoded, repeated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_server import LiveServer

from leadwise.serving.api import respond
from leadwise.serving.scorer import Scorer

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(1800)]

BODIES = int(os.environ.get("LEADWISE_FUZZ", "300"))
ALLOWED = {200, 400, 413, 415}
LONGEST_MESSAGE = 400

quickly = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def post(scorer: Scorer, body: bytes, kind: str | None) -> tuple[int, bytes]:
    status, content = respond(scorer, body, kind)
    return status, json.dumps(content, allow_nan=False).encode()


def check(status: int, content: bytes) -> None:
    """What must hold for every answer."""
    text = content.decode("utf-8")
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert status in ALLOWED, text
    assert "Traceback" not in text
    assert MARKER not in text
    assert CHUNK not in text
    if status == 200:
        assert answer["predictions"]
    else:
        assert answer["error"]["code"] != "internal"
        assert len(answer["message"]) < LONGEST_MESSAGE


@pytest.mark.parametrize("form", VALID_BODIES)
def test_what_the_hostile_requests_are_made_of_is_answered(scorer: Scorer, form: str) -> None:
    status, content = post(scorer, *VALID_BODIES[form])
    assert status == 200
    assert "error" not in json.loads(content)["predictions"][0]


def test_no_hostile_request_is_more_than_refused(scorer: Scorer, caplog: pytest.LogCaptureFixture) -> None:
    @settings(max_examples=BODIES, **quickly)  # type: ignore[arg-type]
    @given(request=hostile_requests)
    def hostile(request: tuple[bytes, str | None]) -> None:
        check(*post(scorer, *request))

    with caplog.at_level(logging.DEBUG):
        hostile()
    for trace in ("Traceback", MARKER, CHUNK, "while answering a request"):
        assert trace not in caplog.text


def test_what_is_no_plain_json_in_utf_8_is_refused(scorer: Scorer) -> None:
    @settings(max_examples=BODIES, **quickly)  # type: ignore[arg-type]
    @given(body=repeated() | recoded)
    def refused(body: bytes) -> None:
        status, content = post(scorer, body, JSON)
        check(status, content)
        assert status in (400, 413)
        assert json.loads(content)["error"]["code"] in {"repeated_key", "not_json", "too_many_values"}

    refused()


def test_bodies_in_gzip_are_read_or_refused(mlflow_server: LiveServer) -> None:
    @settings(max_examples=BODIES // 4, **quickly)  # type: ignore[arg-type]
    @given(body=packed(), coding=st.sampled_from(["gzip", "x-gzip", "GZIP", "gzip, gzip", "br", "deflate", "\xff"]))
    def hostile(body: bytes, coding: str) -> None:
        response = mlflow_server.post(body, {"Content-Type": JSON, "Content-Encoding": coding.encode("latin-1")})
        status = response.status_code
        check(status, response.content)
        assert (status == 415) is (coding.lower() not in {"gzip", "x-gzip"})

    hostile()


def test_the_same_server_answers_after_all_of_them(mlflow_server: LiveServer) -> None:
    server = mlflow_server
    before = server.processes()
    with requests.Session() as session:

        @settings(max_examples=BODIES // 4, **quickly)  # type: ignore[arg-type]
        @given(request=hostile_requests)
        def hostile(request: tuple[bytes, str | None]) -> None:
            body, kind = request
            headers = {} if kind is None else {"Content-Type": kind.encode("latin-1")}
            response = session.post(f"{server.url}/invocations", data=body, headers=headers, timeout=60)
            check(response.status_code, response.content)

        hostile()
        for body, kind in VALID_BODIES.values():
            good = session.post(f"{server.url}/invocations", data=body, headers={"Content-Type": kind}, timeout=60)
            assert good.status_code == 200
    log = server.said()
    assert before.keys() <= server.processes().keys()
    assert log.count("POST /invocations") >= BODIES // 4
    assert not {trace for trace in ("Traceback", MARKER, CHUNK, "while answering", "ERROR") if trace in log}
