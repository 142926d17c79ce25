"""A wheel of the project holds every file of the package, and they are read from where it was unpacked."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from leadwise.config import PROJECT_ROOT

READ = """
import leadwise
from leadwise.datasets.checks.expectations import SUITES, read_suite, suite_values
from leadwise.ecg.reversal import shipped_model
for name in SUITES:
    print(name, len(read_suite(name, suite_values("1.0.3", {}, 0.1)).checks))
assert shipped_model()
print(leadwise.__file__)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = wheel.WheelBuilder(str(PROJECT_ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_every_file_of_the_package_is_in_it(unpacked: Path) -> None:
    def files(package: Path) -> set[str]:
        paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(package).as_posix() for path in paths}

    assert files(unpacked / "leadwise") == files(PROJECT_ROOT / "src" / "leadwise")


def test_the_files_beside_the_code_are_read_from_it(unpacked: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", READ]
    shown = subprocess.run(command, env=environment, cwd=unpacked, capture_output=True, text=True, check=True).stdout
    *suites, where = shown.splitlines()
    assert Path(where).is_relative_to(unpacked)
    assert len(suites) == 6
    assert all(int(line.split()[1]) > 0 for line in suites)
