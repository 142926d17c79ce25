"""The networks to answer with: of a registry, as they are shipped, or from a folder."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from leadwise.atomic import temporary_folder
from leadwise.contract import LeadwiseError
from leadwise.registry.shipped import SHIPPED, SUMS_FILE, shipped_files
from leadwise.serving.registered import registered_version
from leadwise.serving.scorer import DESCRIPTION_FILE, Scorer
from leadwise.tracking_store import DEFAULT_TRACKING_URI, sqlite_file

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
