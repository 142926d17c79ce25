"""The page, served as a user or a host starts it: for tests in a browser."""

import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
READY_S = 180


@contextmanager
def page_served(command: Sequence[str], port: int, environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Start the page in a folder; its address until the block ends."""
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        command,
        env=os.environ | environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    try:
        # From this line on Streamlit takes a connection; it answers when everything is imported.
        said = ""
        while "URL: http" not in said:
            line = server.stdout.readline()
            assert line, f"the page did not start: {said}"
            said += line
        threading.Thread(target=server.stdout.read, daemon=True).start()
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=READY_S).close()
        yield address
    finally:
        server.terminate()
        server.wait(30)
