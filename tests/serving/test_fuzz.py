"""Thousands of requests that nobody should send: never a 500, a stack trace, the patient's signal, a dead worker.

`LEADWISE_FUZZ=10000 pytest tests/serving/test_fuzz.py` sends 10,000 in process and 2,500 more over HTTP.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hostile_bodies import CHUNK, JSON, MARKER, VALID_BODIES, hostile_requests, packed, recoded, repeated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_server import LiveServer

from leadwise.serving.api import answer_in_scoring_server
from leadwise.serving.scorer import Scorer

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(1800)]

BODIES = int(os.environ.get("LEADWISE_FUZZ", "300"))
ALLOWED = {200, 400, 413, 415}
LONGEST_MESSAGE = 400

quickly = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


class Application:
    """MLflow's application with Leadwise's route, called without a server."""

    def __init__(self, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow.pyfunc import scoring_server

        class Model:
            metadata = type("Metadata", (), {"get_input_schema": lambda self: None})()

        monkeypatch.setattr(scoring_server, "_async_catch_mlflow_exception", None)
        monkeypatch.setitem(sys.modules, "mlflow.pyfunc.scoring_server.app", sys.modules[__name__])
        assert answer_in_scoring_server(scorer)
        self.app = scoring_server.init(Model())
        self.loop = asyncio.new_event_loop()

    def post(self, body: bytes, kind: str | None, coding: str | None = None) -> tuple[int, bytes]:
        return self.loop.run_until_complete(self._post(body, kind, coding))

    async def _post(self, body: bytes, kind: str | None, coding: str | None) -> tuple[int, bytes]:
        headers = [(b"content-type", kind.encode("latin-1"))] if kind is not None else []
        headers += [(b"content-encoding", coding.encode("latin-1"))] if coding is not None else []
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
        scope |= {"path": "/invocations", "raw_path": b"/invocations", "query_string": b"", "root_path": ""}
        scope |= {"headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {}}
        arrived, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> Any:
            return arrived.pop() if arrived else await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], content


@pytest.fixture(scope="module")
def application(scorer: Scorer) -> Iterator[Application]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        application = Application(scorer, monkeypatch)
        yield application
        application.loop.close()


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
def test_what_the_hostile_requests_are_made_of_is_answered(application: Application, form: str) -> None:
    status, content = application.post(*VALID_BODIES[form])
    assert status == 200
    assert "error" not in json.loads(content)["predictions"][0]


def test_no_hostile_request_is_more_than_refused(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    @settings(max_examples=BODIES, **quickly)  # type: ignore[arg-type]
    @given(request=hostile_requests)
    def hostile(request: tuple[bytes, str | None]) -> None:
        check(*application.post(*request))

    with caplog.at_level(logging.DEBUG):
        hostile()
    for trace in ("Traceback", MARKER, CHUNK, "while answering a request"):
        assert trace not in caplog.text


def test_what_is_no_plain_json_in_utf_8_is_refused(application: Application) -> None:
    @settings(max_examples=BODIES, **quickly)  # type: ignore[arg-type]
    @given(body=repeated() | recoded)
    def refused(body: bytes) -> None:
        status, content = application.post(body, JSON)
        check(status, content)
        assert status in (400, 413)
        assert json.loads(content)["error"]["code"] in {"repeated_key", "not_json", "too_many_values"}

    refused()


def test_bodies_in_gzip_are_read_or_refused(application: Application) -> None:
    @settings(max_examples=BODIES, **quickly)  # type: ignore[arg-type]
    @given(body=packed(), coding=st.sampled_from(["gzip", "x-gzip", "GZIP", "gzip, gzip", "br", "deflate", "\xff"]))
    def hostile(body: bytes, coding: str) -> None:
        status, content = application.post(body, JSON, coding)
        check(status, content)
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
