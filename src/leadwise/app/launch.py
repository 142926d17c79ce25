"""Start the page with Streamlit."""

import os
import sys
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
    """
    settings.check()
    os.environ.update(settings.to_environment())
    options = [f"--server.port={port}", f"--server.address={address}", "--server.showEmailPrompt=false"]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(ENTRANCE), *options])
