"""Find who answers: the champion of the registry, the package that Leadwise brings along, a folder, or a server."""

import os
import tempfile
from pathlib import Path

from leadwise.app.model_source import LocalModel, ModelSource, ModelSourceError
from leadwise.app.rest_model import RestModel
from leadwise.app.settings import Settings
from leadwise.contract import LeadwiseError
from leadwise.serving.registered import RegisteredVersion
from leadwise.serving.scorer import DESCRIPTION_FILE

REAL, SIMULATED = "leadwise", "leadwise-demo"
PRETRAINED = "pretrained"
REGISTRY = "models:/"


def find_model(settings: Settings) -> ModelSource:
    """Whoever the settings name; else the champion of PTB-XL, what Leadwise brings along, the champion of a simulation.

    Raises:
        ModelSourceError: there is nobody.
    """
    if settings.url:
        return RestModel(settings.url.rstrip("/").removesuffix("/invocations"))
    if settings.model:
        return named_model(settings.model)
    tried = []
    for name in (f"{REGISTRY}{REAL}@champion", PRETRAINED, f"{REGISTRY}{SIMULATED}@champion"):
        try:
            return named_model(name)
        except ModelSourceError as error:
            tried.append(str(error))
    raise ModelSourceError("\n".join(tried))


def named_model(name: str) -> LocalModel:
    """A model by name.

    Args:
        name: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` of the registry, ``pretrained``, or a package folder.

    Raises:
        ModelSourceError: there is none of that name.
    """
    if name.startswith(REGISTRY):
        return _registered(name)
    if name == PRETRAINED:
        return _shipped()
    return LocalModel.load(Path(name), f"the package in {name}")


def _registered(uri: str) -> LocalModel:
    from leadwise.stage import DEFAULT_TRACKING_URI

    os.environ.setdefault("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ["MLFLOW_TRACKING_URI"]
    # MLflow would make an empty database where there is none.
    if registry.startswith("sqlite:///") and not Path(registry.removeprefix("sqlite:///").partition("?")[0]).is_file():
        raise ModelSourceError(f"{uri}: the registry {registry} does not exist")
    import mlflow
    from mlflow.exceptions import MlflowException

    from leadwise.serving.registered import registered_version

    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        try:
            files = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        except (MlflowException, OSError) as error:
            raise ModelSourceError(
                f"{uri}: not in the registry {registry}: {str(error).splitlines()[0][:200]}"
            ) from None
        description = next(files.glob(f"*/{DESCRIPTION_FILE}"), files / DESCRIPTION_FILE)
        version = registered_version(files)
        return LocalModel.load(description.parent, _title(uri, version), version)


def _title(uri: str, version: RegisteredVersion | None) -> str:
    if version is None:
        return uri
    return f"{version.name}, version {version.version}" + (", the champion" if uri.endswith("@champion") else "")


def _shipped() -> LocalModel:
    from leadwise.registry.shipped import unpack_shipped

    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        try:
            package = unpack_shipped(Path(folder) / "package")
        except LeadwiseError as error:
            raise ModelSourceError(str(error)) from None
        return LocalModel.load(package.folder, "the model that Leadwise brings along")
