"""One pipeline stage as an MLflow run: started, tagged, and ended with the right exit status.

Works alike under ``mlflow run`` (the project has made the run already) and as a plain script (``dvc repro``, or by
hand), with the tracking server that MLFLOW_TRACKING_URI names or with ``sqlite:///mlflow.db``.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from leadwise import __version__
from leadwise.config import Parameters, parse_arguments
from leadwise.contract import LeadwiseError
from leadwise.memory import keep_freed_memory

if TYPE_CHECKING:
    import mlflow

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
EXPERIMENT = "leadwise"


def run_stage(stage: str, work: Callable[[Parameters], None]) -> None:
    """Parse the command line, open the stage's run, do the work.

    Ends the program with status 2 for a bad parameter and 1 for an error that the user can act on, with its message
    as the last line; the run is then marked as failed. Anything else is a defect and keeps its traceback.
    """
    parameters = parse_arguments(stage)
    keep_freed_memory()
    _quieten_libraries()
    try:
        with stage_run(stage, parameters):
            work(parameters)
    except LeadwiseError as error:
        sys.exit(f"leadwise {stage}: error: {error}")


def _quieten_libraries() -> None:
    """Leave out what libraries print beside the stage's own lines; what was set by hand stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not sys.stderr.isatty():
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Every new network is traced anew, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextmanager
def stage_run(stage: str, parameters: Parameters) -> "Iterator[mlflow.ActiveRun]":
    """The MLflow run of one stage, with its effective configuration logged as ``config.yaml``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow

    in_project = "MLFLOW_RUN_ID" in os.environ
    if not in_project:
        os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    values = parameters.flat(stage)
    with mlflow.start_run() as run:
        mlflow.set_tags({"mlflow.runName": stage, "stage": stage, "leadwise.version": __version__})
        mlflow.set_tag("feature_set", parameters.shared.feature_set)
        if not in_project:
            mlflow.log_params(values)
        mlflow.log_text(yaml.safe_dump(values, sort_keys=False), "config.yaml")
        yield run


@contextmanager
def child_run(name: str, tags: Mapping[str, str], parameters: Mapping[str, Any]) -> "Iterator[mlflow.ActiveRun]":
    """A run below the stage's run: one model, or one trial."""
    import mlflow

    with mlflow.start_run(run_name=name, nested=True) as run:
        mlflow.set_tags(dict(tags))
        mlflow.log_params(dict(parameters))
        yield run


def log_store(manifest: Mapping[str, Any], context: str) -> None:
    """Log the ingested data set as an input of the current run, under our own digest.

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
    mlflow.set_tags(
        {
            "data.digest": manifest["digest"],
            "data.release": manifest["release"],
            "data.simulated": str(manifest["simulated"]).lower(),
        }
    )


def log_folder(folder: Path, artifact_path: str | None = None) -> None:
    """Log every file below a folder as artifacts of the current run."""
    import mlflow

    mlflow.log_artifacts(str(folder), artifact_path)
