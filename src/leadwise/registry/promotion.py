"""Which version is the champion: moved by whoever has compared with the champion of the moment, and moved back.

MLflow's registry knows no "set this alias if it still points there". So on one machine a lock stands around looking and
moving, and on any machine the alias is looked at again at the last moment: a champion that changed since the comparison
is compared with anew. What remains is the moment between that look and the move, against another machine.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.atomic import one_at_a_time, temporary_folder
from leadwise.contract import LeadwiseError
from leadwise.registry.bundled import SHIPPED, SUMS_FILE, shipped_files
from leadwise.registry.gate.report import GateReport
from leadwise.registry.smoke_test import RoundTripError, require_answer
from leadwise.serving.scorer import DESCRIPTION_FILE, Scorer, registered_version
from leadwise.tracking_store import DEFAULT_TRACKING_URI, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS_TAG = "previous-champion"
ROLLED_BACK_TAG = "rolled-back"
MOST_COMPARISONS = 5


class PromotionError(LeadwiseError):
    """The champion cannot be moved, or moved back; the message says why."""


def promote(name: str, version: str, judge: Callable[[str | None], GateReport]) -> GateReport:
    """Make a version the champion if ``judge`` lets it pass against whoever is champion at that moment.

    The version remembers in a tag which champion it follows, for ``roll_back``.

    Args:
        name: the registered model.
        version: the candidate.
        judge: compares with a version, or with none; called again when another one has become champion meanwhile.

    Returns:
        The last report. The version is champion if it passed, and challenger if it only answers.

    Raises:
        PromotionError: the champion changed during each of ``MOST_COMPARISONS`` comparisons.
    """
    import mlflow

    client = mlflow.MlflowClient()
    for _ in range(MOST_COMPARISONS):
        champion = champion_of(name)
        report = judge(champion)
        if not report.passed:
            if report.answers:
                client.set_registered_model_alias(name, CHALLENGER, version)
            return report
        with one_at_a_time(_lock(name)):
            if champion_of(name) == champion:
                _move(name, version, champion)
                return report
    client.set_registered_model_alias(name, CHALLENGER, version)
    raise PromotionError(
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
        PromotionError: there is no such model, no champion, none before it, or one that does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    with one_at_a_time(_lock(name)):
        current = champion_of(name)
        if current is None:
            raise PromotionError(f"registered-model: {name} has no champion; nothing is rolled back")
        champion = client.get_model_version(name, current)
        if origin := _copied_from(champion):
            raise PromotionError(
                f"{name} version {current} is a copy of {origin}, tags included: which version was champion before it "
                f"is not known; nothing is rolled back. Give the alias {CHAMPION} by hand to a version that answers"
            )
        previous = champion.tags.get(PREVIOUS_TAG)
        if not previous:
            raise PromotionError(
                f"{name} version {current} is the first champion: there is none before it to go back to"
            )
        try:
            client.get_model_version(name, previous)
        except MlflowException:
            raise PromotionError(
                f"{name} version {current} followed version {previous}, which was deleted; nothing is rolled back"
            ) from None
        try:
            require(f"models:/{name}/{previous}")
        except RoundTripError as error:
            raise PromotionError(
                f"{name} version {current} followed version {previous}, which does not answer "
                f"({str(error).partition(chr(10))[0]}); nothing is rolled back. Bring its files back, or register a "
                "version that passes the gate"
            ) from None
        client.set_registered_model_alias(name, CHAMPION, previous)
        client.set_model_version_tag(name, current, ROLLED_BACK_TAG, datetime.now(UTC).isoformat(timespec="seconds"))
    return current, previous


def champion_of(name: str) -> str | None:
    """The version that has the alias champion now.

    Raises:
        PromotionError: no model of this name is registered.
    """
    return alias_of(name, CHAMPION)


def alias_of(name: str, alias: str) -> str | None:
    """The version that has an alias now."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        found = mlflow.MlflowClient().get_registered_model(name).aliases.get(alias)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise PromotionError(
            f"registered-model: no model {name} is registered at {mlflow.get_registry_uri()}"
        ) from None
    return None if found is None else str(found)


def _move(name: str, version: str, champion: str | None) -> None:
    """The tag first: a champion that was made can be rolled back, whenever this process ends."""
    import mlflow

    client = mlflow.MlflowClient()
    if champion is not None:
        client.set_model_version_tag(name, version, PREVIOUS_TAG, champion)
    client.set_registered_model_alias(name, CHAMPION, version)
    challenger = alias_of(name, CHALLENGER)
    # A later one has been judged meanwhile, and is nothing that this one replaces.
    if challenger is not None and int(challenger) <= int(version):
        client.delete_registered_model_alias(name, CHALLENGER)


def _copied_from(version: "ModelVersion") -> str | None:
    """The version of which MLflow has made a copy; a registered one has its source in a run or logged model."""
    source = str(version.source or "").removeprefix("models:/")
    return source if source != version.source and "/" in source else None


def _lock(name: str) -> Path:
    """What is locked: beside the registry's database, or, if that is on a server, among this user's temporary files."""
    import mlflow

    address = str(mlflow.get_registry_uri())
    if (database := sqlite_file(address)) is not None:
        return database.with_name(f"{database.name}.{name}")
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"leadwise-{os.getuid()}-{digest}-{name}"


PRETRAINED = "pretrained"
CHAMPIONS = ("models:/leadwise@champion", "models:/leadwise-demo@champion")
"""Asked for in this order where no model is named; what is shipped comes between the two."""


class ModelError(LeadwiseError):
    """A model cannot be loaded; the message names it and says what is allowed."""


class NoSuchModel(ModelError):
    """The registry can be asked, and knows no such model, version or alias."""


@contextmanager
def found_package(model: str | None = None) -> Iterator[tuple[Path, str]]:
    """The folder with ``model.json`` and its networks, and its name; what is fetched is removed after the block.

    Args:
        model: as ``package_folder`` takes it; ``None``: the champion of the registry in use, or what is shipped, or
            the champion that was trained on simulated data.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or the registry in use cannot be asked.
    """
    with ExitStack() as stack:
        yield _entered(stack, model)


def _entered(stack: ExitStack, model: str | None) -> tuple[Path, str]:
    if model is not None:
        return stack.enter_context(package_folder(model)), model
    real, simulated = CHAMPIONS
    for candidate in (real, PRETRAINED, simulated):
        if candidate == PRETRAINED and not (SHIPPED / SUMS_FILE).is_file():
            continue
        try:
            return stack.enter_context(package_folder(candidate)), candidate
        except NoSuchModel:
            continue
    raise ModelError(
        "model: no champion is registered here, and no pretrained package is shipped; register one (make run), name a "
        "folder or an address with --model, or ask a server with --url"
    )


@contextmanager
def package_folder(model: str) -> Iterator[Path]:
    """The folder with ``model.json`` and its networks; what is fetched for it is removed at the end of the block.

    Args:
        model: ``models:/NAME@ALIAS`` or another address that MLflow knows, ``pretrained``, or a folder.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or it is none of Leadwise's.
    """
    if model == PRETRAINED:
        shipped_files(SHIPPED)
        yield require_package(SHIPPED, model)
    elif ":/" not in model:
        yield require_package(Path(model), model)
    else:
        with temporary_folder("model") as fetched:
            yield require_package(_fetched(model, fetched) / "artifacts", model)


def load_scorer(model: str | None = None) -> Scorer:
    """A scorer, with the code of this Leadwise; ``model`` as ``found_package`` takes it.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or the registry in use cannot be asked.
    """
    with found_package(model) as (folder, _):
        return Scorer.load(folder, registered_version(folder.parent))


def _absent_registry() -> str | None:
    """The address of the registry in use if it is a file that is not there: MLflow would make an empty one."""
    named = filter(None, map(os.environ.get, ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")))
    address = next(named, DEFAULT_TRACKING_URI)
    file = sqlite_file(address)
    return None if file is None or file.is_file() else address


def _fetched(model: str, folder: Path) -> Path:
    if model.startswith("models:/") and (address := _absent_registry()):
        raise NoSuchModel(f"model: {model}: the registry {address} does not exist")
    os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(model, dst_path=str(folder)))
    except MlflowException as error:
        absent = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
        told = f"model: {model}: cannot be fetched from the registry: {_first_line(error)}"
        raise (NoSuchModel if absent else ModelError)(told) from None
    except OSError as error:
        raise ModelError(f"model: {model}: cannot be fetched: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def require_package(folder: Path, model: str) -> Path:
    """The folder, if it holds ``model.json`` and the networks that it names.

    Raises:
        ModelError: it does not.
    """
    try:
        networks = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))["networks"]
        files = [folder / entry["file"] for entry in networks.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"model: {model}: no package of Leadwise ({DESCRIPTION_FILE}) is there") from None
    for file in files:
        if not file.is_file():
            raise ModelError(f"model: {model}: {file.name} is absent")
    return folder
