"""What `make` does, read from its dry run."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leadwise.config import PROJECT_ROOT


def make(*arguments: str, cwd: Path = PROJECT_ROOT) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    inherited.pop("ARGS", None)
    return subprocess.run(["make", *arguments], cwd=cwd, env=inherited, capture_output=True, text=True, check=False)


def pipeline_command(*arguments: str) -> list[str]:
    """The `mlflow run` that `make run` would start."""
    lines = make("-n", "run", *arguments).stdout.replace("\\\n", " ").splitlines()
    return shlex.split(next(line for line in lines if " mlflow run " in line))


def given_parameters(command: list[str]) -> dict[str, str]:
    flags = [command[i + 1] for i, word in enumerate(command) if word == "-P"]
    return dict(flag.split("=", 1) for flag in flags)


ASKED = ("DATA=tree", "TUNE=true", "FEATURES=original", "CONFIG=original", "ARGS=-P seed=3 -P epochs-fusion=2")
GIVEN: dict[tuple[str, ...], dict[str, str]] = {
    (): {"configuration": "demo", "with-tuning": "true"},
    ("DATA=/some where/ptbxl",): {
        "source": "/some where/ptbxl", "workspace": "workspace/ptbxl", "with-tuning": "false"
    },
    ASKED: {
        "source": "tree", "workspace": "workspace/ptbxl-original", "configuration": "original",
        "feature-set": "original", "with-tuning": "true", "seed": "3", "epochs-fusion": "2",
    },
}  # fmt: skip


@pytest.mark.parametrize("words", GIVEN)
def test_run_simulates_or_takes_the_tree_and_passes_on_what_is_asked_for(words: tuple[str, ...]) -> None:
    command = pipeline_command(*words)
    assert " ".join(command[1:7]) == "mlflow run . --env-manager local --experiment-name"
    assert given_parameters(command) == GIVEN[words]


def touch(folder: Path) -> None:
    """What the environment is made from, long ago."""
    (folder / "src" / "leadwise").mkdir(parents=True)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "src/leadwise/__init__.py"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))


def test_run_refuses_data_that_are_no_folder(tmp_path: Path) -> None:
    for stamp in ("packages", "leadwise"):
        (tmp_path / ".venv").mkdir(exist_ok=True)
        (tmp_path / ".venv" / f".{stamp}").touch()
    shutil.copy(PROJECT_ROOT / "Makefile", tmp_path)
    touch(tmp_path)
    result = make("run", f"DATA={tmp_path / 'absent'}", cwd=tmp_path)
    assert result.returncode == 2
    assert f"DATA={tmp_path / 'absent'}: not a folder" in result.stderr


def test_an_interpreter_that_is_missing_is_named(tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "Makefile", tmp_path)
    touch(tmp_path)
    result = make("run", "PYTHON=python9.9", cwd=tmp_path)
    assert result.returncode == 2
    assert "python9.9: not found; name a Python 3.11, 3.12 or 3.13" in result.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A checkout in a folder with a space, whose environment was made there, as far as `make` can see."""
    folder = tmp_path / "it is mine é"
    folder.mkdir()
    shutil.copy(PROJECT_ROOT / "Makefile", folder)
    touch(folder)
    subprocess.run([sys.executable, "-m", "venv", "--clear", ".venv"], cwd=folder, check=True)
    for stamp in ("packages", "leadwise", "dev"):
        (folder / ".venv" / f".{stamp}").touch()
    return folder


def rebuilds(folder: Path) -> bool:
    return "-m venv --clear .venv" in make("-n", "env", cwd=folder).stdout


def test_an_environment_is_kept_where_it_was_made_and_made_anew_where_it_was_not(environment: Path) -> None:
    assert not rebuilds(environment)
    copy = environment.with_name("copy")
    shutil.copytree(environment, copy, symlinks=True)
    assert rebuilds(copy)
    assert "it is made anew" in make("-n", "test", cwd=copy).stdout
    moved = environment.rename(environment.with_name("moved"))
    assert rebuilds(moved)
    assert not rebuilds(moved.rename(environment)), "it is where it was made again"
    link = environment.with_name("link")
    link.symlink_to(environment)
    assert not rebuilds(link), "another way to the same folder"
    # One whose Python is gone.
    python = environment / ".venv" / "bin" / "python"
    was = python.readlink()
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert rebuilds(environment)
    python.unlink()
    python.symlink_to(was)
    assert not rebuilds(environment)
    # As after an upgrade of the system's Python: it runs, and finds none of the packages.
    packages = next((environment / ".venv" / "lib").glob("python3*"))
    packages.rename(packages.with_name("python3.0"))
    assert rebuilds(environment)
