"""The script that MLflow runs to load a registered Leadwise (models from code); nothing is unpickled.

``PyFuncModel.predict`` leaves out columns and parameters that the signature does not name, and says so in a log only:
`{"agee": 71}` would be answered as if nothing were known of the patient. MLflow 3.17 has no setting that refuses them,
a signature that does not name its columns documents nothing, and one made from type hints takes no tables; so the
arguments are read where they still are whole: in the call that is under way.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PyFuncModel, PythonModel, PythonModelContext

from leadwise.serving.api import answer_in_scoring_server, callers
from leadwise.serving.request import absent
from leadwise.serving.request_parsing import RequestError, Rows, read_parameters, rows_or_columns
from leadwise.serving.scorer import Scorer, registered_version

WARNING = "id: whole numbers that a column with gaps held as floats are given back as whole numbers"

Places = frozenset[int]
"""Of rows in their table."""


def mend_ids(rows: list[dict[str, Any]]) -> Places:
    """Make whole numbers of ids that are floats because other rows have none; the places of the rows concerned.

    A column of floats without a gap is as its owner made it; floats from 2**53 on may have been rounded, and stay.
    """
    there = {place: row["id"] for place, row in enumerate(rows) if not absent(row.get("id"))}
    if len(there) == len(rows) or not all(map(_is_whole, there.values())):
        return frozenset()
    for place, value in there.items():
        rows[place]["id"] = int(value)
    return frozenset(there)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(abs(float(value)) < 2**53) and value == int(value)


def arguments_of(model: PythonModel) -> tuple[Any, Mapping[str, Any] | None] | None:
    """``data`` and ``params`` of the call of ``PyFuncModel.predict`` that has led to this model; ``None``: none has."""
    code = inspect.unwrap(PyFuncModel.predict).__code__
    for frame in callers():
        if frame.f_code is code and frame.f_locals["self"].unwrap_python_model() is model:
            return frame.f_locals["data"], frame.f_locals["params"]
    return None


def rows_of_table(table: pd.DataFrame) -> tuple[Rows, Places]:
    """Rows of a table, and the places of those whose id was mended.

    Raises:
        RequestError: two columns have the same name.
    """
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        raise RequestError("not_an_envelope", "data", "a column is named twice")
    columns = [_plain(table.iloc[:, place]) for place in range(len(names))]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)] or [{} for _ in table.index]
    return rows, mend_ids(rows)


def rows_of_data(data: Any) -> tuple[Rows, Places]:
    """Rows of whatever ``PyFuncModel.predict`` takes; the same as ``rows_of_table`` of a table.

    Raises:
        RequestError: it does not name its fields.
    """
    if isinstance(data, pd.Series):
        data = data.to_frame()
    if isinstance(data, pd.DataFrame):
        return rows_of_table(data)
    if isinstance(data, Mapping):
        data = {str(name): list(value) if isinstance(value, np.ndarray) else value for name, value in data.items()}
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        data = list(data)
    rows = rows_or_columns(data, "data")
    return [{str(name): value for name, value in row.items()} for row in rows], frozenset()


def _plain(column: pd.Series) -> list[Any]:
    """Values one by one; what pandas knows as missing is ``None``."""
    return [None if gone else value for gone, value in zip(column.isna(), column.astype(object), strict=True)]


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
        answers = list(self.scorer.answers(rows, asked))
        for place in mended:
            if "error" not in answers[place]:
                answers[place]["warnings"].append(WARNING)
        return [json.dumps(answer, allow_nan=False) for answer in answers] if as_json else answers


set_model(LeadwiseModel())
