"""The tracking store before a run is written to it: its tables, its experiment, and where that keeps its files.

MLflow makes the tables of a new SQLite file without a lock, so that two first runs would ruin it; and it stores where
an experiment's files lie as an absolute path, which a folder that is moved leaves behind.

A tracking server that goes away for a while: what is to be logged waits for it, and the user is told. MLflow repeats
every request that is refused, broken off, or answered with a server error, after 0, 4, 8, 16, 32 and 64 seconds, and
then every two minutes. Metrics, parameters and tags that a server has taken already are taken again without being
doubled.

    python -m leadwise.tracking_store [EXPERIMENT]    what `make` does before it starts MLflow itself
"""

import glob
import logging
import os
import shlex
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from leadwise.atomic import PARTIAL, file_lock
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LeadwiseError
from leadwise.terminal import terminal

if TYPE_CHECKING:
    from mlflow.entities import Experiment

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
ARTIFACTS = "mlruns"
"""The folder in which MLflow keeps the files of a SQLite store, in the folder where a run was first started."""


class TrackingStoreError(LeadwiseError):
    """Nothing can be written to the tracking store as it is; the message names the way out."""


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
    return " ".join([*_environment(words[0]), *given, shlex.join(words)])


def tracking_address() -> str:
    """The tracking store's address, good from any folder."""
    import mlflow

    address = str(mlflow.get_tracking_uri())
    scheme, mark, rest = address.partition(":///")
    if scheme != "sqlite":
        return address
    name, question, query = rest.partition("?")
    return f"{scheme}{mark}{Path(name).resolve()}{question}{query}"


def _environment(program: str) -> list[str]:
    """How to reach this environment's programs from a shell that has not activated it."""
    folder = PROJECT_ROOT / ".venv" / "bin"
    return [f"PATH={shlex.quote(str(folder))}:$PATH"] if os.access(folder / program, os.X_OK) else []


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
        TrackingStoreError: the file cannot be made there.
    """
    file = sqlite_file(address)
    if file is None or _holds_something(file):
        return
    try:
        with file_lock(file):
            if not _holds_something(file):
                _make(file)
    except OSError as error:
        raise TrackingStoreError(
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
    """Nothing is logged to an experiment that was deleted, or whose folder was moved away.

    Args:
        experiment: ``None``: it will be made, here and now.

    Raises:
        TrackingStoreError: it cannot be used as it is.
    """
    if experiment is None:
        return
    if experiment.lifecycle_stage != "active":
        restore = command_line("mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id)
        raise TrackingStoreError(
            f"experiment {experiment.name} was deleted in the tracking store; bring it back:\n  {restore}\n"
            "or name another one: MLFLOW_EXPERIMENT_NAME=..., of `mlflow run` --experiment-name"
        )
    folder = _local_folder(experiment.artifact_location or "")
    # Of any other folder nobody knows whether it has been there before: MLflow makes it with the first file.
    if folder is not None and folder.parent.name == ARTIFACTS:
        _require_there(experiment.name, folder)


def _require_there(name: str, folder: Path) -> None:
    import mlflow

    before = folder.parents[1]
    if before.exists():
        return
    file = sqlite_file(mlflow.get_tracking_uri())
    here = str(file.parent) if file is not None and (file.parent / ARTIFACTS).is_dir() else "WHERE_IT_IS_NOW"
    link = command_line("ln", "-s", here, str(before), variables={})
    raise TrackingStoreError(
        f"experiment {name} keeps its files in {folder}, and {before} does not exist: was the folder moved? The files "
        f"of its registered versions are looked for there too. Let the old path lead to the new one:\n  {link}\n"
        "or move the folder back, or begin another store (MLFLOW_TRACKING_URI=sqlite:///other.db) and register "
        "there again"
    )


def _local_folder(location: str) -> Path | None:
    if location.startswith("file:"):
        return Path(url2pathname(urlparse(location).path))
    return Path(location) if location.startswith("/") else None


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

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MlflowException) and isinstance(seen.__context__, ConnectionError | RetryError | Timeout):
            os.environ[RETRIES] = "0"
            return True
        seen = seen.__cause__ or seen.__context__
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
