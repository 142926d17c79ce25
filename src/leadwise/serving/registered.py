"""Which registered version this is: MLflow writes it beside the model when the model is fetched from the registry."""

from dataclasses import dataclass
from pathlib import Path

REGISTERED_FILE = "registered_model_meta"
"""Of MLflow, a YAML file: its ``ModelsArtifactRepository`` leaves it in the model's folder."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: of the registered model.
        version: as MLflow counts.
    """

    name: str
    version: str


def registered_version(model_folder: Path) -> RegisteredVersion | None:
    """The version that a model's folder was fetched as; ``None`` where it did not come from the registry."""
    import yaml

    try:
        content = yaml.safe_load((model_folder / REGISTERED_FILE).read_text(encoding="utf-8"))
        return RegisteredVersion(str(content["model_name"]), str(content["model_version"]))
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
