"""A new environment of a version's own requirements and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leadwise.atomic import temporary_folder
from leadwise.contract import LeadwiseError

TIME_LIMIT_S = 900


class InstallationError(LeadwiseError):
    """The requirements of a version cannot be installed."""


@contextmanager
def clean_environment(requirements: Path) -> Iterator[str]:
    """Yield the interpreter of an environment that is removed afterwards.

    Args:
        requirements: the version's ``requirements.txt``.

    Raises:
        InstallationError: they cannot be installed.
    """
    from uv import find_uv_bin

    with temporary_folder("environment") as folder:
        python = str(folder / "bin" / "python")
        _uv(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, "--no-project", str(folder))
        _uv(find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--requirements", str(requirements))
        yield python


def _uv(*command: str) -> None:
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InstallationError(f"{' '.join(command[1:3])}: not done within {TIME_LIMIT_S} s") from None
    if finished.returncode != 0:
        raise InstallationError(f"{' '.join(command[1:3])} failed:\n{finished.stderr[-2000:]}")
