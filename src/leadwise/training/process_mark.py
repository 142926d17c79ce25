"""Which process works on something, so that another can tell whether it still does."""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

PROCESS_TAG = "process"
"""Of a run, and of a registered version that has no verdict yet: who works on it."""
CLOCK_S = 60.0
"""By which the time of a process's start may seem to move, as the clock of the machine is set."""


def mark_of_this_process() -> dict[str, Any]:
    """Host and process as they are shown to people, and when it started, which a later one of that number did not."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def process_tag() -> dict[str, str]:
    """The tag by which others tell whether this process still works on what carries it."""
    return {PROCESS_TAG: json.dumps(mark_of_this_process())}


def has_ended(mark: Mapping[str, Any]) -> bool:
    """Whether the process of a mark has certainly ended; False where that cannot be seen: on another host."""
    if mark.get("host") != socket.gethostname():
        return False
    started = _started(int(mark["pid"]))
    return started is None or abs(started - mark["started"]) > CLOCK_S


def _started(pid: int) -> float | None:
    """When a process started, in seconds since 1970; ``None``: it has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
