"""What the first request finds: everything imported with the model, in a fork of the process as well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from live_server import SmallModel

from leadwise.config import PROJECT_ROOT

REQUESTS = """
import base64, io, json, sys, threading
import numpy as np

rng = np.random.default_rng(1)
ecg = np.cumsum(rng.normal(size=(5000, 12)), axis=0) / 50
RATES = (50, 100, 125, 250, 257.5, 400, 500, 1000, 2000)
rows = [{"signal": ecg[: int(fs_hz * 2.5)].tolist(), "fs_hz": fs_hz} for fs_hz in RATES]
rows.append({"age": 60.0, "sex": "female"})
rows.append({"signal": base64.b64encode((ecg[:1000] * 1000).astype("<i2").tobytes()).decode(), "dtype": "int16",
             "shape": [1000, 12], "units": "uV", "fs_hz": 100.0})
swapped = ecg[:1000].copy()
swapped[:, [0, 1]] = swapped[:, [1, 0]]
swapped[3:9, 4] = np.nan
rows.append({"signal": swapped.tolist(), "fs_hz": 100.0, "age": 60.0})
rows.append({"signal": np.zeros((1000, 12)).tolist(), "fs_hz": 100.0})
rows.append({"signal": "?", "fs_hz": 0})
rows.append({"signal": rng.normal(size=(4000, 12)).tolist(), "fs_hz": 100.0})


"""

SERVER = """
import pandas as pd
from pathlib import Path
from leadwise.serving.api import respond
from leadwise.serving.scorer import Scorer

JSON = "application/json"
bodies = [(json.dumps({"inputs": rows}), JSON), (json.dumps({"instances": rows[:1]}), JSON),
          (json.dumps({"dataframe_records": rows, "params": {"all_findings": True}}), JSON),
          (json.dumps({"dataframe_split": {"columns": ["age"], "data": [[60]]}}), JSON),
          (json.dumps({"inputs": rows[:1], "params": {"explain": ["MI"]}}), JSON),
          ("{", JSON), ("[]", JSON), ("{}", "text/csv")]
scorer = Scorer.load(Path(FOLDER))
before = set(sys.modules)
for body, kind in bodies:
    respond(scorer, body.encode(), kind)
for explain in ((), ("MI", "CD")):
    scorer.score(rows, policy="youden", explain=explain)
print(json.dumps(sorted(set(sys.modules) - before)))
"""

PYFUNC = """
import pandas as pd
import mlflow

tables = [pd.DataFrame([row]) for row in rows]
model = mlflow.pyfunc.load_model(FOLDER)
before = set(sys.modules)
for table in tables:
    for params in ({}, {"explain": ["MI"]}, {"as_json": True}):
        model.predict(table, params=params)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def printed(code: str, folder: Path) -> list[str]:
    """What a fresh process imports for its first requests, after its model is loaded."""
    program = f"FOLDER = {str(folder)!r}\n{REQUESTS}\n{code}"
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert told.returncode == 0, told.stderr
    found: list[str] = json.loads(told.stdout.splitlines()[-1])
    return found


def test_the_first_requests_import_nothing(package_folder: Path) -> None:
    """Whatever is imported for the first time in a thread may meet another thread that imports, and break."""
    found = printed(SERVER, package_folder)
    assert not found, found


def test_the_first_requests_of_a_registered_model_import_nothing(small_model: SmallModel) -> None:
    """As a worker of Spark loads it."""
    found = printed(PYFUNC, small_model.files)
    assert not found, found


FORKED = """
import os
import signal
from pathlib import Path

import pandas as pd

from leadwise.serving.api import respond
from leadwise.serving.scorer import Scorer

scorer = Scorer.load(Path(FOLDER))


def answers():
    return [scorer.score([row]) for row in rows] + [respond(scorer, b"{}", "application/json")]


def children(depth, expected):
    # Fork, answer, and fork again; the exit status tells whether all answered alike.
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    # One that hangs does not outlive the test.
    signal.alarm(60)
    alike = answers() == expected and (depth == 0 or children(depth - 1, expected))
    os._exit(0 if alike else 1)
"""

HOW_TO_FORK = {
    "from the main thread": "found = [children(1, answers())]",
    "while other threads answer": """
expected, busy = answers(), True


def work():
    while busy:
        answers()


threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
found = [children(0, expected) for _ in range(5)]
busy = False
for thread in threads:
    thread.join()
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", HOW_TO_FORK.values(), ids=HOW_TO_FORK.keys())
def test_a_process_forked_off_one_that_has_answered_answers_too(package_folder: Path, how: str) -> None:
    """As gunicorn's workers with preload are, and those of multiprocessing on Linux."""
    code = f"{FORKED}\n{how}\nprint(json.dumps([str(one) for one in found]))"
    assert set(printed(code, package_folder)) == {"True"}
