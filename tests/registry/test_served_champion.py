"""The registered champion behind the command that is printed for it, asked by the one printed beside it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from free_port import free_port
from live_server import environment_of, running

from leadwise.config import Parameters
from leadwise.registry.package import Package
from leadwise.registry.register import Registered, curl_example, serve_command
from leadwise.serving.scorer import RegisteredVersion, Scorer

# The first test waits until two networks are trained, packaged and registered.
pytestmark = [pytest.mark.xdist_group("champion"), pytest.mark.timeout(1500)]


def test_the_commands_work_as_printed(
    registered: Registered, trained: Parameters, tracking: str, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    port, workspace = free_port(), trained.shared.workspace
    command = ["bash", "-c", f"exec env {serve_command(registered, port)}"]
    with running(command, port, tmp_path / "server.log", environment_of(tracking)):
        asked = curl_example(port, workspace)
        finished = subprocess.run(asked, shell=True, capture_output=True, text=True, check=True)
    package = Package.read(workspace / "package")
    scorer = Scorer.load(package.folder, RegisteredVersion(registered.name, registered.version))
    assert json.loads(finished.stdout) == {"predictions": scorer.score([package.example])}
