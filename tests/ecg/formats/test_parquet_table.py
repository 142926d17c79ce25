"""Parquet tables with one lead a column, written by pandas and pyarrow."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]


def parquet(table: pa.Table | pd.DataFrame, **more: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table) if isinstance(table, pd.DataFrame) else table, stream, **more)
    return stream.getvalue()


def test_rate_and_units_from_the_metadata_of_the_schema(ecg: Make) -> None:
    one = ecg(500)
    table = pa.table(dict(zip(LEADS, one.microvolts.T.astype("i2"), strict=True)))
    read = read_ecg(parquet(table.replace_schema_metadata({"fs_hz": "500", "units": "uV"})))
    assert (read.format, read.fs_hz, read.questions, read.notes) == ("Parquet", 500, (), ())
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)
    assert [one.field for one in read_ecg(parquet(table)).questions] == ["fs_hz", "units"]


def test_a_column_of_text_is_left_out_by_name(ecg: Make) -> None:
    table = pd.DataFrame(ecg().mv, columns=LEADS).assign(QRS=".")
    read = read_ecg(parquet(table), fs_hz=100, units="mV")
    assert read.notes == ("Left out, as they hold text or nothing: 'QRS'.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: parquet(pd.DataFrame(np.zeros((1000, 12)), columns=LEADS).assign(V3="x")),
            "column 'V3' holds something",
        ),
        (
            lambda: parquet(pa.table({"a": np.zeros(20_000_000)}), compression="zstd"),
            "received 20000000 rows of 1 columns",
        ),
        (lambda: parquet(pa.table({f"c{n}": [1.0] for n in range(300)})), "received 1 rows of 300 columns"),
        (lambda: parquet(pd.DataFrame(np.zeros((1000, 12)), columns=LEADS))[:-20], "table: is broken or cut off"),
        (lambda: b"PAR1" + bytes(100) + b"PAR1", "table: is broken or cut off"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(content: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_ecg(content())
