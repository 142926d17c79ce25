"""The script that MLflow runs to load a registered Leadwise (models from code); nothing is unpickled."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from leadwise.contract import LeadwiseError
from leadwise.serving.invocations import answer_in_scoring_server
from leadwise.serving.payload import PayloadError
from leadwise.serving.scorer import Scorer


class LeadwiseModel(PythonModel):
    """The scorer as an MLflow model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the ONNX sessions."""
        self.scorer = Scorer.load(Path(context.artifacts["description"]).parent)
        answer_in_scoring_server(self.scorer)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One answer per row of the table; a column that is absent, ``None`` and NaN all mean not given.

        Args:
            context: MLflow's.
            model_input: one row per request.
            params: ``all_findings``: list every statement that is trusted, not only those that are reported.

        Raises:
            MlflowException: with the code INVALID_PARAMETER_VALUE; the message names row and field.
        """
        rows = [{str(name): value for name, value in row.items()} for row in model_input.to_dict(orient="records")]
        try:
            return self.scorer.score(rows, all_findings=bool((params or {}).get("all_findings", False)))
        except PayloadError as error:
            raise MlflowException.invalid_parameter_value(str(error), row=error.row, field=error.field) from None
        except LeadwiseError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


set_model(LeadwiseModel())
