"""A small package in the registry behind `mlflow models serve`: version, limits of size, slow and rude clients."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from live_server import JSON, LiveServer, SmallModel, in_use, serving

from leadwise.registry.load import NoSuchModel, load_scorer
from leadwise.serving import Client
from leadwise.serving.values import LARGEST_BODY

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

MARKER = 7.654321


@pytest.fixture(scope="module")
def server(small_model: SmallModel) -> Iterator[LiveServer]:
    with serving(small_model, small_model.folder / "server.log") as server:
        yield server


def counts_row(ecg_mv: np.ndarray) -> dict[str, Any]:
    counts = np.round(ecg_mv * 1000).astype("<i2")
    text = base64.b64encode(counts.tobytes()).decode("ascii")
    row = {"id": "a", "signal": text, "dtype": "int16", "shape": [1000, 12], "units_per_count": 1, "units": "uV"}
    return row | {"fs_hz": 100, "age": 63, "sex": "female"}


def test_the_answer_tells_the_registered_version(server: LiveServer, ecg_mv: np.ndarray) -> None:
    (answer,) = server.post({"inputs": [counts_row(ecg_mv)]}).json()["predictions"]
    assert (answer["model"], answer["registered_model"], answer["version"]) == ("fusion_augmented", "small", "2")


def test_a_bad_record_spoils_only_itself(server: LiveServer, ecg_mv: np.ndarray) -> None:
    good = counts_row(ecg_mv)
    response = server.post({"dataframe_records": [good | {"signal": "A" * 32000}, good], "params": {"explain": ["MI"]}})
    bad, answer = response.json()["predictions"]
    assert response.status_code == 200
    assert bad["error"]["code"] == "flat_line"
    assert list(answer["explanations"]) == ["MI"]
    assert server.post({"inputs": [{"id": "alone"}]}).status_code == 400


def test_a_body_that_is_too_large_is_a_413_and_the_server_lives(server: LiveServer) -> None:
    response = server.post(b" " * (LARGEST_BODY + 1))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")

    def without_length() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 2**20 + 2):
            yield b" " * 2**20

    url = f"http://127.0.0.1:{server.port}/invocations"
    response = requests.post(url, data=without_length(), headers=JSON, timeout=120)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert server.post({"inputs": [{"age": 50}]}).status_code == 200


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(server: LiveServer) -> None:
    request = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with server.connect() as client:
        client.sendall(request + b'{"inputs": [{"signal": [[7.654321')
    assert server.post({"inputs": [{"age": 50}]}).status_code == 200
    server.post(b'{"inputs": [{"signal": [[7.654321]')
    log = server.said()
    assert "POST /invocations" in log
    assert "Traceback" not in log
    assert str(MARKER) not in log


def test_the_loaded_model_answers_tables_as_the_server_does(
    server: LiveServer, small_model: SmallModel, ecg_mv: np.ndarray
) -> None:
    rows = [counts_row(ecg_mv), {"age": 300}]
    script = (
        "import json, sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "table = pandas.DataFrame(json.load(sys.stdin))\n"
        "params = {'policy': 'target_sensitivity', 'explain': ['MI'], 'all_findings': True}\n"
        "print(json.dumps(model.predict(table, params=params)))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, small_model.uri],
        input=json.dumps(rows),
        env=small_model.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    params = {"policy": "target_sensitivity", "explain": "MI", "all_findings": True}
    (expected, refused) = server.post({"inputs": rows, "params": params}).json()["predictions"]
    (answer, error) = json.loads(finished.stdout.splitlines()[-1])
    assert answer == expected
    assert error == refused


def test_the_registry_hands_out_what_the_server_answers_with(
    server: LiveServer, small_model: SmallModel, ecg_mv: np.ndarray
) -> None:
    counts = np.round(ecg_mv * 1000).astype(np.int16)
    record = {"id": "a", "signal": counts, "units": "uV", "fs_hz": 100, "age": 63, "sex": "female"}
    with in_use(small_model.tracking):
        (here,) = load_scorer(small_model.uri).score([counts_row(ecg_mv)])
        with pytest.raises(NoSuchModel, match="models:/small@champion: cannot be fetched from the registry"):
            load_scorer("models:/small@champion")
    with Client(server.url) as client:
        assert client.score([record, record]) == [here, here]
