"""A model that is loaded: it unpickles nothing, imports everything at once, and leaves its host alone."""

import json
import os
import pickle  # noqa: TID251
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from live_server import SmallModel
from pickles import pickles_in

import leadwise
from leadwise.config import PROJECT_ROOT

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

HERE = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}


def told_by(program: str, *arguments: object, environment: Mapping[str, str] = HERE) -> Any:
    """What a program says in its last line, in JSON; it is run in a fresh process."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
scorer = Scorer.load(Path(sys.argv[1]))
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
model = mlflow.pyfunc.load_model(sys.argv[1])
before = set(sys.modules)
for table in tables:
    for params in ({}, {"explain": ["MI"]}, {"as_json": True}):
        model.predict(table, params=params)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_first_requests_import_nothing(package_folder: Path) -> None:
    """Whatever is imported for the first time in a thread may meet another thread that imports, and break."""
    assert told_by(REQUESTS + SERVER, package_folder) == []


def test_the_first_requests_of_a_registered_model_import_nothing(small_model: SmallModel) -> None:
    """As a worker of Spark loads it."""
    assert told_by(REQUESTS + PYFUNC, small_model.files) == []


FORKED = """
import os
import signal
from pathlib import Path

import pandas as pd

from leadwise.serving.api import respond
from leadwise.serving.scorer import Scorer

scorer = Scorer.load(Path(sys.argv[1]))


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
    assert set(told_by(f"{REQUESTS}{FORKED}\n{how}\nprint(json.dumps(found))", package_folder)) == {True}


LOAD = """
import json, sys
seen = []
sys.addaudithook(lambda event, told: seen.append([event, *map(str, told)]) if event.startswith("pickle.") else None)
import mlflow
del seen[:]
failed = []
for folder in sys.argv[1:]:
    try:
        mlflow.pyfunc.load_model(folder)
    except Exception as error:
        failed.append(folder)
print(json.dumps([seen, failed]))
"""


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.file), "w"))


def test_the_search_for_pickles_finds_them_under_any_name(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / f"{protocol}.json").write_bytes(pickle.dumps(Bomb(tmp_path / "x"), protocol=protocol))
    with zipfile.ZipFile(tmp_path / "weights.onnx", "w") as archive:
        archive.write(tmp_path / "4.json", "data")
    (tmp_path / "innocent.txt").write_text("c0. A sentence.\n", encoding="utf-8")
    assert pickles_in(tmp_path) == [*(f"{protocol}.json" for protocol in range(6)), "weights.onnx"]


def test_planted_pickles_are_not_opened_on_load(small_model: SmallModel, tmp_path: Path) -> None:
    assert pickles_in(small_model.files) == []
    exploded = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(exploded))
    beside = ["python_model.pkl", "artifacts/fusion.pkl", "code/scorer.pickle", "registered_model_meta"]
    instead = ["artifacts/fusion.onnx", "artifacts/metadata.onnx", "artifacts/model.json"]
    folders = []
    for number, names in enumerate([[], beside, *([name] for name in instead)]):
        folder = tmp_path / str(number)
        shutil.copytree(small_model.files, folder)
        for name in names:
            (folder / name).write_bytes(bomb)
        assert pickles_in(folder) == sorted(names)
        folders.append(str(folder))
    seen, failed = told_by(LOAD, *folders, environment=small_model.environment)
    assert seen == []
    assert failed == folders[2:]
    assert not exploded.exists()
    pickle.loads(bomb).close()
    assert exploded.exists()


TESTS = Path(__file__).parents[1]
LOG = """
import json, sys
from pathlib import Path
from live_server import log_small_model
print(json.dumps(str(log_small_model(Path(sys.argv[1]), Path(sys.argv[2]), versions=1).files)))
"""
USE = """
import json, sys
def host():
    import leadwise, leadwise.datasets.synthetic
    from leadwise.serving.client import Client
    from leadwise.ecg.formats.read import read_ecg
    return [leadwise.__file__, leadwise.__version__, Client.__module__]
def model(folder):
    import mlflow, pandas
    found = mlflow.pyfunc.load_model(folder)
    return lambda: found.predict(pandas.DataFrame([{"age": 61}]))[0]
folders = sys.argv[1:]
before = host()
models = [model(folder) for folder in folders]
answers = [ask() for ask in models]
after = host()
print(json.dumps([before, after, answers, [ask() for ask in models]]))
"""


@pytest.fixture(scope="module")
def other_version(tmp_path_factory: pytest.TempPathFactory, small_model: SmallModel) -> Path:
    """A model that was logged by another Leadwise, which says something else with each answer."""
    folder = tmp_path_factory.mktemp("other")
    source = shutil.copytree(
        Path(leadwise.__file__).parent, folder / "src" / "leadwise", ignore=shutil.ignore_patterns("__pycache__")
    )
    contract = source / "contract.py"
    contract.write_text(contract.read_text(encoding="utf-8") + '\nDISCLAIMER = "of another version"\n')
    artifacts = next(small_model.files.rglob("model.json")).parent
    environment = small_model.environment | {"PYTHONPATH": os.pathsep.join([str(source.parent), str(TESTS)])}
    return Path(told_by(LOG, artifacts, folder, environment=environment))


def test_two_versions_and_an_installed_leadwise_live_in_one_process(
    small_model: SmallModel, other_version: Path
) -> None:
    models = (small_model.files, other_version, small_model.files)
    before, after, answers, again = told_by(USE, *models, environment=small_model.environment)
    assert before == after
    assert Path(after[0]).name == "__init__.py"
    assert after[2] == "leadwise.serving.client"
    assert [answer["disclaimer"] == "of another version" for answer in answers] == [False, True, False]
    assert again == answers
