"""No path that the README names reaches beyond this machine, in its first half minute either.

Each runs in a network namespace of its own (``outward``), all side by side, with an empty home folder and none of the
variables that would quieten a library: what is quiet is so because Leadwise says so.
"""

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from live_server import SmallModel, log_small_model
from outward import Watched, cannot_watch, outward

from leadwise.config import PROJECT_ROOT
from leadwise.datasets.synthetic import simulate_record
from leadwise.registry.load import BUNDLED

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("nothing leaves")]

WATCHED_S = 31
"""ONNX Runtime calls home some ten seconds after its import."""

SERVED = """
import json, socket, subprocess, sys, time, urllib.request
body, seconds, *command = sys.argv[1:]
server = subprocess.Popen(command)
while True:
    assert server.poll() is None, "the server has ended"
    try:
        urllib.request.urlopen("http://127.0.0.1:5001/ping", timeout=60)
        break
    except OSError:
        time.sleep(0.3)
request = urllib.request.Request("http://127.0.0.1:5001/invocations", open(body, "rb").read(),
                                 {"Content-Type": "application/json"})
answer = json.load(urllib.request.urlopen(request, timeout=60))
assert answer["predictions"][0]["probabilities"]
time.sleep(float(seconds))
server.terminate()
server.wait()
"""

PAGE = """
import os, socket, subprocess, sys, time, urllib.request
import leadwise.app
from leadwise.app.settings import to_environment
from leadwise.config import App
begun = time.monotonic()
model, seconds, *command = sys.argv[1:]
server = subprocess.Popen([*command, "--model", model, "--port", "8501", "--address", "127.0.0.1"])
while True:
    assert server.poll() is None, "the page has ended"
    try:
        urllib.request.urlopen("http://127.0.0.1:8501/_stcore/health", timeout=60)
        break
    except OSError:
        time.sleep(0.3)


def opened(origin, host="127.0.0.1:8501"):
    client = socket.create_connection(("127.0.0.1", 8501), timeout=60)
    lines = ["GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version: 13"]
    lines += [f"Origin: {origin}"] if origin else []
    client.sendall("\\r\\n".join([*lines, "", ""]).encode())
    status = int(client.recv(4096).split()[1])
    client.close()
    return status


for origin in ("http://127.0.0.1:8501", "http://localhost:3000", None):
    assert opened(origin) == 101, origin
assert opened("https://ecg.example", "ecg.example") == 101
for origin in ("http://elsewhere.example", "https://127.0.0.1.elsewhere.example:8501", "null", "http://[", "http://8.8.8.8"):
    assert opened(origin) == 403, origin
os.environ.update(to_environment(App(model=model)))
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(os.path.join(os.path.dirname(leadwise.app.__file__), "page.py"), default_timeout=120).run()
assert not page.exception
time.sleep(max(0, float(seconds) - (time.monotonic() - begun)))
server.terminate()
server.wait()
"""

OWN_PROCESS = """
import json, sys, time
import pandas as pd
import mlflow
begun = time.monotonic()
model, body, seconds = sys.argv[1:]
rows = pd.DataFrame(json.load(open(body))["inputs"])
(answer,) = mlflow.pyfunc.load_model(model).predict(rows)
assert answer["probabilities"]
time.sleep(max(0, float(seconds) - (time.monotonic() - begun)))
"""

REACHES_OUT = """
import socket
for kind, receiver in ((socket.SOCK_STREAM, ("203.0.113.9", 443)), (socket.SOCK_DGRAM, ("203.0.113.8", 9))):
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(0.5)
        try:
            client.connect(receiver)
            client.send(b"x")
        except OSError:
            pass
try:
    socket.getaddrinfo("collector.example", 443)
except OSError:
    pass
"""


@pytest.fixture(scope="module")
def watch() -> None:
    if reason := cannot_watch():
        pytest.skip(reason)


def quiet_by_itself(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with nothing in it that a user would not have."""
    (home / "tmp").mkdir(parents=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8"} | dict(extra or {})


def without_leadwise(folder: Path) -> Path:
    """The packages of this environment in another place, but for Leadwise."""
    (packages,) = {Path(place) for place in sys.path if Path(place).name == "site-packages"}
    folder.mkdir()
    for entry in packages.iterdir():
        if not entry.name.startswith(("leadwise", "_editable_impl_leadwise", "__pycache__")):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    return log_small_model(BUNDLED, tmp_path_factory.mktemp("quiet"))


@pytest.fixture(scope="module")
def seen(
    watch: None, small: SmallModel, simulated_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Watched, Path]]:
    """Of each path, what was tried, and the home folder that it had."""
    folder = tmp_path_factory.mktemp("watched")
    body, seconds = folder / "request.json", str(WATCHED_S)
    signal_mv = np.tile(simulate_record("MI", 2).signal_mv, (3, 1))
    body.write_text(json.dumps({"inputs": [{"signal": signal_mv.tolist(), "fs_hz": 250.0, "age": 60}]}))
    recordings = folder / "recordings"
    recordings.mkdir()
    lines = "\n".join(",".join(f"{value:.3f}" for value in row) for row in signal_mv)
    (recordings / "one.csv").write_text(f"I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6\n{lines}\n")
    hints = ("--fs-hz", "250", "--units", "mV")
    registry = {"MLFLOW_TRACKING_URI": small.tracking, "MLFLOW_REGISTRY_URI": small.tracking}
    python = sys.executable
    run = ("mlflow", "run", str(PROJECT_ROOT), "--env-manager", "local", "-e")
    score = (f"input={recordings}", f"output={folder / 'answers.parquet'}", "model=pretrained", "fs-hz=250", "units=mV")
    ingest = (f"source={simulated_tree}", f"workspace={folder / 'workspace'}")
    stages = " && ".join(
        " ".join((*run, stage, *(f"-P {one}" for one in values)))
        for stage, values in (("score", score), ("ingest", ingest))
    )
    bare = ("env", f"PYTHONPATH={without_leadwise(folder / 'packages')}", python, "-S")
    served = (python, "-c", SERVED, str(body), seconds)
    page = (python, "-c", PAGE, "pretrained", seconds)
    paths = {
        "predict": (
            "leadwise",
            "predict",
            str(recordings / "one.csv"),
            *hints,
            "--model",
            "pretrained",
            "--explain",
            "MI",
        ),
        "leadwise serve": (*served, "leadwise", "serve", "--model", small.uri),
        "mlflow models serve": (
            *served,
            "mlflow",
            "models",
            "serve",
            "--env-manager",
            "local",
            "--port",
            "5001",
            "-m",
            small.uri,
        ),
        "mlflow run": ("bash", "-c", stages),
        "leadwise app": (*page, "leadwise", "app"),
        "pyfunc": (python, "-c", OWN_PROCESS, small.uri, str(body), seconds),
        "pyfunc, Leadwise not installed": (*bare, "-c", OWN_PROCESS, small.uri, str(body), seconds),
    }

    def watched(name: str) -> tuple[Watched, Path]:
        home = folder / name.replace(" ", "-")
        environment = quiet_by_itself(home, {"STREAMLIT_SERVER_HEADLESS": "true"} | registry)
        return outward(paths[name], environment, home), home

    with ThreadPoolExecutor(len(paths)) as together:
        return dict(zip(paths, together.map(watched, paths), strict=True))


PATHS = (
    "predict", "leadwise serve", "mlflow models serve", "mlflow run", "leadwise app", "pyfunc",
    "pyfunc, Leadwise not installed",
)  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_nothing_leaves_this_machine(seen: Mapping[str, tuple[Watched, Path]], name: str) -> None:
    watched, _ = seen[name]
    assert watched.status == 0, watched.said[-3000:]
    assert watched.attempts == ()


@pytest.mark.parametrize("name", PATHS[:-1])
def test_no_identifier_stays_behind(seen: Mapping[str, tuple[Watched, Path]], name: str) -> None:
    """What a library would be known by the next time; where Leadwise is not installed, MLflow is there before it."""
    _, home = seen[name]
    left = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    assert [name for name in left if "telemetry" in name or "onnxruntime" in name or "device" in name.lower()] == []


def test_the_watch_sees_connections_datagrams_and_questions(watch: None, tmp_path: Path) -> None:
    found = outward([sys.executable, "-c", REACHES_OUT], quiet_by_itself(tmp_path / "home"), tmp_path)
    assert set(found.attempts) == {
        "TCP 203.0.113.9 port 443",
        "UDP 203.0.113.8 port 9",
        "UDP 192.0.2.53 port 53 collector.example",
    }
