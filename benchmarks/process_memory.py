"""How much memory some processes take together."""

import os
from pathlib import Path


def group_memory_mib(group: int) -> float:
    """Proportional set size of all processes of a process group: pages that they share count once."""
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.getpgid(int(entry.name)) == group:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total / 1024
