"""Parquet tables (Apache Parquet format) with one lead a column."""

import io
from typing import TYPE_CHECKING

import numpy as np

from leadwise.signals.readers.errors import LARGEST_FILE, MOST_CHANNELS, MOST_NUMBERS, ReaderError, shown_text
from leadwise.signals.readers.found import Found, Hints
from leadwise.signals.readers.table_channels import Column, channels_of, is_lead_or_time

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "Parquet"
NUMBERS_ARE = 8
"""Bytes of the widest number."""


def read_parquet(file: str, content: bytes, hints: Hints) -> Found:
    """Read a table of samples; ``fs_hz`` and ``units`` may stand in the metadata of its schema.

    Raises:
        ReaderError: the table is too large, or a column holds something other than numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table_file = pq.ParquetFile(
            io.BytesIO(content), thrift_string_size_limit=2**20, thrift_container_size_limit=10**5
        )
        meta = table_file.metadata
        if meta.num_columns > MOST_CHANNELS or meta.num_rows * meta.num_columns > MOST_NUMBERS:
            raise ReaderError(
                file,
                "table",
                f"received {meta.num_rows} rows of {meta.num_columns} columns; at most {MOST_NUMBERS} numbers in "
                f"{MOST_CHANNELS} columns are read",
            )
        unpacked = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
        if unpacked > max(NUMBERS_ARE * MOST_NUMBERS, LARGEST_FILE):
            raise ReaderError(file, "size", f"unpacks to {unpacked // 2**20} MiB, which is too much")
        table = table_file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ReaderError(file, "table", f"is broken or cut off ({type(error).__name__}); write it anew") from None
    columns = []
    for name, cells in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
            if not is_lead_or_time(name):
                columns.append(Column(name, np.full(len(cells), np.nan), is_text=True))
                continue
            raise ReaderError(file, "table", f"column {shown_text(name)} holds something other than numbers")
        columns.append(Column(name, np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)))
    stated = {key.decode(errors="replace"): text.decode(errors="replace") for key, text in _metadata(table).items()}
    found = channels_of(file, columns, _rates(stated.get("fs_hz", "")), stated.get("units", ""))
    return Found(FORMAT, found.channels, {}, found.notes, rate_question=found.rate_question)


def _metadata(table: "pa.Table") -> dict[bytes, bytes]:
    return table.schema.metadata or {}


def _rates(text: str) -> list[float]:
    try:
        rate = float(text)
    except ValueError:
        return []
    return [rate] if np.isfinite(rate) and rate > 0 else []
