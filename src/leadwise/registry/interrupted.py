"""What a registration leaves that was killed: a version without a verdict, runs that never end, temporary folders."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from leadwise.atomic import clear_temporary_folders
from leadwise.registry.promotion import CHALLENGER
from leadwise.stage import FAILURE
from leadwise.tracking_server import given_up

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

GATE_TAG, INTERRUPTED = "gate", "interrupted"
PROCESS_TAG = "process"
"""Of a run, and of a registered version that has no verdict yet: who works on it."""
CLOCKS_DIFFER_S = 2.0
TOLD = "**No verdict: the registration of this version ended before the gate had judged it.**"


def process_tag() -> dict[str, str]:
    """The tag by which others tell whether this process still works on what carries it."""
    own = psutil.Process()
    return {PROCESS_TAG: json.dumps({"host": socket.gethostname(), "pid": own.pid, "started": own.create_time()})}


def _has_ended(tag: str) -> bool:
    """Whether the process of a tag has certainly ended; False for another host's, of which nobody here knows.

    A number that was given to another process since then has another time of start.
    """
    mark = json.loads(tag)
    if mark["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(mark["pid"])
        same = abs(process.create_time() - mark["started"]) < CLOCKS_DIFFER_S
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def judged_or_marked(name: str, version: str) -> Iterator[None]:
    """Whatever ends the judgement of a version: it is left with a verdict, or marked as one without."""
    try:
        yield
    except BaseException as error:
        if not given_up(error):
            _settle(name, version)
        raise
    _settle(name, version)


def _settle(name: str, version: str) -> None:
    import mlflow

    client = mlflow.MlflowClient()
    found = client.get_model_version(name, version)
    if GATE_TAG not in found.tags:
        _mark(found)
    elif PROCESS_TAG in found.tags:
        client.delete_model_version_tag(name, version, PROCESS_TAG)


def tidy_up(name: str, tell: Callable[[str], object]) -> None:
    """Mark the versions of a model whose registration was killed, end its runs, and remove its temporary folders.

    What another process still works on stays as it is, also one of another machine, of which nobody here knows.

    Args:
        name: the registered model.
        tell: is called with each thing that was found.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for version in client.search_model_versions(f"name = '{name}'"):
        if "leadwise.version" in version.tags and GATE_TAG not in version.tags and _is_left(version):
            _mark(version)
            tell(f"{name} version {version.version}: its registration was interrupted; it has no verdict, and no alias")
    active = mlflow.active_run()
    for run in _dead_runs(active) if active else ():
        client.set_tag(run.info.run_id, FAILURE, "the process was killed")
        client.set_terminated(run.info.run_id, "KILLED")
        tell(f"run {run.info.run_name} ({run.info.run_id[:8]}): its process was killed; the run is ended")
    for folder in clear_temporary_folders():
        tell(f"{folder}: left by a process that was killed; removed")


def _mark(version: "ModelVersion") -> None:
    import mlflow

    client = mlflow.MlflowClient()
    client.update_model_version(version.name, version.version, description=TOLD)
    client.set_model_version_tag(version.name, version.version, GATE_TAG, INTERRUPTED)
    if PROCESS_TAG in version.tags:
        client.delete_model_version_tag(version.name, version.version, PROCESS_TAG)
    if str(client.get_registered_model(version.name).aliases.get(CHALLENGER)) == str(version.version):
        client.delete_registered_model_alias(version.name, CHALLENGER)


def _is_left(version: "ModelVersion") -> bool:
    """Whether nobody works on a version any more; one without a mark is judged by its run."""
    if mark := version.tags.get(PROCESS_TAG):
        return _has_ended(mark)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return bool(mlflow.get_run(version.run_id).info.status != "RUNNING")
    except MlflowException:
        return True


def _dead_runs(active: "Run") -> Iterator["Run"]:
    """Of the same experiment."""
    import mlflow

    running = mlflow.search_runs(
        [active.info.experiment_id], filter_string="attributes.status = 'RUNNING'", output_format="list"
    )
    for run in running:
        mark = run.data.tags.get(PROCESS_TAG)
        if mark and _has_ended(mark):
            yield run
