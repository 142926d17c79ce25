"""A checkout of its own for every test that runs the project: the working tree as it stands, committed to git."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from outward import outward

from leadwise import SETTINGS
from leadwise.config import PROJECT_ROOT, section_fields


class Checkout:
    """A clean copy of the project and the means to run commands in it.

    Attributes:
        attempts: to reach another machine, of all commands; ``None``: they are not watched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempts: list[str] | None = None
        self.tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"

    def run(self, *command: str, tracking_uri: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment in the checkout; standard output and error in one text."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "PYTEST_")) and name not in SETTINGS
        }
        environment = inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": tracking_uri or self.tracking_uri,
        }
        environment.pop("PYTHONPATH", None)
        if self.attempts is not None:
            found = outward(command, environment, self.folder, timeout_s=1800)
            self.attempts.extend(found.attempts)
            return subprocess.CompletedProcess(command, found.status, found.said)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def mlflow_run(self, entry_point: str, tracking_uri: str | None = None, **parameters: object) -> tuple[int, str]:
        """`mlflow run` of one entry point; exit status and output."""
        given = [word for name, value in parameters.items() for word in ("-P", f"{name.replace('_', '-')}={value}")]
        # Without a name, which is the experiment of the project then.
        command = ("mlflow", "run", ".", "-e", entry_point, "--env-manager", "local")
        result = self.run(*command, *given, tracking_uri=tracking_uri)
        return result.returncode, result.stdout

    def set_parameters(self, **values: object) -> None:
        """Set parameters in this checkout's params.yaml."""
        file, known = self.folder / "pipelines" / "params.yaml", section_fields("main")
        sections = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, value in ((name.replace("_", "-"), value) for name, value in values.items()):
            sections[known[name][0]][name] = value
        file.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Checkout]]:
    """Makes checkouts of the working tree; removed afterwards, for they hold data and models."""
    made = []

    def make() -> Checkout:
        folder = tmp_path_factory.mktemp("checkout") / "leadwise"
        made.append(folder)
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT_ROOT / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT_ROOT / name, folder / name)
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message=Working tree"),
        ):
            subprocess.run(["git", *arguments], cwd=folder, check=True)
        return Checkout(folder)

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def checkout(new_checkout: Callable[[], Checkout]) -> Checkout:
    return new_checkout()
