"""Which code runs: the commit of the checkout."""

import subprocess

from leadwise.config import PROJECT_ROOT


def commit() -> str:
    """The commit of the code, with ``-dirty`` where files differ from it; empty outside of a checkout."""
    if not (PROJECT_ROOT / ".git").exists():
        # An installed package may lie within somebody else's checkout.
        return ""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip()
