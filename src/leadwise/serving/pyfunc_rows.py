"""What a caller of ``mlflow.pyfunc`` asked for, before MLflow fitted it to the signature.

``PyFuncModel.predict`` leaves out columns and parameters that the signature does not name, and says so in a log only:
`{"agee": 71}` would be answered as if nothing were known of the patient. MLflow 3.17 has no setting that refuses them,
a signature that does not name its columns documents nothing, and one made from type hints takes no tables; so the
arguments are read where they still are whole: in the call that is under way.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.serving.envelope import Rows, rows_or_columns
from leadwise.serving.request import Answer, absent
from leadwise.serving.values import RequestError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.pyfunc import PythonModel

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


def tell_mended(answers: Iterable[Answer], places: Places) -> Iterator[Answer]:
    """The answers, of which those to mended rows say so."""
    for place, answer in enumerate(answers):
        if place in places and "error" not in answer:
            answer["warnings"].append(WARNING)
        yield answer


def _is_whole(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(abs(float(value)) < 2**53) and value == int(value)


def arguments_of(model: "PythonModel") -> tuple[Any, Mapping[str, Any] | None] | None:
    """``data`` and ``params`` of the call of ``PyFuncModel.predict`` that has led to this model; ``None``: none has."""
    from mlflow.pyfunc import PyFuncModel

    code = inspect.unwrap(PyFuncModel.predict).__code__
    frame = inspect.currentframe()
    try:
        while frame is not None:
            if frame.f_code is code:
                arguments = inspect.getargvalues(frame).locals
                if arguments["self"].unwrap_python_model() is model:
                    return arguments["data"], arguments["params"]
            frame = frame.f_back
        return None
    finally:
        # A frame that holds itself would keep the recordings.
        del frame


def rows_of_table(table: "pd.DataFrame") -> tuple[Rows, Places]:
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
    import pandas as pd

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


def _plain(column: "pd.Series") -> list[Any]:
    """Values one by one; what pandas knows as missing is ``None``."""
    return [None if gone else value for gone, value in zip(column.isna(), column.astype(object), strict=True)]
