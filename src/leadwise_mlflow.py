"""A plugin that MLflow imports before it would start its telemetry: where Leadwise is installed, MLflow is quiet.

``mlflow run .`` and ``mlflow models serve`` reach MLflow first, and Leadwise only later or never. This module stands
beside the package and does not import it: a registered model brings a Leadwise of its own, which must be found first.
"""

import logging
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

from mlflow.tracking.context.abstract_context import RunContextProvider

runpy.run_path(str(Path(__file__).with_name("leadwise") / "__init__.py"))


EXPERIMENT = "leadwise"


def _before_project_run() -> None:
    """Before `mlflow run` writes its first run: the store, the experiment, and silence about how MLflow does it.

    MLflow makes a new SQLite file without a lock; two would ruin it. Without a name, a run of this project would land
    in the experiment ``Default``.
    """
    if Path(sys.argv[0]).name != "mlflow" or sys.argv[1:2] != ["run"]:
        return
    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)
    logging.getLogger("mlflow.cli").addFilter(_says_more_than_the_stage)
    named = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
    options = ("--experiment-name", "--experiment-id", "--run-id", "--backend")
    asked = any(word.split("=")[0] in options for word in sys.argv) or any(name in os.environ for name in named)
    if not asked and any(map(_is_ours, sys.argv[2:])):
        os.environ["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
    address = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    if not address.startswith("sqlite:///"):
        return
    file = Path(address.removeprefix("sqlite:///").partition("?")[0])
    if not (file.is_file() and file.stat().st_size):
        subprocess.run([sys.executable, "-m", "leadwise.tracking_store"], check=False)


def _says_more_than_the_stage(record: logging.LogRecord) -> bool:
    """Whether to print a line of MLflow's: not that a run failed whose stage has said why, as its own last line."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    failed = re.search(r"Run \(ID '(\w+)'\) failed", record.getMessage())
    if failed is None:
        return True
    try:
        return "failure" not in MlflowClient().get_run(failed[1]).data.tags
    except MlflowException:
        return True


def _is_ours(word: str) -> bool:
    """Whether an argument is a folder with Leadwise's MLproject."""
    try:
        lines = (Path(word) / "MLproject").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return "name: leadwise" in lines


_before_project_run()


class QuietContext(RunContextProvider):
    """Adds no tags to any run: being imported is all that it is for."""

    def in_context(self) -> bool:
        return False

    def tags(self) -> dict[str, str]:
        return {}
