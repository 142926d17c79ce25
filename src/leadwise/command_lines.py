"""Commands that are printed to be pasted: into any shell, in any folder, whatever letters the paths have."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from leadwise.config import PROJECT_ROOT


def command_line(*words: str, variables: Mapping[str, str] | None = None) -> str:
    """A command as a shell takes it.

    Args:
        words: program and arguments.
        variables: of the environment; the default is what a program of this environment needs to find its tracking
            store.
    """
    if variables is None:
        variables = {"MLFLOW_TRACKING_URI": tracking_address()}
    given = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*_environment(words[0]), *given, shlex.join(words)])


def tracking_address() -> str:
    """The tracking store's address, good from any folder."""
    import mlflow

    address = str(mlflow.get_tracking_uri())
    scheme, mark, rest = address.partition(":///")
    if scheme != "sqlite":
        return address
    name, question, query = rest.partition("?")
    return f"{scheme}{mark}{Path(name).resolve()}{question}{query}"


def _environment(program: str) -> list[str]:
    """How to reach this environment's programs from a shell that has not activated it."""
    folder = PROJECT_ROOT / ".venv" / "bin"
    return [f"PATH={shlex.quote(str(folder))}:$PATH"] if os.access(folder / program, os.X_OK) else []
