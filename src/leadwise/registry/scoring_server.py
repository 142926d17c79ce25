"""``leadwise serve``: this process becomes MLflow's scoring server."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from leadwise.tracking_store import DEFAULT_TRACKING_URI

SCRIPT = Path(__file__).with_name("scoring_process.py")


def become_scoring_server(model: str, address: str, port: int, workers: int) -> NoReturn:
    """Replace this process, so that nothing waits beside the server and signals reach it.

    Args:
        model: what MLflow can load: of a registry, or a folder.
        address: to listen at.
        port: to listen at.
        workers: processes that answer.
    """
    environment = {
        "MLFLOW_TRACKING_URI": DEFAULT_TRACKING_URI,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    } | dict(os.environ)
    # -P: the folder of the script holds modules that others would find in the place of theirs.
    command = [sys.executable, "-P", str(SCRIPT), model, address, str(port), str(workers)]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
