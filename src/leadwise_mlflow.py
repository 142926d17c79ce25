"""A plugin that MLflow imports before it would start its telemetry: where Leadwise is installed, MLflow is quiet.

``mlflow run .`` and ``mlflow models serve`` reach MLflow first, and Leadwise only later or never. This module stands
beside the package and does not import it: a registered model brings a Leadwise of its own, which must be found first.
"""

import runpy
from pathlib import Path

from mlflow.tracking.context.abstract_context import RunContextProvider

runpy.run_path(str(Path(__file__).with_name("leadwise") / "quiet.py"))


class QuietContext(RunContextProvider):
    """Adds no tags to any run: being imported is all that it is for."""

    def in_context(self) -> bool:
        return False

    def tags(self) -> dict[str, str]:
        return {}
