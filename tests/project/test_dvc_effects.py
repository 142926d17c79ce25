"""What DVC does with the stages of dvc.yaml, each replaced by a script of a few lines that says that it ran."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from mlflow import MlflowClient

from leadwise.config import PROJECT_ROOT

pytestmark = [pytest.mark.slow]

STAGES = ["simulate", "ingest", "tune", "train", "evaluate", "register"]
WRITES = {
    "simulate": ["data/simulated/tree.csv"],
    "ingest": ["workspace/simulated/store/manifest.json"],
    "train": ["workspace/simulated/models/clinical/training.json"],
    "evaluate": ["workspace/simulated/evaluation/clinical/summary.json"],
    "register": [f"workspace/simulated/{name}.json" for name in ("package/model", "registered", "request", "gate")]
    + ["workspace/simulated/gate.md"],
}
SCRIPT = """\
from pathlib import Path

from leadwise.parameters import load_parameters

parameters = load_parameters(entry_point="main")
for name in {files}:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(str(parameters.flat("{stage}")))
with Path("{register}").open("a") as register:
    register.write("{stage}\\n")
"""
WITH_A_RUN = """\
import time

from leadwise.stage import run_stage

if __name__ == "__main__":
    run_stage("register", lambda parameters: time.sleep({seconds}))
"""


class Project:
    """A copy of the project, of whose code only the configuration and the stage's run matter."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.register = folder, folder.parent / "ran.txt"
        for name in ("dvc.yaml", ".dvcignore", ".dvc/config", ".gitignore", "pipelines", "src"):
            source = PROJECT_ROOT / name
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
            else:
                shutil.copy(source, folder / name)
        for stage, files in WRITES.items():
            script = SCRIPT.format(files=files, stage=stage, register=self.register)
            (folder / "pipelines" / f"{stage}.py").write_text(script)
        self.commit()

    def commit(self) -> None:
        """What stands there, in git."""
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message=Project"),
        ):
            subprocess.run(["git", *arguments], cwd=self.folder, check=True)

    def dvc(self, *arguments: str, **environment: str) -> str:
        """Run DVC; what it says."""
        command = [sys.executable, "-m", "dvc", *arguments]
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment() | environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def environment(self) -> dict[str, str]:
        """Of a user who has named no store."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        inherited |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        inherited |= {"GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@localhost"}
        return inherited | {"GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@localhost"}

    def repro(self) -> list[str]:
        """The stages that ran, but for `tune`, which has no script here."""
        self.register.write_text("")
        self.dvc("repro")
        return self.register.read_text().split()

    def changed(self) -> set[str]:
        """The stages that the next `dvc repro` would run because of their own inputs."""
        with Repo(str(self.folder)) as repo:
            # Named by the way to their file from here, and a colon.
            return {stage.rpartition(":")[2] for stage in repo.status()}

    def set(self, file: str, **sections: dict[str, object]) -> None:
        """Change values of a file of parameters."""
        path = self.folder / "pipelines" / file
        content = yaml.safe_load(path.read_text())
        for section, values in sections.items():
            content.setdefault(section, {}).update(values)
        path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


RAN = [stage for stage in STAGES if stage != "tune"]


def test_a_change_of_the_named_configuration_is_noticed(project: Project) -> None:
    assert sorted(project.repro()) == sorted(RAN)
    assert project.changed() == set()
    project.set("configurations/original.yaml", train={"amplitude-scale": 0.01})
    assert project.changed() == set(), "that configuration is not the one in use"
    project.set("params.yaml", shared={"configuration": "demo"})
    assert project.changed() == set(STAGES)
    assert sorted(project.repro()) == sorted(RAN)
    assert project.repro() == []
    project.set("configurations/demo.yaml", train={"epochs-fusion": 3})
    assert {"train", "tune", "evaluate", "register"} <= project.changed()
    assert project.repro()[-3:] == ["train", "evaluate", "register"]
    project.set("params.yaml", evaluate={"bootstrap": 777})
    assert project.changed() == {"evaluate"}
    config = project.folder / "src" / "leadwise" / "config.py"
    text = config.read_text().replace("trials: Count = 40", "trials: Count = 41")
    config.write_text(text.replace("trials per model", "trials of each model"))
    assert project.changed() == {"evaluate", "tune"}, "a default counts, what is said of it does not"


def test_a_version_is_registered_and_never_restored(project: Project) -> None:
    registered = project.folder / "workspace" / "simulated" / "registered.json"
    project.repro()
    parameters = project.folder / "pipelines" / "params.yaml"
    before = parameters.read_text()
    project.set("params.yaml", gate={"memory-mib": 500})
    assert project.repro() == ["register"]
    assert "500.0" in registered.read_text()
    parameters.write_text(before)
    assert project.repro() == ["register"], "DVC has seen this run before"
    registered.unlink()
    project.dvc("checkout", "--force", "--allow-missing")
    assert not registered.exists(), "DVC restored it"
    assert project.repro() == ["register"]


def test_an_experiment_in_a_copy_logs_to_the_store_of_the_project(project: Project) -> None:
    script = project.folder / "pipelines" / "register.py"
    script.write_text(script.read_text() + WITH_A_RUN.format(seconds=0))
    project.commit()
    project.dvc("exp", "run", "--temp", MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    client = MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("leadwise")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.tags["stage"]) == ("FINISHED", "register")
    assert str(run.info.artifact_uri).startswith((project.folder / "mlruns").as_uri())
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["config.yaml"]
