"""conda.yaml, deploy/ and pages of docs/ say what lock, configuration and suites say."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from leadwise.config import PROJECT_ROOT

GENERATED = (
    *("conda.yaml", "docs/parameters.md", "docs/validation.md"),
    *("deploy/Dockerfile", "deploy/scorer.in", "deploy/tracking.in", "deploy/page.in"),
)


def pins(lock: Path) -> set[Requirement]:
    """What a requirements file asks for, read by pip's rules: continued lines joined, hashes dropped."""
    lines = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return {Requirement(line.split(" --hash")[0]) for line in lines if line.strip()}


@pytest.fixture
def project_copy(tmp_path: Path) -> Path:
    """The parts of the project that the generator reads and writes."""
    for name in ("src", "scripts", "pipelines", "docs", "deploy"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "conda.yaml", "pyproject.toml"):
        shutil.copy(PROJECT_ROOT / name, tmp_path / name)
    return tmp_path


def generate(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/project_files.py", *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_generated_files_are_up_to_date() -> None:
    result = generate(PROJECT_ROOT, "--check")
    assert result.returncode == 0, result.stderr


def test_files_that_were_changed_by_hand_are_named_and_repaired_and_a_new_pin_reaches_conda_yaml(
    project_copy: Path,
) -> None:
    before = {name: (project_copy / name).read_text(encoding="utf-8") for name in GENERATED}
    for name, content in before.items():
        (project_copy / name).write_text(content.replace("a", "b", 1), encoding="utf-8")
    lock = project_copy / "requirements.lock"
    pin = "zzz==1.2.3 ; sys_platform == 'linux'"
    lock.write_text(f"{lock.read_text(encoding='utf-8')}{pin} \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    result = generate(project_copy, "--check")
    assert result.returncode == 1
    assert all(name in result.stderr for name in GENERATED)
    assert generate(project_copy).returncode == 0
    after = {name: (project_copy / name).read_text(encoding="utf-8") for name in GENERATED}
    assert yaml.safe_load(after.pop("conda.yaml"))["dependencies"][-1]["pip"][-1] == pin
    assert after.items() <= before.items()


def test_conda_yaml_pins_a_supported_python_to_the_patch() -> None:
    python = yaml.safe_load((PROJECT_ROOT / "conda.yaml").read_text())["dependencies"][0]
    version = python.removeprefix("python=")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert version in SpecifierSet(project["requires-python"])


def test_tests_run_with_the_versions_that_users_run() -> None:
    assert pins(PROJECT_ROOT / "requirements.lock") <= pins(PROJECT_ROOT / "requirements-dev.lock")


def test_the_lock_satisfies_pyproject() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    locked: dict[str, list[str]] = {}
    for pin in pins(PROJECT_ROOT / "requirements.lock"):
        locked.setdefault(pin.name, []).append(next(iter(pin.specifier)).version)
    extras = (project["optional-dependencies"][name] for name in ("train", "app", "formats"))
    for requirement in map(Requirement, itertools.chain(project["dependencies"], *extras)):
        assert requirement.name in locked, f"{requirement}: not locked; run `make lock`"
        assert all(version in requirement.specifier for version in locked[requirement.name]), requirement


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_carry_hashes_and_name_no_host(lock: str) -> None:
    content = (PROJECT_ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in content
    assert "--index-url" not in content
    assert all("--hash=sha256:" in line for line in content.replace("\\\n", " ").splitlines() if line.strip())
