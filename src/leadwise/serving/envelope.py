"""The body of a request to the scoring server: rows out of each envelope that MLflow documents.

MLflow's own reading would drop unknown fields, merge rows that name different facts, and repeat the body in its error
messages; a patient's recording must not come back or reach a log.
"""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from leadwise.contract import LeadwiseError
from leadwise.serving.payload import FIELDS

SCALAR_FIELDS: frozenset[str] = frozenset(FIELDS) - {"signal", "leads"}

PARAMETERS: frozenset[str] = frozenset({"all_findings"})
"""What ``params`` may hold; see ``Scorer.answer``."""

Rows = list[dict[str, Any]]


class EnvelopeError(LeadwiseError):
    """The body of a request is not an envelope with rows; the message never repeats the body."""


def rows_of_json(body: bytes | str) -> tuple[Rows, dict[str, bool]]:
    """Rows of a JSON body, and its parameters: ``PARAMETERS`` that were given.

    Raises:
        EnvelopeError: the body is not JSON, or not one of the four envelopes, or a parameter is not allowed.
    """
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        raise EnvelopeError(f"body: not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):
        raise EnvelopeError("body: not JSON in UTF-8, or nested too deeply, or with a number too long") from None
    if not isinstance(content, dict):
        raise EnvelopeError(f"body: an object is needed with one of {', '.join(_READERS)}")
    parameters = _parameters(content.pop("params", None))
    found = [name for name in _READERS if name in content]
    if len(found) != 1 or len(content) != 1:
        raise EnvelopeError(f"body: exactly one of {', '.join(_READERS)} is needed, and nothing else")
    rows = _READERS[found[0]](content[found[0]], found[0])
    if not rows:
        raise EnvelopeError(f"{found[0]}: received no rows")
    return rows, parameters


def _parameters(content: Any) -> dict[str, bool]:
    if not content:
        return {}
    if not isinstance(content, dict) or not content.keys() <= PARAMETERS:
        raise EnvelopeError(f"params: an object is needed; allowed: {', '.join(PARAMETERS)}")
    if not all(value is None or isinstance(value, bool) for value in content.values()):
        raise EnvelopeError(f"params: true or false is needed for each of {', '.join(PARAMETERS)}")
    return {name: value for name, value in content.items() if value is not None}


def rows_of_parquet(body: bytes) -> Rows:
    """Rows of a Parquet table, one column per field.

    Raises:
        EnvelopeError: the body is not a Parquet table, or has no rows.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(body))
    except Exception:
        # Whatever the reader stumbles over, its message may hold parts of the table.
        raise EnvelopeError("body: not a Parquet table") from None
    if table.empty:
        raise EnvelopeError("body: received no rows")
    return [{str(name): value for name, value in row.items()} for row in table.astype(object).to_dict(orient="records")]


def _records(content: Any, name: str) -> Rows:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise EnvelopeError(f"{name}: a list of objects, one per row, is needed")
    return content


def _split(content: Any, name: str) -> Rows:
    if not isinstance(content, dict) or not {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}:
        raise EnvelopeError(f"{name}: an object with columns and data is needed")
    columns, data = content["columns"], content["data"]
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise EnvelopeError(f"{name}: columns: a list of field names is needed")
    if len(set(columns)) < len(columns):
        raise EnvelopeError(f"{name}: columns: a field is named twice")
    if not isinstance(data, list):
        raise EnvelopeError(f"{name}: data: a list of rows is needed")
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise EnvelopeError(f"{name}: data: row {number} is not a list of {len(columns)} values")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _records_or_columns(content: Any, name: str) -> Rows:
    """A list of rows, one row, or columns: an object whose every value is a list with one entry per row."""
    if not isinstance(content, dict):
        return _records(content, name)
    scalars = [
        isinstance(value, list) for field, value in content.items() if field in SCALAR_FIELDS and value is not None
    ]
    if not any(scalars):
        return [content]
    columns = {field: value for field, value in content.items() if value is not None}
    lengths = {len(value) if isinstance(value, list) else -1 for value in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise EnvelopeError(f"{name}: either one row, or lists of the same length, one entry per row, are needed")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


_READERS: Mapping[str, Callable[[Any, str], Rows]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": _records_or_columns,
    "instances": _records_or_columns,
}
