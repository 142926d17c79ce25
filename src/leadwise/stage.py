"""One pipeline stage as an MLflow run: started, tagged, and ended with the right exit status.

Works alike under ``mlflow run`` (the project has made the run already) and as a plain script (``dvc repro``, or by
hand), with the tracking server that MLFLOW_TRACKING_URI names or with ``sqlite:///mlflow.db``.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from leadwise.config import Parameters, parse_arguments
from leadwise.contract import LeadwiseError
from leadwise.disk import refusal
from leadwise.memory import keep_freed_memory
from leadwise.run_tags import Level, data_tags, stage_tags
from leadwise.tracking_server import gave_up_on, given_up, wait_for_server

if TYPE_CHECKING:
    import mlflow

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "leadwise"
FAILURE = "failure"
"""The tag that tells why a run failed."""
LONGEST_FAILURE = 500

_INHERITED: ContextVar[Mapping[str, str]] = ContextVar("tags of the active run", default=MappingProxyType({}))
"""What the runs below the active one carry too."""


def run_stage(stage: str, work: Callable[[Parameters], None]) -> None:
    """Parse the command line, open the stage's run, do the work.

    Ends the program with status 2 for a bad parameter and 1 for an error that the user can act on, such as a full disk,
    with its message as the last line; the run is then marked as failed. Anything else is a defect and keeps its
    traceback.
    """
    parameters = parse_arguments(stage)
    keep_freed_memory()
    _quieten_libraries()
    try:
        with stage_run(stage, parameters):
            work(parameters)
    except LeadwiseError as error:
        sys.exit(f"leadwise {stage}: error: {error}")
    except Exception as error:
        import mlflow

        address = mlflow.get_tracking_uri()
        told = gave_up_on(address) if given_up(error) else refusal(error, address)
        if told is None:
            raise
        sys.exit(f"leadwise {stage}: error: {told}")


def _quieten_libraries() -> None:
    """Leave out what libraries print beside the stage's own lines; what was set by hand stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not sys.stderr.isatty():
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Every new network is traced anew, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Says when it begins, when it ends, and that there is no GPU.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)


@contextmanager
def stage_run(stage: str, parameters: Parameters) -> "Iterator[mlflow.ActiveRun]":
    """The MLflow run of one stage, with its effective configuration logged as ``config.yaml``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    wait_for_server()
    import mlflow

    in_project = "MLFLOW_RUN_ID" in os.environ
    if not in_project:
        os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    values = parameters.flat(stage)
    tags = stage_tags(stage, parameters)
    with mlflow.start_run() as run, _passing_on(tags), _telling_why(run):
        mlflow.set_tags({"mlflow.runName": stage} | tags)
        if not in_project:
            mlflow.log_params(values)
        mlflow.log_text(yaml.safe_dump(values, sort_keys=False), "config.yaml")
        yield run


@contextmanager
def child_run(
    name: str, level: Level, tags: Mapping[str, str], parameters: Mapping[str, Any], *, long: bool = False
) -> "Iterator[mlflow.ActiveRun]":
    """A run below the active one: one model, or one trial. It carries the tags of the run above it, too.

    Args:
        name: of the run.
        level: what it is of.
        tags: in addition to those of the run above it, or in their place.
        parameters: to be logged.
        long: load and memory of the machine are logged, where psutil is installed, every ten seconds.
    """
    import mlflow

    own = {**_INHERITED.get(), **tags, "level": level}
    # Set by hand, MLflow's variable decides.
    watched = None if "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING" in os.environ else long and find_spec("psutil") is not None
    with (
        mlflow.start_run(run_name=name, nested=True, tags=own, log_system_metrics=watched) as run,
        _passing_on(own),
        _telling_why(run),
    ):
        mlflow.log_params(dict(parameters))
        yield run


@contextmanager
def _passing_on(tags: Mapping[str, str]) -> Iterator[None]:
    before = _INHERITED.set(MappingProxyType(dict(tags)))
    try:
        yield
    finally:
        _INHERITED.reset(before)


@contextmanager
def _telling_why(run: "mlflow.ActiveRun") -> Iterator[None]:
    """Tag a run with the error that ends it, unless it has been ended on purpose before."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        yield
    except BaseException as error:
        active = mlflow.active_run()
        if active is not None and active.info.run_id == run.info.run_id and not given_up(error):
            said = str(error) if isinstance(error, LeadwiseError) else f"{type(error).__name__}: {error}"
            try:
                mlflow.set_tag(FAILURE, said[:LONGEST_FAILURE])
            except MlflowException as second:
                given_up(second)
        raise


def log_store(manifest: Mapping[str, Any], context: str) -> None:
    """Log the ingested data set as an input of the current run, under our own digest.

    The run and those below it are tagged with it.

    Args:
        manifest: the store's manifest.
        context: what the run did with it: ``training`` or ``evaluation``.
    """
    import mlflow
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import IntegrityError

    source = LocalArtifactDatasetSource(str(manifest["source"]))
    name = "ptbxl-simulated" if manifest["simulated"] else "ptbxl"
    data = MetaDataset(source, name=name, digest=manifest["digest"][:12])
    try:
        mlflow.log_input(data, context=context)
    except (MlflowException, IntegrityError):
        # MLflow looks whether the data set is known, then inserts it: of two workers that begin at once, one loses.
        # Now that the row is there, the loser finds it.
        mlflow.log_input(data, context=context)
    tag_data(data_tags(manifest))


def tag_data(tags: Mapping[str, str]) -> None:
    """Tag the current run, and those that will be below it, with the data that they are about."""
    import mlflow

    mlflow.set_tags(dict(tags))
    _INHERITED.set(MappingProxyType({**_INHERITED.get(), **tags}))


def log_folder(folder: Path, artifact_path: str | None = None) -> None:
    """Log every file below a folder as artifacts of the current run."""
    import mlflow

    mlflow.log_artifacts(str(folder), artifact_path)
