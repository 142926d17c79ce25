"""One pipeline stage as an MLflow run: started, tagged, and ended with the right exit status.

Works alike under ``mlflow run`` (the project has made the run already) and as a plain script (``dvc repro``, or by
hand), with the tracking server that MLFLOW_TRACKING_URI names or with the project's own ``mlflow.db``.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_PROJECT_ENTRY_POINT

from leadwise import tracking_store
from leadwise.config import ENTRY_POINTS, PROJECT_ROOT, ConfigError, Parameters, as_text
from leadwise.contract import LeadwiseError
from leadwise.errors import refusal
from leadwise.memory import keep_freed_memory
from leadwise.parameters import parse_arguments
from leadwise.stopping import Stopped, at_once, held_back, stop_with_launcher, stoppable
from leadwise.terminal import LOGS_FOLDER, Log, libraries_into, terminal
from leadwise.tracking_store import Level, given_up

EXPERIMENT = "leadwise"
SQLITE = "sqlite:///"
STORES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
LOG_FILE = "log.txt"
"""The artifact with what libraries have said, warnings for example, and the terminal did not show."""
FAILURE = "failure"
"""The tag that tells why a run failed, or was stopped; ``leadwise_mlflow`` knows it, too."""
LONGEST_FAILURE = 500

COPIES = (".dvc", "tmp", "exps")
"""Below these folders of a project DVC makes copies of it, for experiments that do not run in the project itself."""

_INHERITED: ContextVar[Mapping[str, str]] = ContextVar("tags of the active run", default=MappingProxyType({}))
"""What the runs below the active one carry too."""


def run_stage(stage: str, work: Callable[[Parameters], None]) -> None:
    """Parse the command line, open the stage's run, do the work.

    Ends the program with status 2 for a bad parameter and 1 for an error that the user can act on, such as a full disk,
    with its message as the last line; the run is then marked as failed. After a signal, or when the program that
    started the stage has ended, the runs are marked as killed, and the status is the one that shells expect. Anything
    else is a defect and keeps its traceback.
    """
    try:
        parameters = parse_arguments(stage)
    except ConfigError as error:
        _tell_run(stage, str(error))
        print(f"leadwise {stage}: error: {error}", file=sys.stderr)
        sys.exit(2)
    keep_freed_memory()
    _quieten_libraries()
    has_workspace = "shared" in ENTRY_POINTS[stage]
    log_file = parameters.shared.workspace / LOGS_FOLDER / f"{stage}.log" if has_workspace else None
    try:
        with (
            stoppable(),
            # The stages that a pipeline starts speak for themselves.
            libraries_into(log_file, programs_too=stage != "main") as log,
            stage_run(stage, parameters),
        ):
            _work(work, parameters, log)
    except Stopped as stopped:
        with suppress(OSError):
            # The terminal may be gone.
            print(f"leadwise {stage}: {stopped}", file=sys.stderr, flush=True)
        sys.exit(128 + stopped.number)
    except Exception as error:
        address = mlflow.get_tracking_uri()
        in_vain = not isinstance(error, LeadwiseError) and given_up(error)
        if (told := tracking_store.gave_up_on(address) if in_vain else refusal(error, address)) is None:
            raise
        sys.exit(f"leadwise {stage}: error: {told}")


def _tell_run(stage: str, why: str) -> None:
    """Tag the run that `mlflow run` has made for this stage, which ends before it has opened that."""
    if "MLFLOW_RUN_ID" not in os.environ:
        return
    tracking_store.wait_briefly_for_server()
    with suppress(MlflowException):
        _choose_store()
        if run_id := _made_for(stage):
            MlflowClient().set_tag(run_id, FAILURE, why[:LONGEST_FAILURE])


def _work(work: Callable[[Parameters], None], parameters: Parameters, log: Log) -> None:
    """Do the work; what libraries have said is then an artifact of the run, too."""
    try:
        work(parameters)
    except Exception as error:
        if not given_up(error) and (said := log.text()):
            with suppress(MlflowException, OSError):
                mlflow.log_text(said, LOG_FILE)
        raise
    if said := log.text():
        mlflow.log_text(said, LOG_FILE)


def _quieten_libraries() -> None:
    """Leave out what libraries print beside the stage's own lines; what was set by hand stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its bars would stand between the stage's own lines.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Every new network is traced anew, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Says when it begins, when it ends, and that there is no GPU.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)


@contextmanager
def stage_run(stage: str, parameters: Parameters) -> "Iterator[mlflow.ActiveRun]":
    """The MLflow run of one stage, with every value that it uses as a parameter, and in ``config.yaml``."""
    with held_back():
        tracking_store.wait_for_server()

        _choose_store()
        run_id = _made_for(stage)
        if run_id is None:
            _choose_experiment(stage)
        else:
            client = MlflowClient()
            tracking_store.require_usable(client.get_experiment(client.get_run(run_id).info.experiment_id))
        if run_id or os.environ.get("DVC_STAGE", "").rpartition(":")[2] == stage:
            stop_with_launcher()
        values = parameters.flat(stage)
        tags = tracking_store.stage_tags(stage, parameters)
        with mlflow.start_run(run_id) as run, _passing_on(tags), _telling_why(run), at_once():
            mlflow.set_tags({"mlflow.runName": stage} | tags)
            # `mlflow run` has logged what -P gave, in the spelling of whoever gave it, and a parameter is logged once.
            mlflow.log_params(as_text({name: values[name] for name in values.keys() - run.data.params.keys()}))
            mlflow.log_text(yaml.safe_dump(values, sort_keys=False), "config.yaml")
            yield run


def _project_home() -> Path:
    """The folder of the project; of a copy that DVC has made for an experiment, that of the project itself."""
    for folder in PROJECT_ROOT.parents:
        if folder.parts[-len(COPIES) :] == COPIES:
            return folder.parents[len(COPIES) - 1]
    return PROJECT_ROOT


def _choose_store() -> None:
    """The project's own store, or what MLFLOW_TRACKING_URI names; of SQLite's files, never one in a copy of DVC's.

    `dvc exp run` may run stages in a copy of the project, which it deletes afterwards.
    """
    home = _project_home()
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"{SQLITE}{home / 'mlflow.db'}")
    for name in STORES:
        file = Path(os.environ.get(name, "").removeprefix(SQLITE))
        if home != PROJECT_ROOT and os.environ.get(name, "").startswith(SQLITE) and not file.is_absolute():
            os.environ[name] = f"{SQLITE}{home / file}"
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    tracking_store.make_tables(os.environ["MLFLOW_TRACKING_URI"])


def _made_for(stage: str) -> str | None:
    """The run that `mlflow run` has made for this stage; a run id that stood there before is told, and left out."""
    # What the stage starts itself is not to find it.
    run_id = os.environ.pop("MLFLOW_RUN_ID", "")
    if not run_id:
        return None
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    else:
        made = run.info.lifecycle_stage == "active" and run.info.status == "RUNNING"
        if made and run.data.tags.get(MLFLOW_PROJECT_ENTRY_POINT) == stage and "stage" not in run.data.tags:
            return run_id
    _say_ignored(stage, "MLFLOW_RUN_ID", run_id, "`mlflow run` has made no such run for this stage, which has its own")
    return None


def _choose_experiment(stage: str) -> None:
    """The experiment that MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID names, or ``leadwise``."""
    name, number = os.environ.get("MLFLOW_EXPERIMENT_NAME"), os.environ.get("MLFLOW_EXPERIMENT_ID")
    if number and not name:
        try:
            named = MlflowClient().get_experiment(number)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            _say_ignored(stage, "MLFLOW_EXPERIMENT_ID", number, f"{error.message}; the experiment is {EXPERIMENT}")
        else:
            tracking_store.require_usable(named)
            mlflow.set_experiment(experiment_id=number)
            return
    name, home = name or EXPERIMENT, _project_home()
    tracking_store.require_usable(MlflowClient().get_experiment_by_name(name))
    if Path.cwd() != home and os.environ["MLFLOW_TRACKING_URI"].startswith(f"{SQLITE}{home}"):
        # MLflow would keep the artifacts in the working folder.
        with suppress(MlflowException):
            mlflow.create_experiment(name, artifact_location=(home / "mlruns" / name).as_uri())
    mlflow.set_experiment(name)


def _say_ignored(stage: str, name: str, value: str, why: str) -> None:
    print(f"leadwise {stage}: {name}={value} is ignored: {why}", file=terminal(), flush=True)


@contextmanager
def child_run(
    name: str, level: Level, tags: Mapping[str, str], parameters: Mapping[str, Any], *, long: bool = False
) -> "Iterator[mlflow.ActiveRun]":
    """A run below the active one: one model, or one trial.

    It carries the tags of the run above it, too, unless its own take their place. Of a ``long`` one load and memory of
    the machine are logged, where psutil is installed, every ten seconds.
    """
    own = {**_INHERITED.get(), **tags, "level": level}
    # Set by hand, MLflow's variable decides.
    watched = None if "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING" in os.environ else long and find_spec("psutil") is not None
    with (
        held_back(),
        mlflow.start_run(run_name=name, nested=True, tags=own, log_system_metrics=watched) as run,
        _passing_on(own),
        _telling_why(run),
        at_once(),
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
    """Tag a run with the error that ends it, unless it has been ended on purpose before; one that is stopped is killed.

    With the program that started a stage, those above the stage have lost their process: their runs are ended, too.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, Stopped):
            tracking_store.wait_briefly_for_server()
        active = mlflow.active_run()
        if active is not None and active.info.run_id == run.info.run_id and not given_up(error):
            said = str(error) if isinstance(error, LeadwiseError | Stopped) else f"{type(error).__name__}: {error}"
            try:
                mlflow.set_tag(FAILURE, said[:LONGEST_FAILURE])
                if isinstance(error, Stopped):
                    mlflow.end_run("KILLED")
                    above = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
                    while error.orphaned and mlflow.active_run() is None and above:
                        lost = mlflow.get_run(above)
                        end_lost_run(lost, "KILLED", said)
                        above = lost.data.tags.get(MLFLOW_PARENT_RUN_ID)
            except MlflowException as second:
                given_up(second)
        raise


def within_pipeline() -> bool:
    """Whether a pipeline has started this stage, and tells the results and the next steps itself."""
    run = mlflow.active_run()
    return run is not None and MLFLOW_PARENT_RUN_ID in run.data.tags


def end_lost_run(run: "Run", status: str, why: str) -> None:
    """End the run of a process that has ended without doing so."""
    if run.info.status == "RUNNING":
        client = MlflowClient()
        client.set_tag(run.info.run_id, FAILURE, why[:LONGEST_FAILURE])
        client.set_terminated(run.info.run_id, status)


def log_store(manifest: Mapping[str, Any], context: str) -> None:
    """Log the ingested data set of a manifest as an input of the current run, under our own digest.

    ``context`` is what the run did with it: ``training`` or ``evaluation``. The run and those below are tagged with it.
    """
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource
    from sqlalchemy.exc import IntegrityError

    source = LocalArtifactDatasetSource(str(manifest["source"]))
    # Stores of before named the data by this alone.
    name = manifest.get("dataset", "synthetic" if manifest["simulated"] else "ptbxl")
    data = MetaDataset(source, name=name, digest=manifest["digest"][:12])
    try:
        mlflow.log_input(data, context=context)
    except (MlflowException, IntegrityError):
        # MLflow looks whether the data set is known, then inserts it: of two workers that begin at once, one loses.
        # Now that the row is there, the loser finds it.
        mlflow.log_input(data, context=context)
    tag_data(tracking_store.data_tags(manifest))


def tag_data(tags: Mapping[str, str]) -> None:
    """Tag the current run, and those that will be below it, with the data that they are about."""
    mlflow.set_tags(dict(tags))
    _INHERITED.set(MappingProxyType({**_INHERITED.get(), **tags}))
