"""A disk that is full, or that may not be written, ends whatever runs with one line that names the file."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leadwise.atomic import file_lock, folder_written_atomically, write_atomically
from leadwise.cli import main
from leadwise.config import PROJECT_ROOT
from leadwise.stage import run_stage

FULL, READ_ONLY = os.strerror(errno.ENOSPC), os.strerror(errno.EROFS)
MUCH = 1_000_000
FREE = r"; [\d,.]+ MB are free there now"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "size=64k"):
        yield disk


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "ro"):
        yield disk


@contextmanager
def mounted(disk: Path, options: str) -> Iterator[None]:
    if shutil.which("mount") is None or mount("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)):
        pytest.skip("no disk can be mounted here: it takes root, and a sandbox may forbid it")
    try:
        yield
    finally:
        mount("umount", "-l", str(disk))


def mount(*command: str) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def in_sqlite(file: Path) -> None:
    connection = sqlite3.connect(file)
    try:
        connection.execute("create table t (a)")
        connection.execute("insert into t values (zeroblob(?))", (MUCH,))
        connection.commit()
    finally:
        connection.close()


def in_hdf5(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        opened["a"] = np.random.default_rng(0).random(MUCH)


def in_numpy(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.zeros(MUCH))


def in_pyarrow(file: Path) -> None:
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(MUCH)}), file)


def by_copying(file: Path) -> None:
    source = file.parents[2] / "source"
    source.write_bytes(bytes(MUCH))
    shutil.copy2(source, file)


def followed_by_another_error(file: Path) -> None:
    try:
        file.write_bytes(bytes(MUCH))
    finally:
        raise ValueError("cannot be closed")


WRITERS = [in_hdf5, in_numpy, in_pyarrow, by_copying, followed_by_another_error]


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["pipelines/train.py"])
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.mark.parametrize("write", WRITERS)
def test_a_stage_names_what_did_not_fit_whatever_wrote_it(
    write: Callable[[Path], None], small_disk: Path, tracking: str
) -> None:
    def work(parameters: object) -> None:
        with folder_written_atomically(small_disk / "result") as beside:
            write(beside / "file")

    with pytest.raises(
        SystemExit,
        match=rf"^leadwise train: error: {small_disk}/result\S*: ({FULL}|\d+ requested and \d+ written){FREE}$",
    ):
        run_stage("train", work)
    assert not (small_disk / "result").exists()
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    "write",
    [
        lambda disk: write_atomically(disk / "file", "x"),
        lambda disk: write_atomically(disk / "folder" / "file", "x"),
        lambda disk: folder_written_atomically(disk / "file").__enter__(),
        lambda disk: file_lock(disk / "file").__enter__(),
        lambda disk: (disk / "file").write_text("x"),
    ],
)
def test_a_stage_names_what_may_not_be_written(
    write: Callable[[Path], None], read_only_disk: Path, tracking: str
) -> None:
    with pytest.raises(SystemExit, match=rf"^leadwise train: error: {read_only_disk}/(file|folder): {READ_ONLY}$"):
        run_stage("train", lambda parameters: write(read_only_disk))


def test_a_full_data_base_of_the_tracking_is_named(
    small_disk: Path, tracking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{small_disk / 'mlflow.db'}")
    with pytest.raises(SystemExit, match=rf"^leadwise train: error: {small_disk}/mlflow.db: database or disk is full;"):
        run_stage("train", lambda parameters: None)


def test_a_read_only_data_base_is_an_error_in_one_line(read_only_disk: Path, tracking: str) -> None:
    with pytest.raises(SystemExit, match=r"^leadwise train: error: .*: unable to open database file$"):
        run_stage("train", lambda parameters: in_sqlite(read_only_disk / "studies.db"))


def test_a_defect_keeps_its_traceback(tracking: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_stage("train", lambda parameters: (tmp_path / "not-there").read_text())


def test_a_workspace_that_is_a_file_is_named(tracking: str, tmp_path: Path) -> None:
    (tmp_path / "workspace").touch()
    with pytest.raises(SystemExit, match=rf"error: {tmp_path}/workspace(/models)?: (Not a directory|File exists)$"):
        run_stage("train", lambda parameters: write_atomically(tmp_path / "workspace" / "models" / "file", "x"))


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    given = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    return subprocess.run(
        [sys.executable, *map(str, command)], env=inherited | given, capture_output=True, text=True, check=False
    )


def test_the_command_names_a_disk_that_refuses(read_only_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(read_only_disk / "tree"), "--patients", "100", "--seed", "3"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert READ_ONLY in said


def test_output_to_a_full_disk_is_an_error(tmp_path: Path) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full")
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
    command = [sys.executable, "-m", "leadwise.cli", "simulate", str(tmp_path / "tree"), "--patients", "100"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"leadwise: error: standard output: {FULL}\n")
