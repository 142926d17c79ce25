"""The script that MLflow runs to load a registered Leadwise (models from code); nothing is unpickled."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from leadwise.serving.api import answer_in_scoring_server
from leadwise.serving.envelope import read_parameters
from leadwise.serving.pyfunc_rows import arguments_of, rows_of_data, tell_mended
from leadwise.serving.scorer import Scorer, registered_version
from leadwise.serving.values import RequestError


class LeadwiseModel(PythonModel):
    """The scorer as an MLflow model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the ONNX sessions."""
        folder = Path(context.artifacts["description"]).parent
        self.scorer = Scorer.load(folder, registered_version(folder.parent))
        answer_in_scoring_server(self.scorer)
        # pandas imports what this takes when it is first asked for.
        rows_of_data(pd.DataFrame([{"age": 60.0}]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]] | list[str]:
        """One answer per row of the table; a column that is absent, ``None`` and NaN all mean not given.

        A row that cannot be answered gets an ``error`` in its place; so does each row of a table that has a column
        which is no field.

        Args:
            context: MLflow's.
            model_input: one row per request.
            params: ``policy``, ``explain`` (a list of classes), ``all_findings``; see ``docs/serving.md``. With
                ``as_json`` each answer is a text in JSON: a column of Spark cannot hold a structure in one row and
                none in the next.

        Raises:
            MlflowException: a parameter is unknown or not allowed, or the rows do not name their fields; with the code
                INVALID_PARAMETER_VALUE.
        """
        data, all_params = arguments_of(self) or (model_input, params)
        # MLflow has checked the values of those that the signature names.
        given = {**(all_params or {}), **(params or {})}
        as_json = bool(given.pop("as_json", False))
        try:
            asked = read_parameters(given, self.scorer.policies)
            rows, mended = rows_of_data(data)
        except RequestError as error:
            raise MlflowException.invalid_parameter_value(str(error), field=error.field) from None
        answers = list(tell_mended(self.scorer.answers(rows, asked), mended))
        return [json.dumps(answer, allow_nan=False) for answer in answers] if as_json else answers


set_model(LeadwiseModel())
