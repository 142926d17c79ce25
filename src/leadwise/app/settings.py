"""What the page was started with. The environment carries it, as Streamlit starts the page itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

PREFIX = "LEADWISE_APP_"


@dataclass(frozen=True)
class Settings:
    """Where the answers and the examples come from; empty where nothing was said.

    Attributes:
        url: of a REST server.
        model: name of a registered model, whose champion answers.
        package: a package folder.
        data: a PTB-XL tree, for real examples.
    """

    url: str = ""
    model: str = ""
    package: str = ""
    data: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read ``LEADWISE_APP_URL``, ``_MODEL``, ``_PACKAGE`` and ``_DATA``."""
        given = os.environ if environment is None else environment
        return cls(**{field.name: given.get(PREFIX + field.name.upper(), "").strip() for field in fields(cls)})

    def to_environment(self) -> dict[str, str]:
        """The inverse of ``from_environment``; a folder becomes absolute."""
        folders = {
            name: str(Path(getattr(self, name)).resolve()) for name in ("package", "data") if getattr(self, name)
        }
        values = {field.name: getattr(self, field.name) for field in fields(self)} | folders
        return {PREFIX + name.upper(): value for name, value in values.items()}
