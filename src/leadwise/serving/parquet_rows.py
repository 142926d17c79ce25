"""Rows of a Parquet table, one column per field."""

from typing import Any

import pyarrow

from leadwise.serving.envelope import Rows, refuse_count, refuse_size
from leadwise.serving.parquet_process import ParquetProcess
from leadwise.serving.values import LARGEST_BODY, RequestError

PANDAS_INDEX = "__index_level_"

_process = ParquetProcess()


def rows_of_parquet(body: bytes) -> Rows:
    """Rows of a Parquet table.

    Raises:
        RequestError: the body is not a Parquet table, has no rows, or is too large.
    """
    refuse_size(len(body))
    table = _process.read(body)
    try:
        columns = {
            str(name): _values(table.column(place).combine_chunks())
            for place, name in enumerate(table.column_names)
            if not name.startswith(PANDAS_INDEX)
        }
    except Exception:
        # Whatever Arrow stumbles over, its message may hold parts of the table.
        raise RequestError("not_parquet", "body", "not a Parquet table") from None
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    refuse_count(len(rows), "body")
    _refuse_long(rows)
    return rows


def _values(array: pyarrow.Array) -> list[Any]:
    """Python values and arrays, one per row."""
    kind = array.type
    if pyarrow.types.is_dictionary(kind):
        shared = array.dictionary.to_pylist()
        return [None if place is None else shared[place] for place in array.indices.to_pylist()]
    if pyarrow.types.is_list(kind) and pyarrow.types.is_dictionary(kind.value_type):
        inner = _values(array.values)
        return [
            None if gone else inner[start:end]
            for gone, start, end in zip(
                array.is_null().to_pylist(),
                array.offsets.to_pylist()[:-1],
                array.offsets.to_pylist()[1:],
                strict=True,
            )
        ]
    if pyarrow.types.is_nested(kind):
        return list(array.to_numpy(zero_copy_only=False))
    found: list[Any] = array.to_pylist()
    return found


def _refuse_long(rows: Rows) -> None:
    """What the rows would be if each held its own text."""
    total = sum(len(value) for row in rows for value in row.values() if isinstance(value, str | bytes))
    if total > LARGEST_BODY:
        raise RequestError("too_large", "body", f"more than {LARGEST_BODY // 2**20} MiB of text in all rows")
