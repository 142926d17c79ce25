"""Which version is the champion: moved by whoever has compared with the champion of the moment, and moved back.

MLflow's registry knows no "set this alias if it still points there". So on one machine a lock stands around looking and
moving, and on any machine the alias is looked at again at the last moment: a champion that changed since the comparison
is compared with anew. What remains is the moment between that look and the move, against another machine.
"""

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import psutil
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from leadwise.atomic import clear_temporary_folders, file_lock
from leadwise.contract import LeadwiseError
from leadwise.registry.smoke_test import RoundTripError, require_answer
from leadwise.stage import FAILURE
from leadwise.tracking_store import given_up, sqlite_file

if TYPE_CHECKING:
    from leadwise.registry.gate import GateReport

CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS_TAG = "previous-champion"
ROLLED_BACK_TAG = "rolled-back"
MOST_COMPARISONS = 5


def promote(name: str, version: str, judge: "Callable[[str | None], GateReport]") -> "GateReport":
    """Make a version the champion if ``judge`` lets it pass against whoever is champion at that moment.

    The version remembers in a tag which champion it follows, for ``roll_back``.

    Args:
        name: the registered model.
        version: the candidate.
        judge: compares with a version, or with none; called again when another one has become champion meanwhile.

    Returns:
        The last report. The version is champion if it passed, and challenger if it only answers.

    Raises:
        LeadwiseError: the champion changed during each of ``MOST_COMPARISONS`` comparisons.
    """
    client = mlflow.MlflowClient()
    for _ in range(MOST_COMPARISONS):
        champion = alias_of(name)
        report = judge(champion)
        if not report.passed:
            if report.answers:
                client.set_registered_model_alias(name, CHALLENGER, version)
            return report
        with file_lock(_lock(name)):
            if alias_of(name) == champion:
                _move(name, version, champion)
                return report
    client.set_registered_model_alias(name, CHALLENGER, version)
    raise LeadwiseError(
        f"{name} version {version}: the champion changed during each of {MOST_COMPARISONS} comparisons; it is "
        f"@{CHALLENGER}; register again when the others have ended"
    )


def roll_back(name: str, require: Callable[[str], object] = require_answer) -> tuple[str, str]:
    """Give the alias back to the version that was champion before, if that still answers.

    Args:
        name: the registered model.
        require: is called with the address of that version, and raises a ``RoundTripError`` if it does not answer.

    Returns:
        The version that lost the alias, and the one that has it now.

    Raises:
        LeadwiseError: there is no such model, no champion, none before it, or one that does not answer.
    """
    client = mlflow.MlflowClient()
    with file_lock(_lock(name)):
        current = alias_of(name)
        if current is None:
            raise LeadwiseError(f"registered-model: {name} has no champion; nothing is rolled back")
        this = f"{name} version {current}"
        champion = client.get_model_version(name, current)
        source = str(champion.source or "")
        if source.startswith("models:/") and "/" in (origin := source.removeprefix("models:/")):
            # MLflow has made a copy; a registered version has its source in a run or logged model.
            raise LeadwiseError(
                f"{this} is a copy of {origin}, tags included: which version was champion before it is not known; "
                f"nothing is rolled back. Give the alias {CHAMPION} by hand to a version that answers"
            )
        if not (previous := champion.tags.get(PREVIOUS_TAG)):
            raise LeadwiseError(f"{this} is the first champion: there is none before it to go back to")
        followed = f"{this} followed version {previous}, which"
        try:
            client.get_model_version(name, previous)
            require(f"models:/{name}/{previous}")
        except MlflowException:
            raise LeadwiseError(f"{followed} was deleted; nothing is rolled back") from None
        except RoundTripError as error:
            raise LeadwiseError(
                f"{followed} does not answer ({str(error).partition(chr(10))[0]}); nothing is rolled back. Bring its "
                "files back, or register a version that passes the gate"
            ) from None
        client.set_registered_model_alias(name, CHAMPION, previous)
        client.set_model_version_tag(name, current, ROLLED_BACK_TAG, datetime.now(UTC).isoformat(timespec="seconds"))
    return current, previous


def alias_of(name: str, alias: str = CHAMPION) -> str | None:
    """The version that has an alias now.

    Raises:
        LeadwiseError: no model of this name is registered.
    """
    try:
        found = mlflow.MlflowClient().get_registered_model(name).aliases.get(alias)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise LeadwiseError(f"registered-model: no model {name} is registered at {mlflow.get_registry_uri()}") from None
    return None if found is None else str(found)


def _move(name: str, version: str, champion: str | None) -> None:
    """The tag first: a champion that was made can be rolled back, whenever this process ends."""
    client = mlflow.MlflowClient()
    if champion is not None:
        client.set_model_version_tag(name, version, PREVIOUS_TAG, champion)
    client.set_registered_model_alias(name, CHAMPION, version)
    challenger = alias_of(name, CHALLENGER)
    # A later one has been judged meanwhile, and is nothing that this one replaces.
    if challenger is not None and int(challenger) <= int(version):
        client.delete_registered_model_alias(name, CHALLENGER)


def _lock(name: str) -> Path:
    """What is locked: beside the registry's database, or, if that is on a server, among this user's temporary files."""
    address = str(mlflow.get_registry_uri())
    if (database := sqlite_file(address)) is not None:
        return database.with_name(f"{database.name}.{name}")
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"leadwise-{os.getuid()}-{digest}-{name}"


GATE_TAG, INTERRUPTED = "gate", "interrupted"
TOLD = "**No verdict: the registration of this version ended before the gate had judged it.**"
PROCESS_TAG = "process"
"""Of a run, and of a registered version that has no verdict yet: who works on it."""
CLOCKS_DIFFER_S = 2.0


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
    server_is_lost = False
    try:
        yield
    except BaseException as error:
        server_is_lost = given_up(error)
        raise
    finally:
        if not server_is_lost:
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
    client = mlflow.MlflowClient()
    for version in client.search_model_versions(f"name = '{name}'"):
        if "leadwise.version" in version.tags and GATE_TAG not in version.tags and _is_left(version):
            _mark(version)
            tell(f"{name} version {version.version}: its registration was interrupted; it has no verdict, and no alias")
    experiments = [active.info.experiment_id] if (active := mlflow.active_run()) else []
    running = "attributes.status = 'RUNNING'"
    for run in mlflow.search_runs(experiments, running, output_format="list") if experiments else ():
        if not ((mark := run.data.tags.get(PROCESS_TAG)) and _has_ended(mark)):
            continue
        client.set_tag(run.info.run_id, FAILURE, "the process was killed")
        client.set_terminated(run.info.run_id, "KILLED")
        tell(f"run {run.info.run_name} ({run.info.run_id[:8]}): its process was killed; the run is ended")
    for folder in clear_temporary_folders():
        tell(f"{folder}: left by a process that was killed; removed")


def _mark(version: ModelVersion) -> None:
    client = mlflow.MlflowClient()
    client.update_model_version(version.name, version.version, description=TOLD)
    client.set_model_version_tag(version.name, version.version, GATE_TAG, INTERRUPTED)
    if PROCESS_TAG in version.tags:
        client.delete_model_version_tag(version.name, version.version, PROCESS_TAG)
    if str(client.get_registered_model(version.name).aliases.get(CHALLENGER)) == str(version.version):
        client.delete_registered_model_alias(version.name, CHALLENGER)


def _is_left(version: ModelVersion) -> bool:
    """Whether nobody works on a version any more; one without a mark is judged by its run."""
    if mark := version.tags.get(PROCESS_TAG):
        return _has_ended(mark)
    try:
        return bool(mlflow.get_run(version.run_id).info.status != "RUNNING")
    except MlflowException:
        return True
