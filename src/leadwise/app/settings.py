"""What the page was started with. The environment carries it, as Streamlit starts the page itself."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from leadwise.config import App
from leadwise.contract import LeadwiseError

PREFIX = "LEADWISE_APP_"
CARRIED = ("url", "model", "tree", "embed_from")
ORIGIN = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?")


def from_environment() -> App:
    """Read ``LEADWISE_APP_URL``, ``_MODEL``, ``_TREE`` and ``_EMBED_FROM``; empty where nothing was said."""
    return App.model_validate({name: os.environ.get(PREFIX + name.upper(), "").strip() for name in CARRIED})


def to_environment(settings: App) -> dict[str, str]:
    """The inverse of ``from_environment``; a folder becomes absolute."""
    values = {name: getattr(settings, name) for name in CARRIED}
    for name in ("model", "tree"):
        if values[name] and Path(values[name]).is_dir():
            values[name] = str(Path(values[name]).resolve())
    return {PREFIX + name.upper(): value for name, value in values.items()}


def check(settings: App) -> None:
    """Refuse what can be seen to be wrong before a page is open.

    Raises:
        LeadwiseError: the address is none, two are to answer, the tree is no folder, or an origin is none.
    """
    if settings.url and settings.model:
        raise LeadwiseError("model: is for answers without a server; leave it out with url")
    if settings.url and not settings.url.startswith(("http://", "https://")):
        raise LeadwiseError(f"url: received {settings.url[:60]!r}; http:// or https:// is needed")
    if settings.tree and not Path(settings.tree).is_dir():
        raise LeadwiseError(f"tree: {settings.tree}: no such folder; a PTB-XL tree is needed")
    for origin in settings.embed_from.split():
        if not ORIGIN.fullmatch(origin):
            raise LeadwiseError(f"embed_from: received {origin[:60]!r}; https://HOST or http://HOST:PORT is needed")


ENTRANCE = Path(__file__).with_name("entrance.py")


def launch(settings: App) -> NoReturn:
    """Become Streamlit, which serves the page until it is stopped.

    Raises:
        LeadwiseError: a setting is not allowed.
        ModuleNotFoundError: Streamlit is not installed.
    """
    if find_spec("streamlit") is None:
        raise ModuleNotFoundError("No module named 'streamlit'", name="streamlit")
    check(settings)
    os.environ.update(to_environment(settings))
    listens = [f"--server.port={settings.port}", f"--server.address={settings.address}"]
    words = ["-m", "streamlit", "run", str(ENTRANCE), *listens, "--server.showEmailPrompt=false"]
    os.execv(sys.executable, [sys.executable, *words])
