"""Find who answers: the champion of the registry, the package that Leadwise brings along, a folder, or a server."""

from leadwise.app.model_source import LocalModel, ModelSource, ModelSourceError
from leadwise.app.rest_model import RestModel
from leadwise.app.settings import Settings
from leadwise.contract import LeadwiseError
from leadwise.registry.load import PRETRAINED, found_package
from leadwise.serving.scorer import RegisteredVersion, registered_version


def find_model(settings: Settings) -> ModelSource:
    """Whoever the settings name; else the champion of PTB-XL, what Leadwise brings along, the champion of a simulation.

    Raises:
        ModelSourceError: there is nobody.
    """
    if settings.url:
        return RestModel(settings.url.rstrip("/").removesuffix("/invocations"))
    return local_model(settings.model or None)


def local_model(name: str | None) -> LocalModel:
    """A model in this process.

    Args:
        name: as ``leadwise.registry.load.found_package`` takes it.

    Raises:
        ModelSourceError: there is none of that name.
    """
    try:
        with found_package(name) as (folder, address):
            version = registered_version(folder.parent)
            return LocalModel.load(folder, _title(address, version), version)
    except ModelSourceError:
        raise
    except LeadwiseError as error:
        raise ModelSourceError(str(error)) from None


def _title(address: str, version: RegisteredVersion | None) -> str:
    if address == PRETRAINED:
        return "the model that Leadwise brings along"
    if ":/" not in address:
        return f"the package in {address}"
    if version is None:
        return address
    return f"{version.name}, version {version.version}" + (", the champion" if address.endswith("@champion") else "")
