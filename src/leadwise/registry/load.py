"""A model by its name: of the registry, bundled with Leadwise, or in a folder; fetched, loaded, or served over REST."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import leadwise
from leadwise.atomic import temporary_folder
from leadwise.contract import LeadwiseError
from leadwise.datasets.releases import read_sha256sums, sha256_of
from leadwise.serving.scorer import DESCRIPTION_FILE, RegisteredVersion, Scorer, read_description, registered_version
from leadwise.tracking_store import DEFAULT_TRACKING_URI, sqlite_file

PRETRAINED = "pretrained"
CHAMPIONS = ("models:/leadwise@champion", "models:/leadwise-demo@champion")
"""Asked for in this order where no model is named; what is bundled comes between the two."""
BUNDLED = Path(leadwise.__file__).parent / "pretrained"
"""The bundled networks: trained on PTB-XL, ready to be used with no data and no training."""
SUMS_FILE = "SHA256SUMS.txt"
CARD_FILE = "MODEL_CARD.md"
SCRIPT = Path(__file__).with_name("model_process.py")


class ModelError(LeadwiseError):
    """A model cannot be loaded, or not be bundled; the message names it and says what is allowed."""


class NoSuchModel(ModelError):
    """The registry can be asked, and knows no such model, version or alias."""


@contextmanager
def found_package(model: str | None = None) -> Iterator[tuple[Path, str]]:
    """The folder with ``model.json`` and its networks, and its name; what is fetched is removed after the block.

    Args:
        model: as ``package_folder`` takes it; ``None``: the champion of the registry in use, or what is bundled, or
            the champion that was trained on simulated data.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or the registry in use cannot be asked.
    """
    real, simulated = CHAMPIONS
    asked = [model] if model else [real, *([PRETRAINED] if (BUNDLED / SUMS_FILE).is_file() else []), simulated]
    with ExitStack() as stack:
        for candidate in asked:
            try:
                folder = stack.enter_context(package_folder(candidate))
            except NoSuchModel:
                if model:
                    raise
                continue
            yield folder, candidate
            return
        raise ModelError(
            "model: no champion is registered here, and no pretrained package is bundled; register one (make run), "
            "name a folder or an address with --model, or ask a server with --url"
        )


def bundled_files(bundled: Path = BUNDLED) -> list[str]:
    """The names of the pretrained package's files, every one checked against its SHA-256.

    Raises:
        ModelError: it is absent or damaged; the message names the file.
    """
    if not (bundled / SUMS_FILE).is_file():
        raise ModelError(f"source: {bundled}: no pretrained package there; take another copy of Leadwise")
    sums = read_sha256sums(bundled / SUMS_FILE)
    for name, expected in sums.items():
        if not (bundled / name).is_file():
            raise ModelError(f"{bundled / name}: does not exist; take another copy of Leadwise")
        if (received := sha256_of(bundled / name)) != expected:
            raise ModelError(
                f"{bundled / name}: SHA-256 is {received[:12]}, expected {expected[:12]}: the file was changed; "
                "take another copy of Leadwise"
            )
    return list(sums)


def card_text(folder: Path) -> str:
    """The model card of a package in Markdown, without its YAML head; empty where there is none."""
    file = folder / CARD_FILE
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    return re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)


@contextmanager
def package_folder(model: str) -> Iterator[Path]:
    """The folder with ``model.json`` and its networks; what is fetched for it is removed at the end of the block.

    Args:
        model: ``models:/NAME@ALIAS`` or another address that MLflow knows, ``pretrained``, or a folder.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or it is none of Leadwise's.
    """
    if model == PRETRAINED:
        bundled_files(BUNDLED)
        yield require_package(BUNDLED, model)
    elif ":/" not in model:
        yield require_package(Path(model), model)
    else:
        with temporary_folder("model") as fetched:
            yield require_package(_fetched(model, fetched) / "artifacts", model)


@dataclass(frozen=True)
class LoadedPackage:
    """A package in memory, with the code of this Leadwise.

    Attributes:
        name: how it was asked for, or found.
        scorer: answers requests.
        registered: the version in the registry; ``None`` where it is none.
        description: content of its ``model.json``.
        card: its model card, as ``card_text``.
    """

    name: str
    scorer: Scorer
    registered: RegisteredVersion | None
    description: Mapping[str, Any]
    card: str

    @classmethod
    def found(cls, model: str | None = None) -> "LoadedPackage":
        """Load it; ``model`` as ``found_package`` takes it.

        Raises:
            LeadwiseError: there is no such model, it is damaged, or the registry in use cannot be asked.
        """
        with found_package(model) as (folder, name):
            registered = registered_version(folder.parent)
            scorer, description = Scorer.load(folder, registered), read_description(folder)
            return cls(name, scorer, registered, description, card_text(folder))


def load_scorer(model: str | None = None) -> Scorer:
    """A scorer, with the code of this Leadwise; ``model`` as ``found_package`` takes it.

    Raises:
        LeadwiseError: there is no such model, it is damaged, or the registry in use cannot be asked.
    """
    return LoadedPackage.found(model).scorer


def _fetched(model: str, folder: Path) -> Path:
    named = filter(None, map(os.environ.get, ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")))
    address = next(named, DEFAULT_TRACKING_URI)
    file = sqlite_file(address)
    if model.startswith("models:/") and file is not None and not file.is_file():
        # MLflow would make an empty one.
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
        files = [folder / entry["file"] for entry in read_description(folder)["networks"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"model: {model}: no package of Leadwise ({DESCRIPTION_FILE}) is there") from None
    for file in files:
        if not file.is_file():
            raise ModelError(f"model: {model}: {file.name} is absent")
    return folder


def become_scoring_server(model: str, address: str, port: int, workers: int) -> NoReturn:
    """Replace this process, so that nothing waits beside the server and signals reach it.

    Args:
        model: what MLflow can load, of a registry or a folder; or ``pretrained``.
        address: to listen at.
        port: to listen at.
        workers: processes that answer.

    Raises:
        ModelError: the bundled package is absent or damaged.
    """
    os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    folder = []
    if model == PRETRAINED:
        from leadwise.registry.package import save_bundled

        folder = [tempfile.mkdtemp(prefix="leadwise-serve-")]
        model = str(save_bundled(Path(folder[0])))
    # -P: the folder of the script holds modules that others would find in the place of theirs.
    command = [sys.executable, "-P", str(SCRIPT), "serve", model, address, str(port), str(workers), *folder]
    sys.stdout.flush()
    os.execv(sys.executable, command)
