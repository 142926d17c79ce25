"""The registered champion behind the command that is printed for it, asked by the one printed beside it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from free_port import free_port
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from leadwise.config import Parameters
from leadwise.registry.package import Package
from leadwise.registry.register import Registered, curl_example, serve_command
from leadwise.serving.scorer import RegisteredVersion, Scorer

# The first test waits until two networks are trained, packaged and registered.
pytestmark = [pytest.mark.xdist_group("champion"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def port(registered: Registered, tracking: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
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
        yield port
    finally:
        # The command starts uvicorn as a child of its own session.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def expected(trained: Parameters, registered: Registered) -> dict[str, Any]:
    package = Package.read(trained.shared.workspace / "package")
    version = RegisteredVersion(registered.name, registered.version)
    return Scorer.load(package.folder, version).score([package.example])[0]


def test_the_curl_command_works_as_printed(
    port: int, registered: Registered, trained: Parameters, expected: dict[str, Any]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = curl_example(port, trained.shared.workspace)
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout) == {"predictions": [expected]}
