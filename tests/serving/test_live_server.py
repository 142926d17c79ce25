"""A small package in the registry behind `mlflow models serve`: version, limits of size, slow and rude clients."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import requests

from leadwise.registry.champion import NoSuchModel, load_scorer
from leadwise.registry.packaging import stage_code
from leadwise.registry.signature import served_signature
from leadwise.serving import Client
from leadwise.serving.limits import LARGEST_BODY

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

JSON = {"Content-Type": "application/json"}
MARKER = 7.654321


@dataclass(frozen=True)
class Server:
    port: int
    log: Path
    uri: str
    tracking: str

    def post(self, content: Any) -> requests.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return requests.post(f"http://127.0.0.1:{self.port}/invocations", data=body, headers=JSON, timeout=120)


@contextmanager
def in_use(tracking: str) -> Iterator[None]:
    """A tracking store, and the registry in it, for the length of a block."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def server(package_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("live")
    stage_code(folder / "code")
    tracking = f"sqlite:///{folder / 'mlflow.db'}"
    with in_use(tracking):
        experiment = mlflow.create_experiment("small", artifact_location=(folder / "artifacts").as_uri())
        for _ in range(2):
            with mlflow.start_run(experiment_id=experiment):
                mlflow.pyfunc.log_model(
                    name="package",
                    python_model=str(folder / "code" / "leadwise" / "serving" / "pyfunc_model.py"),
                    artifacts={
                        name: str(package_folder / file)
                        for name, file in (
                            ("fusion", "fusion.onnx"),
                            ("metadata", "metadata.onnx"),
                            ("description", "model.json"),
                        )
                    },
                    code_paths=[str(folder / "code" / "leadwise")],
                    pip_requirements=["mlflow"],
                    signature=served_signature(),
                    registered_model_name="small",
                )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {
        "MLFLOW_TRACKING_URI": tracking,
        "MLFLOW_REGISTRY_URI": tracking,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    uri, log = "models:/small/2", folder / "server.log"
    mlflow_command = shutil.which("mlflow", path=environment["PATH"])
    assert mlflow_command
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [mlflow_command, "models", "serve", "-m", uri, "--env-manager", "local", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(port, process, log)
        yield Server(port, log, uri, tracking)
    finally:
        # The command starts uvicorn as a child of its own session.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(480):
        try:
            requests.get(f"http://127.0.0.1:{port}/ping", timeout=60).raise_for_status()
        except requests.ConnectionError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text(encoding='utf-8')}", pytrace=False)


def counts_row(ecg_mv: np.ndarray) -> dict[str, Any]:
    counts = np.round(ecg_mv * 1000).astype("<i2")
    text = base64.b64encode(counts.tobytes()).decode("ascii")
    row = {"id": "a", "signal": text, "dtype": "int16", "shape": [1000, 12], "units_per_count": 1, "units": "uV"}
    return row | {"fs_hz": 100, "age": 63, "sex": "female"}


def test_the_answer_tells_the_registered_version(server: Server, ecg_mv: np.ndarray) -> None:
    (answer,) = server.post({"inputs": [counts_row(ecg_mv)]}).json()["predictions"]
    assert (answer["model"], answer["registered_model"], answer["version"]) == ("fusion_augmented", "small", "2")


def test_a_bad_record_spoils_only_itself(server: Server, ecg_mv: np.ndarray) -> None:
    good = counts_row(ecg_mv)
    response = server.post({"dataframe_records": [good | {"signal": "A" * 32000}, good], "params": {"explain": ["MI"]}})
    bad, answer = response.json()["predictions"]
    assert response.status_code == 200
    assert bad["error"]["code"] == "flat_line"
    assert list(answer["explanations"]) == ["MI"]
    assert server.post({"inputs": [{"id": "alone"}]}).status_code == 400


def test_a_body_that_is_too_large_is_a_413_and_the_server_lives(server: Server) -> None:
    response = server.post(b" " * (LARGEST_BODY + 1))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")

    def without_length() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 2**20 + 2):
            yield b" " * 2**20

    url = f"http://127.0.0.1:{server.port}/invocations"
    response = requests.post(url, data=without_length(), headers=JSON, timeout=120)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert server.post({"inputs": [{"age": 50}]}).status_code == 200


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(server: Server) -> None:
    request = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(request + b'{"inputs": [{"signal": [[7.654321')
    assert server.post({"inputs": [{"age": 50}]}).status_code == 200
    server.post(b'{"inputs": [{"signal": [[7.654321]')
    log = server.log.read_text(encoding="utf-8")
    assert "POST /invocations" in log
    assert "Traceback" not in log
    assert str(MARKER) not in log


def test_the_loaded_model_answers_tables_as_the_server_does(server: Server, ecg_mv: np.ndarray) -> None:
    rows = [counts_row(ecg_mv), {"age": 300}]
    script = (
        "import json, sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "table = pandas.DataFrame(json.load(sys.stdin))\n"
        "params = {'policy': 'target_sensitivity', 'explain': ['MI'], 'all_findings': True}\n"
        "print(json.dumps(model.predict(table, params=params)))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-c", script, server.uri],
        input=json.dumps(rows),
        env=environment | {"MLFLOW_TRACKING_URI": server.tracking, "MLFLOW_REGISTRY_URI": server.tracking},
        capture_output=True,
        text=True,
        check=True,
    )
    params = {"policy": "target_sensitivity", "explain": "MI", "all_findings": True}
    (expected, refused) = server.post({"inputs": rows, "params": params}).json()["predictions"]
    (answer, error) = json.loads(finished.stdout.splitlines()[-1])
    assert answer == expected
    assert error == refused


def test_the_registry_hands_out_what_the_server_answers_with(server: Server, ecg_mv: np.ndarray) -> None:
    counts = np.round(ecg_mv * 1000).astype(np.int16)
    record = {"id": "a", "signal": counts, "units": "uV", "fs_hz": 100, "age": 63, "sex": "female"}
    with in_use(server.tracking):
        (here,) = load_scorer(server.uri).score([counts_row(ecg_mv)])
        with pytest.raises(NoSuchModel, match="models:/small@champion: cannot be fetched from the registry"):
            load_scorer("models:/small@champion")
    with Client(f"http://127.0.0.1:{server.port}") as client:
        assert client.score([record, record]) == [here, here]
