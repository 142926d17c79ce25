"""A stage that is stopped, by whom and however: its runs are ended with the reason, and nothing goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from leadwise.config import PROJECT_ROOT
from leadwise.tracking_store import make_tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = ["--model", "metadata", "--epochs-metadata", "100000", "--patience-metadata", "100000"]
LONG_TRIALS = ["--model", "metadata", "--epochs-metadata", "100000", "--tune-epochs", "100000", "--tune-share", "0.1"]
OF_A_PROJECT = [word for pair in zip(LONG[::2], LONG[1::2], strict=True) for word in ("-P", f"{pair[0][2:]}={pair[1]}")]
ORPHANED = "stopped: the program that started it has ended"


class Place:
    """A workspace with an ingested store, a tracking store, and what is started in them."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.workspace, self.output = folder, folder / "workspace", folder / "output.txt"
        self.store = store
        self.tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
            "PYTHONPATH": str(PROJECT_ROOT / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "LEADWISE_TEST": str(folder),
        }

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, as a terminal does."""
        with self.output.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def with_a_store(self) -> "Place":
        """As after the ingest stage."""
        self.workspace.mkdir()
        (self.workspace / "store").symlink_to(self.store)
        return self

    def stage(self, name: str, *arguments: str) -> list[str]:
        """The command of a stage, by hand."""
        script = str(PROJECT_ROOT / "pipelines" / f"{name}.py")
        return [sys.executable, script, "--workspace", str(self.workspace), *arguments]

    def project(self, entry_point: str, *arguments: str) -> list[str]:
        """The command of an entry point."""
        command = ["mlflow", "run", str(PROJECT_ROOT), "-e", entry_point, "--env-manager", "local"]
        return [*command, "--experiment-name", "leadwise", "-P", f"workspace={self.workspace}", *arguments]

    def processes(self) -> list[psutil.Process]:
        """What was started here and still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("LEADWISE_TEST") == str(self.folder)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def script(self, name: str) -> psutil.Process:
        """The process of a stage."""
        (found,) = [
            one for one in self.processes() if any(f"pipelines/{name}.py" in word for word in one.cmdline()[:2])
        ]
        return found

    def runs(self) -> dict[str, Run]:
        """Run by name, the newest of each."""
        # A client that finds no tables would make them, beside the stage that is at it.
        make_tables(self.tracking_uri)
        client = MlflowClient(self.tracking_uri)
        experiments = [one.experiment_id for one in client.search_experiments()]
        return {str(run.info.run_name): run for run in client.search_runs(experiments, order_by=["start_time ASC"])}

    def ends(self) -> dict[str, tuple[str, str | None]]:
        """How each run has ended, and why."""
        return {name: (run.info.status, run.data.tags.get("failure")) for name, run in self.runs().items()}

    def wait_for(self, what: Callable[[], object], seconds: float = 300) -> None:
        """Wait until something is there: asked again and again, for it is in other processes, which tell nobody."""
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, self.output.read_text()
            time.sleep(0.2)

    def wait_for_training(self) -> None:
        """Wait until the first epoch has ended."""
        self.wait_for(lambda: self.output.exists() and "\n    1 " in self.output.read_text())

    def wait_for_the_end(self) -> None:
        """Wait until nothing that was started here runs any more."""
        self.wait_for(lambda: not self.processes(), 120)


@pytest.fixture
def place(tmp_path: Path, simulated_store: Path) -> Iterator[Place]:
    made = Place(tmp_path, simulated_store)
    yield made
    for process in made.processes():
        process.kill()


def test_a_stage_whose_terminal_is_closed_says_so_and_ends_its_runs(place: Place) -> None:
    place.with_a_store()
    stage = place.start(*place.stage("train", *LONG))
    place.wait_for_training()
    stage.send_signal(signal.SIGHUP)
    assert stage.wait(60) == 128 + signal.SIGHUP
    why = "stopped by SIGHUP"
    assert place.output.read_text().splitlines()[-1] == f"leadwise train: {why}"
    assert "Traceback" not in place.output.read_text()
    assert place.ends() == dict.fromkeys(("train", "metadata"), ("KILLED", why))


def test_a_worker_of_a_study_that_is_stopped_ends_its_trial_and_has_it_tried_again(place: Place) -> None:
    place.with_a_store()
    worker = place.start(*place.stage("tune", *LONG_TRIALS))
    name = "metadata/trial-000"
    place.wait_for(lambda: place.output.exists() and name in place.runs() and place.runs()[name].data.metrics)
    worker.terminate()
    assert worker.wait(60) == 143
    why = ("KILLED", "stopped by SIGTERM")
    assert place.ends() == dict.fromkeys(("tune", "tune/metadata", name), why)
    assert place.runs()[name].data.tags["trial.reason"] == "interrupted; its values are tried again"


def whole_pipeline(place: Place, tree: Path) -> subprocess.Popen[bytes]:
    """The pipeline, in the midst of the train stage; there is nothing left for the ingest stage to do."""
    place.workspace.mkdir()
    shutil.copytree(place.store, place.workspace / "store")
    project = place.start(*place.project("main", "-P", f"source={tree}", *OF_A_PROJECT))
    place.wait_for_training()
    return project


def test_the_pipeline_ends_with_the_program_that_waits_for_it(place: Place, simulated_tree: Path) -> None:
    whole_pipeline(place, simulated_tree).kill()
    place.wait_for_the_end()
    ends = place.ends()
    assert ends.pop("ingest") == ("FINISHED", None)
    why = "stopped by SIGTERM"
    # MLflow sets the run of a project that it waits for to failed, whatever that has set.
    assert ends == {"main": ("KILLED", ORPHANED), "train": ("FAILED", why), "metadata": ("KILLED", why)}
    assert not MlflowClient(place.tracking_uri).search_registered_models()


def test_ctrl_c_twice_and_a_terminal_that_is_closed(place: Place, simulated_tree: Path) -> None:
    project = whole_pipeline(place, simulated_tree)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGHUP):
        os.killpg(project.pid, number)
        # A person's pace: signals at once would be one to the system.
        time.sleep(0.3)
    place.wait_for_the_end()
    ends = place.ends()
    assert ends.pop("ingest") == ("FINISHED", None)
    assert {why for _, why in ends.values()} == {"stopped by SIGINT"}
    assert {status for status, _ in ends.values()} <= {"KILLED", "FAILED"}


def test_a_stage_whose_pipeline_was_killed_ends_the_run_of_the_pipeline(place: Place, simulated_tree: Path) -> None:
    project = whole_pipeline(place, simulated_tree)
    main = place.script("main")
    project.kill()
    main.kill()
    place.wait_for_the_end()
    ends = place.ends()
    assert ends.pop("ingest") == ("FINISHED", None)
    assert ends == dict.fromkeys(("main", "train", "metadata"), ("KILLED", ORPHANED))


def test_the_runs_of_a_stage_that_was_killed_are_ended_by_the_pipeline(place: Place, simulated_tree: Path) -> None:
    """As the kernel does when memory is short."""
    project = whole_pipeline(place, simulated_tree)
    place.script("train").kill()
    assert project.wait(60) == 1
    place.wait_for_the_end()
    ends = place.ends()
    assert {name: status for name, (status, _) in ends.items() if name != "ingest"} == dict.fromkeys(
        ("main", "train", "metadata"), "FAILED"
    )
    assert ends["metadata"][1] == "its process has ended"
    assert ends["main"][1] == "the train stage failed; its message stands above"


def test_what_was_started_in_the_background_outlives_its_shell(place: Place) -> None:
    place.with_a_store()
    command = " ".join(place.project("train", "-P", "model=metadata", "-P", "epochs-metadata=5"))
    shell = place.start("bash", "-c", f"nohup {command} & while ! grep -q '    1 ' {place.output}; do sleep 0.1; done")
    assert shell.wait(300) == 0
    os.killpg(shell.pid, signal.SIGHUP)
    place.wait_for_the_end()
    assert place.ends() == dict.fromkeys(("train", "metadata"), ("FINISHED", None))
