"""How much memory some processes take together."""

import os
from pathlib import Path


def group_memory_mib(group: int, *, without_leader: bool = False) -> float:
    """Proportional set size of all processes of a process group: pages that they share count once.

    Args:
        group: its number, which is that of its first process.
        without_leader: leave that one out: of a server, the command that has started those who answer.
    """
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdecimal() or (without_leader and int(entry.name) == group):
                continue
            if os.getpgid(int(entry.name)) == group:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total / 1024
