"""A small package in a registry, and a scoring server of it: for every test that needs a live one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from free_port import free_port

from leadwise.registry.package import served_code, served_signature, stage_code

JSON = {"Content-Type": "application/json"}
ARTIFACTS = {"fusion": "fusion.onnx", "metadata": "metadata.onnx", "description": "model.json"}


@dataclass(frozen=True)
class SmallModel:
    """Version 2 of the registered model ``small``.

    Attributes:
        folder: where everything lies.
        uri: of the version.
        tracking: of store and registry.
        files: the folder of the logged model.
    """

    folder: Path
    uri: str
    tracking: str
    files: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to use it, and none of the tests' own code."""
        return environment_of(self.tracking)


def environment_of(tracking: str) -> dict[str, str]:
    """For a process that is to use a tracking store and its registry, and none of the tests' own code."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return inherited | {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_REGISTRY_URI": tracking, "PATH": path}


@contextmanager
def in_use(tracking: str) -> Iterator[None]:
    """A tracking store, and the registry in it, for the length of a block."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def log_small_model(package_folder: Path, folder: Path, versions: int = 2) -> SmallModel:
    """Register a package in a store of its own, so often that it is this version."""
    stage_code(folder / "code")
    tracking = f"sqlite:///{folder / 'mlflow.db'}"
    with in_use(tracking), served_code(folder / "code") as code:
        experiment = mlflow.create_experiment("small", artifact_location=(folder / "artifacts").as_uri())
        for _ in range(versions):
            with mlflow.start_run(experiment_id=experiment):
                logged = mlflow.pyfunc.log_model(
                    name="package",
                    **code,
                    artifacts={name: str(package_folder / file) for name, file in ARTIFACTS.items()},
                    pip_requirements=["mlflow"],
                    signature=served_signature(),
                    registered_model_name="small",
                )
        files = Path(mlflow.artifacts.download_artifacts(logged.model_uri))
    return SmallModel(folder, f"models:/small/{versions}", tracking, files)


@dataclass(frozen=True)
class LiveServer:
    """A scoring server that runs.

    Attributes:
        port: of 127.0.0.1.
        log: what it and its workers say.
        group: its process group.
    """

    port: int
    log: Path
    group: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, content: Any, headers: Mapping[str, str] = JSON) -> requests.Response:
        """Send a request: bytes as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return requests.post(f"{self.url}/invocations", data=body, headers=dict(headers), timeout=120)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def processes(self) -> dict[int, int]:
        """Process number -> resident memory in MiB, of the whole group."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if entry.name.isdecimal() and os.getpgid(int(entry.name)) == self.group:
                    pages = int((entry / "statm").read_text().split()[1])
                    found[int(entry.name)] = pages * os.sysconf("SC_PAGE_SIZE") // 2**20
        return found

    def holds(self, client: socket.socket) -> bool:
        """Whether the server has kept its end of a connection open; see /proc/net/tcp in proc(5)."""
        ends = f":{self.port:04X}", f":{client.getsockname()[1]:04X}"
        connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        states = [state for _, local, remote, state, *_ in connections if (local[-5:], remote[-5:]) == ends]
        return states == ["01"]

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


MLFLOWS_OWN = ("mlflow", "models", "serve", "--env-manager", "local", "-m")
"""Command of a scoring server; the address of the model and ``--port`` follow."""


@contextmanager
def serving(
    model: SmallModel, log: Path, extra: Mapping[str, str] | None = None, command: Sequence[str] = MLFLOWS_OWN
) -> Iterator[LiveServer]:
    """A scoring server until the block ends; ``extra`` is added to its environment."""
    port, environment = free_port(), model.environment | dict(extra or {})
    program = shutil.which(command[0], path=environment["PATH"])
    assert program
    with running([program, *command[1:], model.uri, "--port", str(port)], port, log, environment) as server:
        yield server


@contextmanager
def running(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[LiveServer]:
    """A command that serves at a port until the block ends; it works in the folder of its log."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    server, ends = LiveServer(port, log, process.pid), time.monotonic() + 240
    try:
        while True:
            try:
                requests.get(f"{server.url}/ping", timeout=60).raise_for_status()
                break
            except requests.ConnectionError:
                if process.poll() is not None or time.monotonic() > ends:
                    pytest.fail(f"the server did not start:\n{server.said()}", pytrace=False)
                # A server says nowhere but at its port that it has started.
                time.sleep(0.1)
        yield server
    finally:
        # The command starts uvicorn as a child of its own session.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
