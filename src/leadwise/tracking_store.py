"""The tracking store: its tables, its experiment, where that keeps its files, and what a person finds in MLflow's UI.

MLflow makes the tables of a new SQLite file without a lock, so that two first runs would ruin it; and it stores where
an experiment's files lie as an absolute path, which a folder that is moved leaves behind.

A tracking server that goes away for a while: what is to be logged waits for it, and the user is told. MLflow repeats
every request that is refused, broken off, or answered with a server error, after 0, 4, 8, 16, 32 and 64 seconds, and
then every two minutes. Metrics, parameters and tags that a server has taken already are taken again without being
doubled.

Every run carries tags, and a page compares the models: MLflow keeps a shared view as a tag of the experiment, named by
the key in its address (``viewStateShareKey``); the fields are those of ``ExperimentPageUIState`` and of the search
above the table, in MLflow 3.17.

    python -m leadwise.tracking_store [EXPERIMENT]    what `make` does before it starts MLflow itself
"""

import glob
import json
import logging
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse
from urllib.request import url2pathname

from leadwise import __version__
from leadwise.atomic import PARTIAL, file_lock
from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.errors import chain
from leadwise.models.spec import keras_backend
from leadwise.terminal import terminal

if TYPE_CHECKING:
    from mlflow.entities import Experiment

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
ARTIFACTS = "mlruns"
"""The folder in which MLflow keeps the files of a SQLite store, in the folder where a run was first started."""


def command_line(*words: str, variables: Mapping[str, str] | None = None) -> str:
    """A command to be pasted: into any shell, in any folder, whatever letters the paths have.

    Args:
        words: program and arguments.
        variables: of the environment; the default is what a program of this environment needs to find its tracking
            store.
    """
    if variables is None:
        variables = {"MLFLOW_TRACKING_URI": tracking_address()}
    given = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    # How to reach this environment's programs from a shell that has not activated it.
    folder = PROJECT_ROOT / ".venv" / "bin"
    path = [f"PATH={shlex.quote(str(folder))}:$PATH"] if os.access(folder / words[0], os.X_OK) else []
    return " ".join([*path, *given, shlex.join(words)])


def tracking_address() -> str:
    """The tracking store's address, good from any folder."""
    import mlflow

    address = str(mlflow.get_tracking_uri())
    scheme, mark, rest = address.partition(":///")
    name, *query = rest.partition("?")
    return "".join([scheme, mark, str(Path(name).resolve()), *query]) if scheme == "sqlite" else address


def sqlite_file(address: str) -> Path | None:
    """The file of a tracking store or registry; ``None`` where it is no file."""
    scheme, mark, rest = address.partition(":///")
    name = rest.partition("?")[0]
    if not mark or scheme.partition("+")[0] != "sqlite" or name in ("", ":memory:") or name.startswith("file:"):
        return None
    return Path(name).resolve()


def make_tables(address: str) -> None:
    """Make the tables of a SQLite file that is not there: by one process, while others wait; whole or not at all.

    Raises:
        LeadwiseError: the file cannot be made there.
    """
    file = sqlite_file(address)
    if file is None or _holds_something(file):
        return
    try:
        with file_lock(file):
            if not _holds_something(file):
                _make(file)
    except OSError as error:
        raise LeadwiseError(
            f"MLFLOW_TRACKING_URI: {address}: cannot be made ({error.strerror}: {error.filename}); name another place"
        ) from None


def _holds_something(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _make(file: Path) -> None:
    """Called by one process at a time, so that anything beside the file is of one that was killed."""
    import mlflow

    # MLflow and Alembic tell of every table.
    logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    beside = file.with_name(f".{file.name}{PARTIAL}tables")
    for left in file.parent.glob(f"{glob.escape(beside.name)}*"):
        left.unlink()
    # SQLite itself would take write permission from the group, whatever the umask says.
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    mlflow.MlflowClient(f"sqlite:///{beside}").search_experiments(max_results=1)
    os.replace(beside, file)


def require_usable(experiment: "Experiment | None") -> None:
    """Nothing is logged to an experiment that was deleted, or whose folder was moved away; one to be made is ``None``.

    Raises:
        LeadwiseError: it cannot be used as it is.
    """
    if experiment is None:
        return
    if experiment.lifecycle_stage != "active":
        restore = command_line("mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id)
        raise LeadwiseError(
            f"experiment {experiment.name} was deleted in the tracking store; bring it back:\n  {restore}\n"
            "or name another one: MLFLOW_EXPERIMENT_NAME=..., of `mlflow run` --experiment-name"
        )
    location = experiment.artifact_location or ""
    folder = Path(url2pathname(urlparse(location).path))
    if not location.startswith(("file:", "/")) or folder.parent.name != ARTIFACTS or folder.parents[1].exists():
        # Of any other folder nobody knows whether it has been there before: MLflow makes it with the first file.
        return
    import mlflow

    before = folder.parents[1]
    file = sqlite_file(mlflow.get_tracking_uri())
    here = str(file.parent) if file is not None and (file.parent / ARTIFACTS).is_dir() else "WHERE_IT_IS_NOW"
    link = command_line("ln", "-s", here, str(before), variables={})
    raise LeadwiseError(
        f"experiment {experiment.name} keeps its files in {folder}, and {before} does not exist: was the folder moved? "
        "The files of its registered versions are looked for there too. Let the old path lead to the new one:\n"
        f"  {link}\nor move the folder back, or begin another store (MLFLOW_TRACKING_URI=sqlite:///other.db) and "
        "register there again"
    )


RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
MOST_RETRIES = 10
"""As many as MLflow allows, ten minutes in all; its own default of seven comes to four."""
RETRIES_WHEN_STOPPED = 2
SILENT_TRIES = 1
"""The first one comes at once: a connection that was kept open is often just stale."""


def gave_up_on(address: str) -> str:
    """What to tell whoever waited in vain."""
    return (
        f"the tracking server {address} did not answer, however often MLflow tried. What is done is kept, of a "
        "training its last whole epoch: the same command goes on from there, and logs all of it"
    )


def wait_for_server() -> None:
    """Let every request of this process and of those that it starts wait up to ten minutes; a value set by hand stays.

    MLflow waits without a word; each further try of the main thread is told on standard error.
    """
    os.environ.setdefault(RETRIES, str(MOST_RETRIES))
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller(logging.WARNING))


def wait_briefly_for_server() -> None:
    """Let what this process has yet to say wait no longer than a person does who has stopped it."""
    os.environ[RETRIES] = str(min(int(os.environ.get(RETRIES, MOST_RETRIES)), RETRIES_WHEN_STOPPED))


def given_up(error: BaseException) -> bool:
    """Whether an error comes from a server that MLflow has waited for in vain.

    Nothing else in this process waits for it then: its runs are ended at once, or are left as they are.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError, RetryError, Timeout

    for each in chain(error):
        if isinstance(each, MlflowException) and isinstance(each.__context__, ConnectionError | RetryError | Timeout):
            os.environ[RETRIES] = "0"
            return True
    return False


class _Teller(logging.Handler):
    """Turns urllib3's warning about a try that failed into a line for people."""

    def emit(self, record: logging.LogRecord) -> None:
        if not str(record.msg).startswith("Retrying") or not isinstance(record.args, tuple) or len(record.args) < 2:
            return
        retries, error = record.args[:2]
        left, tried = getattr(retries, "total", None), len(getattr(retries, "history", ()))
        if tried > SILENT_TRIES and threading.current_thread() is threading.main_thread():
            print(f"no answer from the tracking server ({error}); trying again, {left} tries are left", file=terminal())


Level = Literal["pipeline", "stage", "model", "trial"]
"""What a run is of; a study is of a model."""

KEY = "leadwise-models"
TAG = f"mlflow.sharedViewState.{KEY}"
FILTER = "tags.stage = 'evaluate' and tags.level = 'model'"
METRICS = (
    "test/macro_auroc",
    *(f"test/auroc/{name}" for name in SUPERCLASSES),
    "test/binary_accuracy",
    "test/ece",
    "val/macro_auroc",
)
CHARTS = "^test/(macro_auroc|macro_f1|binary_accuracy|ece|auroc/[A-Z]+)$"
"""Of the hundreds that there are."""
PARAMETERS = ("learning-rate", "encoder", "encoder-width", "weight-decay", "epochs")


def stage_tags(stage: str, parameters: Parameters) -> dict[str, str]:
    """What is known of a stage when it begins."""
    level: Level = "pipeline" if stage == "main" else "stage"
    tags = {
        "level": level,
        "stage": stage,
        "feature_set": parameters.shared.feature_set,
        "seed": str(parameters.shared.seed),
        "backend": keras_backend(),
        "host": socket.gethostname(),
        "leadwise.version": __version__,
        "leadwise.commit": commit(),
    }
    if "model" in parameters.flat(stage):
        tags["model"] = parameters.train.model
    return {name: value for name, value in tags.items() if value}


def data_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Which data a run is about, from the store's manifest."""
    return {
        "data.digest": str(manifest["digest"]),
        "data.release": str(manifest["release"]),
        "data.simulated": str(manifest["simulated"]).lower(),
    }


def commit() -> str:
    """The commit of the code, with ``-dirty`` where files differ from it; empty outside of a checkout."""
    if not (PROJECT_ROOT / ".git").exists():
        # An installed package may lie within somebody else's checkout.
        return ""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip()


def view() -> dict[str, Any]:
    """The evaluated models, the best first: their metrics of fold 10, then how they were trained."""
    columns = [*(f"metrics.`{name}`" for name in METRICS), *(f"params.`{name}`" for name in PARAMETERS)]
    return {
        "searchFilter": FILTER,
        "orderByKey": columns[0],
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "chartsSearchFilter": CHARTS,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def save_view() -> None:
    """Keep the view in the experiment of the active run."""
    import mlflow

    run = mlflow.active_run()
    assert run is not None
    mlflow.MlflowClient().set_experiment_tag(run.info.experiment_id, TAG, json.dumps(view()))


def view_address(server: str, experiment: str) -> str:
    """What a browser opens; without ``workflowType`` MLflow opens its page for language models."""
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"


def main() -> None:
    """Make the tables where MLFLOW_TRACKING_URI says; if an experiment is named, it must be usable."""
    address = os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    try:
        make_tables(address)
        for name in sys.argv[1:]:
            import mlflow

            require_usable(mlflow.MlflowClient().get_experiment_by_name(name))
    except LeadwiseError as error:
        sys.exit(f"leadwise: error: {error}")


if __name__ == "__main__":
    main()
