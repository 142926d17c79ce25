"""What the page was started with. The environment carries it, as Streamlit starts the page itself."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from leadwise.contract import LeadwiseError

PREFIX = "LEADWISE_APP_"
ORIGIN = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?")


@dataclass(frozen=True)
class Settings:
    """Where the answers and the examples come from; empty where nothing was said.

    Attributes:
        url: of a scoring server.
        model: ``models:/NAME@ALIAS``, ``pretrained``, or a package folder.
        tree: a PTB-XL tree, for real examples.
        embed_from: origins whose pages may show this one in a frame, with spaces between.
    """

    url: str = ""
    model: str = ""
    tree: str = ""
    embed_from: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read ``LEADWISE_APP_URL``, ``_MODEL``, ``_TREE`` and ``_EMBED_FROM``."""
        given = os.environ if environment is None else environment
        return cls(**{field.name: given.get(PREFIX + field.name.upper(), "").strip() for field in fields(cls)})

    def to_environment(self) -> dict[str, str]:
        """The inverse of ``from_environment``; a folder becomes absolute."""
        folders = {name for name in ("model", "tree") if Path(getattr(self, name)).is_dir() and getattr(self, name)}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            PREFIX + name.upper(): str(Path(value).resolve()) if name in folders else value
            for name, value in values.items()
        }

    def check(self) -> None:
        """Refuse what can be seen to be wrong before a page is open.

        Raises:
            LeadwiseError: the address is none, two are to answer, the tree is no folder, or an origin is none.
        """
        if self.url and self.model:
            raise LeadwiseError("model: is for answers without a server; leave it out with url")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise LeadwiseError(f"url: received {self.url[:60]!r}; http:// or https:// is needed")
        if self.tree and not Path(self.tree).is_dir():
            raise LeadwiseError(f"tree: {self.tree}: no such folder; a PTB-XL tree is needed")
        for origin in self.embed_from.split():
            if not ORIGIN.fullmatch(origin):
                raise LeadwiseError(f"embed_from: received {origin[:60]!r}; https://HOST or http://HOST:PORT is needed")


ENTRANCE = Path(__file__).with_name("entrance.py")


def launch(settings: Settings, port: int, address: str) -> NoReturn:
    """Become Streamlit, which serves the page until it is stopped.

    Args:
        settings: who answers, and what examples there are.
        port: of the page.
        address: to listen at; ``0.0.0.0`` lets other machines in.

    Raises:
        LeadwiseError: a setting is not allowed.
        ModuleNotFoundError: Streamlit is not installed.
    """
    if find_spec("streamlit") is None:
        raise ModuleNotFoundError("No module named 'streamlit'", name="streamlit")
    settings.check()
    os.environ.update(settings.to_environment())
    options = [f"--server.port={port}", f"--server.address={address}", "--server.showEmailPrompt=false"]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(ENTRANCE), *options])
