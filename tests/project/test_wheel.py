"""A wheel of the project, alone and in an environment of what it asks for: no training, no web app."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet
import pytest
import requests
from free_port import free_port

from leadwise import __version__
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS
from leadwise.datasets.checks.validation import SUITES
from leadwise.datasets.synthetic import simulate_record

ABSENT = ("tensorflow", "keras", "great-expectations", "optuna", "dvc", "streamlit", "mlflow", "scikit-learn")
READ = """
import leadwise
from leadwise.datasets.checks.validation import SUITES, read_suite
from leadwise.ecg.reversal import bundled_model
for name in SUITES:
    print(name, len(read_suite(name, "1.0.3", {}, 0.1).checks))
assert bundled_model()
print(leadwise.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = builder.WheelBuilder(str(PROJECT_ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "unpacked")
    return wheel.parent / "unpacked"


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The programs of a new environment with the wheel and what it asks for; skipped where that cannot be fetched."""
    folder, lock = wheel.parent / "environment", PROJECT_ROOT / "requirements.lock"
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
    install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--constraint", str(lock), str(wheel)]
    # The lock has hashes, which a wheel that was just built cannot have.
    done = subprocess.run([*install, "--no-verify-hashes"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder / "bin"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "recordings" / "ecg.csv"
    file.parent.mkdir()
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([LEADS, *simulate_record("MI", 2).signal_mv.tolist()])
    return file


def leadwise(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(installed / "leadwise"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_and_every_image_have_the_version_of_the_code(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("leadwise-*.dist-info/METADATA")
    assert f"Version: {__version__}" in metadata.read_text(encoding="utf-8").splitlines()
    dockerfile = (PROJECT_ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    labels = re.findall(r"^LABEL org\.opencontainers\.image\.version=(.*)$", dockerfile, flags=re.MULTILINE)
    assert labels == [__version__] * len(re.findall(r"^FROM base ", dockerfile, flags=re.MULTILINE))


def test_every_file_of_the_package_is_in_it(unpacked: Path) -> None:
    def files(package: Path) -> set[str]:
        paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(package).as_posix() for path in paths}

    parameters = {
        name for name in files(PROJECT_ROOT / "pipelines") if name.endswith(".yaml") and name != "params.yaml"
    }
    assert files(unpacked / "leadwise") == files(PROJECT_ROOT / "src" / "leadwise") | parameters


def test_the_files_beside_the_code_are_read_from_it(unpacked: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", READ]
    shown = subprocess.run(command, env=environment, cwd=unpacked, capture_output=True, text=True, check=True).stdout
    *suites, where = shown.splitlines()
    assert Path(where).is_relative_to(unpacked)
    assert len(suites) == len(SUITES)
    assert all(int(line.split()[1]) > 0 for line in suites)


@pytest.mark.slow
def test_scoring_needs_no_training_and_no_web_app(installed: Path, recording: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--python", str(installed / "python")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {package["name"] for package in json.loads(listed.stdout)} & set(ABSENT)
    hints = ("--fs-hz", "100", "--units", "mV")
    told = leadwise(installed, recording.parent, "predict", str(recording), *hints, "--json", "--age", "60")
    assert told.returncode == 0, told.stderr
    probabilities = json.loads(told.stdout)[0]["answer"]["probabilities"]
    assert probabilities["MI"] > 0.5
    plotted = leadwise(installed, recording.parent, "plot", str(recording), "-o", "out.png", *hints)
    assert (plotted.returncode, (recording.parent / "out.png").is_file()) == (0, True), plotted.stderr
    table = recording.parent.parent / "answers.parquet"
    scored = leadwise(installed, recording.parent, "score", str(recording.parent), str(table), *hints)
    assert scored.returncode == 0, scored.stderr
    assert pyarrow.parquet.read_table(table).num_rows > 0
    simulated = leadwise(installed, recording.parent.parent, "simulate", "tree", "--patients", "300")
    assert simulated.returncode == 0, simulated.stderr


@pytest.mark.slow
def test_the_bundled_model_is_served(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [str(installed / "leadwise"), "serve", "--model", "pretrained", "--port", str(port)],
        cwd=tmp_path, env=environment | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if "Uvicorn running" in line:
                break
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": [{"age": 60}]}, timeout=60)
        assert sum(answer.json()["predictions"][0]["probabilities"].values()) > 0
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert not list(tmp_path.glob("leadwise-serve-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "words"),
    [("app", ("app",)), ("formats", ("predict", "a.h5")), ("formats", ("plot", "a.dcm", "-o", "a.png"))],
)
def test_a_command_names_the_extra_that_it_lacks(
    installed: Path, tmp_path: Path, extra: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    told = leadwise(installed, tmp_path, *words)
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert told.stderr.strip().endswith(f"needs leadwise[{extra}]: pip install 'leadwise[{extra}]'"), told.stderr
