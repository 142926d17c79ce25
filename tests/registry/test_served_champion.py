"""The registered champion behind ``mlflow models serve``: one live server for every test of this file."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from free_port import free_port
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from leadwise.config import Parameters
from leadwise.contract import SUPERCLASSES
from leadwise.registry.register import Registered, curl_example, serve_command
from leadwise.serving.scorer import RegisteredVersion, Scorer

# The first test waits until two networks are trained, packaged and registered.
pytestmark = [pytest.mark.xdist_group("champion"), pytest.mark.timeout(1500)]

MARKER = 7.654321
"""A sample that no answer and no log may repeat."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A live scoring server."""

    port: int
    log: Path

    def post(self, content: object, kind: str = "application/json") -> requests.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        address = f"http://127.0.0.1:{self.port}/invocations"
        return requests.post(address, data=body, headers={"Content-Type": kind}, timeout=120)


@pytest.fixture(scope="module")
def server(registered: Registered, tracking: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    port, log = free_port(), folder / "server.log"
    binaries = str(Path(sys.executable).parent)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "MLFLOW_TRACKING_URI": tracking,
        "PATH": os.pathsep.join([binaries, os.environ["PATH"]]),
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {serve_command(registered, port)}"],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    patience = Retry(total=None, connect=240, backoff_factor=0.5, backoff_max=1)
    try:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=patience))
            try:
                session.get(f"http://127.0.0.1:{port}/ping", timeout=60).raise_for_status()
            except requests.ConnectionError:
                pytest.fail(f"the server did not start:\n{log.read_text(encoding='utf-8')}", pytrace=False)
        yield Server(port, log)
    finally:
        # The command starts uvicorn as a child of its own session.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def example(registered: Registered, trained: Parameters) -> Row:
    row: Row = json.loads((trained.shared.workspace / "package" / "input_example.json").read_text(encoding="utf-8"))
    return row


@pytest.fixture(scope="module")
def expected(example: Row, trained: Parameters, registered: Registered) -> Row:
    version = RegisteredVersion(registered.name, registered.version)
    return Scorer.load(trained.shared.workspace / "package", version).score([example])[0]


def test_the_curl_command_works_as_printed(
    server: Server, registered: Registered, trained: Parameters, expected: Row
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = curl_example(server.port, trained.shared.workspace)
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout) == {"predictions": [expected]}


def test_an_answer_reads_well(server: Server, example: Row) -> None:
    (answer,) = server.post({"inputs": [example]}).json()["predictions"]
    assert list(answer) == [
        *("id", "model", "registered_model", "version", "policy", "probabilities", "decisions", "uncertain"),
        *("thresholds", "findings", "windows", "explanations", "quality", "warnings", "disclaimer"),
    ]
    assert {finding["code"] for finding in answer["findings"]} == {"AFIB", "IMI"}
    assert all(isinstance(finding["reported"], bool) for finding in answer["findings"])
    assert answer["id"] == "example"
    assert answer["model"] == "fusion_augmented"
    assert list(answer["probabilities"]) == list(SUPERCLASSES)
    assert all(isinstance(decision, bool) for decision in answer["decisions"].values())


def test_without_a_recording_the_metadata_model_answers_and_says_so(server: Server) -> None:
    (answer,) = server.post({"inputs": [{"age": 63, "sex": "female"}]}).json()["predictions"]
    assert answer["model"] == "metadata"
    assert answer["findings"] == []
    assert answer["warnings"][0].startswith("no recording")


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{"signal": [[7.654321, 7.654321',
        b'{"dataframe_split": {"columns": ["signal"], "data": [[[7.654321]], [1, 2]]}}',
        b'{"inputs": {"signal": [[7.654321]], "age": [1, 2]}}',
        b'{"inputs": [{"age": NaN, "signal": [[7.654321]], "fs_hz": Infinity}]}',
        b"",
    ],
)
def test_a_broken_body_is_a_short_400_that_repeats_nothing(server: Server, body: bytes) -> None:
    response = server.post(body)
    assert response.status_code == 400
    assert response.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert len(response.text) < 1000
    assert str(MARKER) not in response.text


def test_the_log_repeats_no_sample_and_no_trace(server: Server, example: Row) -> None:
    server.post({"inputs": [example | {"signal": [[MARKER] * 12] * 1000}]})
    server.post(b'{"inputs": [[7.654321')
    log = server.log.read_text(encoding="utf-8")
    assert "POST /invocations" in log
    assert str(MARKER) not in log
    assert "Traceback" not in log
