"""How far a download is: a bar on a terminal."""

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leadwise


def test_a_bar_on_a_terminal(serve: Callable[[Path], Any], published: Path, tmp_path: Path) -> None:
    server = serve(published)
    command = [sys.executable, "-m", "leadwise.cli", "download", str(tmp_path / "ptbxl"), "--source", server.url]
    environment = {**os.environ, "PYTHONPATH": str(Path(leadwise.__file__).parents[1])}
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other end was closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    last = shown.decode().replace("\r", "\n").split("fetching")[-1]
    assert last.startswith(": 100%")
    assert "43/43" in last
    assert "MB/s" in last
