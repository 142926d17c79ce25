"""Start the page with Streamlit."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from leadwise.app.settings import Settings

ENTRANCE = Path(__file__).with_name("entrance.py")


def launch(settings: Settings, port: int, address: str) -> NoReturn:
    """Become Streamlit, which serves the page until it is stopped.

    Args:
        settings: who answers, and what examples there are.
        port: of the page.
        address: to listen at; ``0.0.0.0`` lets other machines in.

    Raises:
        SettingsError: a setting is not allowed.
        ModuleNotFoundError: Streamlit is not installed.
    """
    if find_spec("streamlit") is None:
        raise ModuleNotFoundError("No module named 'streamlit'", name="streamlit")
    settings.check()
    os.environ.update(settings.to_environment())
    options = [f"--server.port={port}", f"--server.address={address}", "--server.showEmailPrompt=false"]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(ENTRANCE), *options])
