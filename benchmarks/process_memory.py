"""How much memory some processes take."""

import os
from contextlib import suppress
from pathlib import Path


def memory_mib(group: int) -> dict[int, float]:
    """Process -> proportional set size, of each process of a group: pages that they share count once in all."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if entry.name.isdecimal() and os.getpgid(int(entry.name)) == group:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                found[int(entry.name)] = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return found
