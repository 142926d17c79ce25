"""Which process works on something, so that another can tell whether it still does."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROC = Path("/proc")
PROCESS_TAG = "process"
"""Of a run, and of a registered version that has no verdict yet: who works on it."""


def mark_of_this_process() -> dict[str, Any]:
    """Host and process as they are shown to people, and what tells this process from any other one, ever."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "space": _space(), "started": _started(os.getpid())}


def process_tag() -> dict[str, str]:
    """The tag by which others tell whether this process still works on what carries it."""
    return {PROCESS_TAG: json.dumps(mark_of_this_process())}


def has_ended(mark: Mapping[str, Any]) -> bool:
    """Whether the process of a mark has certainly ended; False where that cannot be seen from here.

    It can be seen on the same running kernel and among the same process ids, which two containers on one machine do
    not share. A number that was given to another process since then has another time of start.
    """
    space = _space()
    return bool(space) and mark.get("space") == space and _started(int(mark["pid"])) != mark.get("started")


def _space() -> str:
    """The running kernel and its name space of process ids; empty where there is no such thing."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since the kernel did; ``None``: there is no such process."""
    try:
        status = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold spaces and brackets.
    state, *fields = status.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
