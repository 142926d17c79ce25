"""A tracking store in a SQLite file: made once, whole, as the umask says; deleted experiments and moved folders."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LeadwiseError
from leadwise.parameters import load_parameters
from leadwise.stage import stage_run

pytestmark = pytest.mark.timeout(600)

AT_ONCE = 3
STAGE = """
import sys, time
from pathlib import Path
import mlflow
from leadwise.parameters import load_parameters
from leadwise.stage import stage_run

met, own, parties = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
# Importing takes longer than what is tested.
(met / own).touch()
while len(list(met.iterdir())) < parties:
    time.sleep(0.01)
with stage_run("simulate", load_parameters()):
    mlflow.log_text("content", "file.txt")
"""


def environment(folder: Path, uri: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    given = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return inherited | given | {"PYTHONPATH": str(PROJECT_ROOT / "src")}


def run_at_once(folder: Path, uri: str, parties: int = AT_ONCE, umask: int = -1) -> list[tuple[int, str]]:
    """Stages that begin at the same time; exit status and output of each."""
    met = folder / "met"
    met.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STAGE, str(met), str(number), str(parties)],
            cwd=folder,
            env=environment(folder, uri),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=umask,
        )
        for number in range(parties)
    ]
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    shutil.rmtree(met)
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def test_projects_run_at_once_by_mlflow_itself_make_one_whole_store(tmp_path: Path) -> None:
    """MLflow writes a run before any stage begins: the plugin of the environment makes the store before that."""
    (tmp_path / "MLproject").write_text("name: p\nentry_points:\n  main:\n    command: 'true'\n")
    mlflow_program = str(Path(sys.executable).with_name("mlflow"))
    processes = [
        subprocess.Popen(
            [mlflow_program, "run", ".", "--env-manager", "local"],
            cwd=tmp_path,
            env=environment(tmp_path, "sqlite:///mlflow.db"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)] * 2


def test_mlflow_tells_of_a_failure_that_the_stage_itself_could_not_tell(tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text("name: p\nentry_points:\n  main:\n    command: 'kill -9 $$'\n")
    failed = subprocess.run(
        [Path(sys.executable).with_name("mlflow"), "run", ".", "--env-manager", "local"],
        cwd=tmp_path,
        env=environment(tmp_path, "sqlite:///mlflow.db"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith("failed ===")


def test_first_runs_at_once_make_one_whole_store(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "é.db"
    for status, output in run_at_once(tmp_path, "sqlite:///new folder/é.db?timeout=30"):
        assert status == 0, output
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall() == [
            ("FINISHED", AT_ONCE)
        ]
        assert connection.execute("SELECT name FROM experiments ORDER BY experiment_id").fetchall() == [
            ("Default",),
            ("leadwise",),
        ]
    assert not [path for path in file.parent.iterdir() if path.name.startswith(".")]


def test_what_a_killed_first_run_left_is_no_hindrance_and_the_rights_are_those_of_the_umask(tmp_path: Path) -> None:
    for left in (".mlflow.db.partial-tables", ".mlflow.db.partial-tables-journal"):
        (tmp_path / left).write_text("half")
    ((status, output),) = run_at_once(tmp_path, "sqlite:///mlflow.db", 1, umask=0o077)
    assert status == 0, output
    assert not list(tmp_path.glob(".mlflow*"))
    found = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {"mlflow.db", "file.txt", "config.yaml", "mlruns"} <= {path.name for path in found}
    assert not {path: oct(mode) for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one stage has run. Read only: copy it."""
    folder = tmp_path_factory.mktemp("made") / "it's the first é"
    folder.mkdir()
    ((status, output),) = run_at_once(folder, "sqlite:///mlflow.db", 1)
    assert status == 0, output
    return folder


@pytest.fixture
def in_folder(monkeypatch: pytest.MonkeyPatch) -> "Callable[[Path], mlflow.MlflowClient]":
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)

    def enter(folder: Path) -> mlflow.MlflowClient:
        monkeypatch.chdir(folder)
        address = f"sqlite:///{folder / 'mlflow.db'}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        mlflow.set_tracking_uri(address)
        return mlflow.MlflowClient()

    return enter


def pasted(message: str, program: str) -> None:
    """Run the line of a message that begins with a program, or with variables before it, from another folder."""
    (line,) = [line for line in message.splitlines() if line.startswith("  ") and f"{program} " in line]
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd="/", env=os.environ | {"PATH": search}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run_a_stage() -> mlflow.entities.Run:
    with stage_run("simulate", load_parameters()) as run:
        mlflow.log_text("content", "file.txt")
    return mlflow.get_run(run.info.run_id)


def test_a_deleted_experiment_is_told_with_the_command_that_restores_it(
    made: Path,
    tmp_path: Path,
    in_folder: "Callable[[Path], mlflow.MlflowClient]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "it's mine"
    folder = tmp_path / "it's é"
    shutil.copytree(made, folder)
    client = in_folder(folder)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    identity = client.create_experiment(name, str(folder / "files"))
    client.delete_experiment(identity)
    with pytest.raises(LeadwiseError, match=f"experiment {name} was deleted") as told:
        run_a_stage()
    pasted(str(told.value), "mlflow")
    assert client.get_experiment(identity).lifecycle_stage == "active"


def test_a_folder_that_was_moved_is_told_with_the_way_out(
    made: Path, tmp_path: Path, in_folder: "Callable[[Path], mlflow.MlflowClient]"
) -> None:
    old, new = tmp_path / "old é", tmp_path / "it's new"
    old.mkdir()
    client = in_folder(old)
    ((status, output),) = run_at_once(old, "sqlite:///mlflow.db", 1)
    assert status == 0, output
    old.rename(new)
    client = in_folder(new)
    with pytest.raises(LeadwiseError, match=f"{old} does not exist: was the folder moved") as told:
        run_a_stage()
    assert not old.exists(), "nothing is written where the folder has been"
    assert len(client.search_runs(["1"])) == 1
    pasted(str(told.value), "ln")
    run = run_a_stage()
    assert (new / "mlruns" / "1" / run.info.run_id / "artifacts" / "file.txt").is_file()


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(LeadwiseError, match=r"MLFLOW_TRACKING_URI: sqlite.*file/mlflow\.db: cannot be made"):
        run_a_stage()
