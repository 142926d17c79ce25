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
    finished = subprocess.run(
        [sys.executable, "-c", LOG, str(artifacts), str(folder)],
        env=small_model.environment | {"PYTHONPATH": os.pathsep.join([str(source.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(finished.stdout.splitlines()[-1])


def test_two_versions_and_an_installed_leadwise_live_in_one_process(
    small_model: SmallModel, other_version: Path
) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", USE, str(small_model.files), str(other_version), str(small_model.files)],
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
