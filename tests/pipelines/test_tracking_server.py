"""The pipeline against an MLflow server with PostgreSQL behind it, which goes away in mid-training.

The gate fails: it ends as every pipeline whose version is no better: with status 1, and the version is challenger.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
import requests
from free_port import free_port
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

if TYPE_CHECKING:
    from conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("tracking-server")]

MODELS = {"metadata", "fusion", "fusion_augmented"}
STAGES = {"ingest", "train", "evaluate", "register"}
EPOCHS = 6
AWAY_S = 3
"""The server needs some seconds more to start: MLflow asks in vain at once and after 4 seconds."""
SMALL = {
    "epochs_metadata": 2,
    "epochs_fusion": EPOCHS,
    "patience_fusion": EPOCHS,
    "encoder": "original_cnn",
    "encoder_width": 8,
    "bootstrap": 100,
    "robustness": 0,
    "p95_latency_ms": 10_000,
    "limits": "macro_auroc:1,auroc:0,ece:1",
}


class TrackingServer:
    """`mlflow server` as a user starts it, in a process group of its own; it can be stopped and started again."""

    def __init__(self, folder: Path, backend: str) -> None:
        self._folder, self._backend = folder, backend
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1", "--workers", "1"]
        command += ["--port", str(self._port), "--backend-store-uri", self._backend]
        command += ["--serve-artifacts", "--artifacts-destination", str(self._folder / "artifacts")]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=inherited | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(1200):
            assert self._process.poll() is None, (self._folder / "server.log").read_text()[-3000:]
            try:
                if requests.get(f"{self.address}/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                # It says nowhere but at its port that it has started.
                time.sleep(0.1)
        raise AssertionError("the tracking server does not answer")

    def stop(self) -> None:
        """Kill it with everything that it has started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path, postgresql_address: str) -> Iterator[TrackingServer]:
    server = TrackingServer(tmp_path, postgresql_address)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def go_away_during(training: Path, server: TrackingServer, still_running: Callable[[], bool]) -> None:
    """Stop the server when a training has ended its first epoch, and start it again later."""
    first_epoch = training.with_name(f"{training.name}-checkpoints") / "epoch-0001"
    while not first_epoch.exists():
        if not still_running():
            return
        # The training is a process of a process: its folder is all that is seen of it here.
        time.sleep(0.02)
    server.stop()
    assert not training.exists(), "the training was over before the server went away"
    time.sleep(AWAY_S)
    server.start()


def test_the_pipeline_survives_a_server_that_goes_away_and_tells_of_a_version_that_fails_the_gate(
    checkout: "Checkout", simulated_tree: Path, server: TrackingServer
) -> None:
    models = checkout.folder / "workspace" / "simulated" / "models" / "clinical"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(checkout.mlflow_run, "main", tracking_uri=server.address, source=simulated_tree, **SMALL)
        go_away_during(models / "fusion", server, lambda: not running.done())
        status, output = running.result()
    assert status == 1, output[-6000:]
    assert "no answer from the tracking server" in output
    closing = output[output.index("Compare the models in the tracking UI") :]
    assert "Gate FAILED: leadwise-demo version 1 (" in closing
    assert "mlflow models serve -m models:/leadwise-demo@challenger" in closing
    assert "leadwise main: error: the registered version did not pass the promotion gate" in output

    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("leadwise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    failed = {"main", "register"}
    assert {run.info.run_name for run in runs if run.info.status != "FINISHED"} == failed
    assert {run.info.status for run in runs if run.info.run_name in failed} == {"FAILED"}
    names = sorted(str(run.info.run_name) for run in runs)
    assert names == sorted(["main", *STAGES, *MODELS, *(f"evaluate/{model}" for model in MODELS)])
    assert [run.info.run_name for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags] == ["main"]

    for run in runs:
        if run.info.run_name not in MODELS:
            continue
        training = json.loads((models / run.info.run_name / "training.json").read_text())
        for name in training["history"][0]:
            logged = client.get_metric_history(run.info.run_id, name)
            expected = list(enumerate((epoch[name] for epoch in training["history"]), start=1))
            assert [(one.step, one.value) for one in logged] == expected, name
        # Written by the server, not into a folder that this process sees.
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"summary.html", "model"} <= files
        weights = f"{run.info.artifact_uri}/model/model.keras"
        kept = Path(mlflow.artifacts.download_artifacts(weights, tracking_uri=server.address))
        assert kept.read_bytes() == (models / run.info.run_name / "model.keras").read_bytes()
    (register,) = [run for run in runs if run.info.run_name == "register"]
    summary = f"{register.info.artifact_uri}/summary.html"
    page = Path(mlflow.artifacts.download_artifacts(summary, tracking_uri=server.address))
    assert "Checks that failed" in page.read_text()
    version = client.get_model_version_by_alias("leadwise-demo", "challenger")
    assert version.tags["gate"] == "failed"
    assert set(client.get_registered_model("leadwise-demo").aliases) == {"challenger"}
