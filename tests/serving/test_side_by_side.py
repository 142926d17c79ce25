"""A model that is loaded leaves its host alone: its code, that of another version, and an installed Leadwise."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live_server import SmallModel

import leadwise

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

TESTS = Path(__file__).parents[1]
LOG = """
import sys
from pathlib import Path
from live_server import log_small_model
print(log_small_model(Path(sys.argv[1]), Path(sys.argv[2])).files)
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
first, folders = sys.argv[1], sys.argv[2:]
before = host() if first == "host" else None
models = [model(folder) for folder in folders]
answers = [ask() for ask in models]
after = host()
print(json.dumps([before or after, after, answers, [ask() for ask in models]]))
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
    finished = subprocess.run(
        [sys.executable, "-c", LOG, str(artifacts), str(folder)],
        env=small_model.environment | {"PYTHONPATH": os.pathsep.join([str(source.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(finished.stdout.splitlines()[-1])


@pytest.mark.parametrize("first", ["host", "model"])
def test_two_versions_and_an_installed_leadwise_live_in_one_process(
    small_model: SmallModel, other_version: Path, first: str
) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", USE, first, str(small_model.files), str(other_version), str(small_model.files)],
        env=small_model.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    before, after, answers, again = json.loads(finished.stdout.splitlines()[-1])
    assert before == after
    assert Path(after[0]).name == "__init__.py"
    assert after[2] == "leadwise.serving.client"
    assert [answer["disclaimer"] == "of another version" for answer in answers] == [False, True, False]
    assert again == answers


def test_a_model_needs_no_installed_leadwise(small_model: SmallModel) -> None:
    script = (
        "import json, sys\n"
        "sys.modules['leadwise'] = None\n"
        "import mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "answer = model.predict(pandas.DataFrame([{'age': 61}]))[0]\n"
        "print(json.dumps([answer['probabilities'], sorted(n for n in sys.modules if n.startswith('leadwise.'))]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(small_model.files)],
        env=small_model.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    probabilities, installed = json.loads(finished.stdout.splitlines()[-1])
    assert len(probabilities) == 5
    assert installed == []
