"""Start the page with Streamlit."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from leadwise.app.settings import Settings

PAGE = Path(__file__).with_name("page.py")
PORT = 8501


def launch(settings: Settings, port: int = PORT, address: str = "127.0.0.1") -> NoReturn:
    """Become Streamlit, which serves the page until it is stopped.

    Args:
        settings: who answers, and what examples there are.
        port: of the page.
        address: to listen at; ``0.0.0.0`` lets other machines in.
    """
    os.environ.update(settings.to_environment())
    options = [f"--server.port={port}", f"--server.address={address}", "--browser.gatherUsageStats=false"]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(PAGE), *options])
