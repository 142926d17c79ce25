"""A plugin that MLflow imports before it would start its telemetry: where Leadwise is installed, MLflow is quiet.

``mlflow run .`` and ``mlflow models serve`` reach MLflow first, and Leadwise only later or never. This module stands
beside the package and does not import it: a registered model brings a Leadwise of its own, which must be found first.
"""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from mlflow.tracking.context.abstract_context import RunContextProvider

runpy.run_path(str(Path(__file__).with_name("leadwise") / "quiet.py"))


def _make_store() -> None:
    """Before `mlflow run` writes its first run: MLflow makes a new SQLite file without a lock; two would ruin it."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    if Path(sys.argv[0]).name != "mlflow" or sys.argv[1:2] != ["run"] or not address.startswith("sqlite:///"):
        return
    file = Path(address.removeprefix("sqlite:///").partition("?")[0])
    if not (file.is_file() and file.stat().st_size):
        subprocess.run([sys.executable, "-m", "leadwise.tracking_store"], check=False)


_make_store()


class QuietContext(RunContextProvider):
    """Adds no tags to any run: being imported is all that it is for."""

    def in_context(self) -> bool:
        return False

    def tags(self) -> dict[str, str]:
        return {}
