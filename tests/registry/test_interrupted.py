"""What a killed registration leaves is told and tidied by the next one, and nothing of a living one.

Through the register stage, with the model that ships, from a folder with letters that a shell minds.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from leadwise.config import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


class Place:
    """A folder with a tracking store of its own and temporary files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "it's an é & more"
        self.temporary = folder / "temporary"
        for made in (self.folder, self.temporary):
            made.mkdir()
        self.address = f"sqlite:///{self.folder / 'mlflow.db'}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
        given = {"MLFLOW_TRACKING_URI": self.address, "TMPDIR": str(self.temporary)}
        self.environment = inherited | given | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
        self.started: list[subprocess.Popen[str]] = []

    def register(self, workspace: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROJECT_ROOT / "pipelines" / "register.py"), "--source", "pretrained"]
        process = subprocess.Popen(
            [*command, "--workspace", workspace, "--p95-latency-ms", "10000"], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def wait_for_gate(self, version: int, process: "subprocess.Popen[str]") -> None:
        """Until a version is registered and asked in a fresh process, which takes seconds."""
        there = 0
        while not (there and list(self.temporary.glob(".leadwise-gate.partial-*/task.json"))):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
            with sqlite3.connect(self.folder / "mlflow.db") as connection:
                (there,) = connection.execute(
                    f"SELECT count(*) FROM model_versions WHERE version = {version}"
                ).fetchone()

    def left(self) -> set[Path]:
        return set(self.temporary.glob(".leadwise-*"))


def ended(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def aliases(client: mlflow.MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model("leadwise").aliases.items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(found.address)
    yield found
    mlflow.set_tracking_uri(before)
    for process in found.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_the_next_registration_tidies_what_a_killed_one_left_and_nothing_of_a_living_one(place: Place) -> None:
    # The tables are made first, so that the file can be looked into from the beginning.
    assert subprocess.run(
        [sys.executable, "-m", "leadwise.tracking_store"], cwd=place.folder, env=place.environment, check=True
    )
    killed = place.register("one")
    place.wait_for_gate(1, killed)
    killed.kill()
    killed.communicate()
    client = mlflow.MlflowClient()
    # As it was while older releases judged.
    client.set_registered_model_alias("leadwise", "challenger", "1")
    assert client.search_runs(["1"])[0].info.status == "RUNNING"
    left = place.left()
    assert left

    living = place.register("two")
    place.wait_for_gate(2, living)
    living.send_signal(signal.SIGSTOP)
    first = client.get_model_version("leadwise", "1")
    assert first.tags["gate"] == "interrupted"
    assert first.description.startswith("**No verdict")
    assert "challenger" not in aliases(client)
    assert not [folder for folder in left if folder.exists()]
    assert sorted(run.info.status for run in client.search_runs(["1"])) == ["KILLED", "RUNNING"]
    held = place.left()

    told = ended(place.register("three"))
    assert "interrupted" not in told, "nothing was left any more"
    assert held == place.left()
    assert "gate" not in client.get_model_version("leadwise", "2").tags
    assert aliases(client) == {"champion": "3"}

    living.send_signal(signal.SIGCONT)
    told = ended(living)
    assert "leadwise version 1: its registration was interrupted; it has no verdict, and no alias" in told
    assert re.search(r"run register \([0-9a-f]{8}\): its process was killed; the run is ended", told)
    assert all(f"{folder}: left by a process that was killed; removed" in told for folder in left)
    assert aliases(client) == {"champion": "2"}
    tags = client.get_model_version("leadwise", "2").tags
    assert (tags["gate"], tags["previous-champion"]) == ("passed", "3")
    assert "process" not in tags
    assert not list(place.temporary.glob("*leadwise-*"))
