"""Damaged and lying Parquet tables end a process of their own at most, never the one that answers."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leadwise.serving.parquet_process import ParquetProcess
from leadwise.serving.parquet_table import MEMORY_LIMIT
from leadwise.serving.values import RequestError


@pytest.fixture(scope="module")
def reader() -> Iterator[ParquetProcess]:
    reader = ParquetProcess()
    yield reader
    reader.end()


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


GOOD = parquet(pa.table({"age": [50.0]}))


def test_wherever_a_table_is_damaged_the_next_one_is_read(reader: ParquetProcess) -> None:
    died = 0
    for place in range(len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[place] = 54
        with suppress(RequestError):
            reader.read(bytes(damaged))
        died += not reader.runs
    assert reader.read(GOOD).to_pydict() == {"age": [50.0]}
    # Arrow 25 ends the process at some of them; otherwise this file would have no reason.
    assert died


def test_a_table_that_unpacks_to_more_than_fits_is_refused(reader: ParquetProcess) -> None:
    width = 2**16
    repeated = pa.DictionaryArray.from_arrays(
        pa.array([0] * (MEMORY_LIMIT // width), pa.int32()), pa.array([b"x" * width], pa.binary(width))
    )
    column = pa.ListArray.from_arrays(pa.array([0, len(repeated)], pa.int32()), repeated)
    bomb = parquet(pa.table({"signal": column}), store_schema=False)
    assert len(bomb) < 10**6
    with pytest.raises(RequestError, match="body: not a Parquet table"):
        reader.read(bomb)
    assert reader.read(GOOD).num_rows == 1


def test_a_reader_that_was_killed_is_started_again(reader: ParquetProcess) -> None:
    reader.read(GOOD)
    os.kill(reader.process_id, signal.SIGKILL)
    # Whether the first one already finds a new process depends on when the old one has ended.
    with suppress(RequestError):
        reader.read(GOOD)
    assert reader.read(GOOD).num_rows == 1
