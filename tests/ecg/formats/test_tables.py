"""Text tables as spreadsheets, R, MATLAB, wfdb's rdsamp and devices write them; and Parquet tables."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]

Known = dict[str, Any]
RATE_AND_UNIT: Known = {"fs_hz": 100, "units": "mV"}


@pytest.fixture(scope="module")
def mv(ecg: Make) -> np.ndarray:
    """``(1000, 12)`` millivolts of 10 s at 100 Hz, three decimals."""
    return ecg().mv


@pytest.fixture(scope="module")
def table(mv: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(mv, columns=LEADS)


def with_times(table: pd.DataFrame) -> pd.DataFrame:
    timed = table.copy()
    timed.insert(0, "time_s", np.arange(1000) / 100)
    return timed


def same(content: str | bytes, mv: np.ndarray, **hints: Any) -> Any:
    """Read a table that needs no more than the hints, and compare."""
    read = read_ecg(content.encode() if isinstance(content, str) else content, **hints)
    assert read.questions == ()
    assert read.fs_hz == 100
    np.testing.assert_allclose(read.recording().record.signal_mv, mv, atol=1e-6)
    return read


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("sep", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_delimiters_and_decimal_signs(
    table: pd.DataFrame, mv: np.ndarray, sep: str, decimal: str, header: bool
) -> None:
    if sep == decimal:
        pytest.skip("a comma cannot be both")
    text = table.to_csv(sep=sep, decimal=decimal, header=header, index=False)
    read = same(text, mv, **RATE_AND_UNIT, **({} if header else {"leads": LEADS}))
    assert ("The decimal sign was taken to be a comma." in read.notes) == (decimal == ",")


@pytest.mark.parametrize(
    "content",
    [
        lambda table: table.to_csv(index=False, lineterminator="\r\n"),
        lambda table: table.to_csv(index=False, lineterminator="\r"),
        lambda table: table.to_csv(index=False, quoting=1),
        lambda table: table.to_csv(),
        lambda table: table.to_csv(index_label="sample"),
        lambda table: table.to_csv(index=False).encode("utf-16"),
        lambda table: table.to_csv(index=False).encode("utf-8-sig"),
        lambda table: "\n".join(f"{line}," for line in table.to_csv(index=False).split()),
        lambda table: table.to_csv(index=False) + "\n\n\n",
        lambda table: "# made by somebody\n% on some day\n\n" + table.to_csv(index=False),
        lambda table: table.to_csv(index=False, float_format="%.3e"),
        lambda table: table.T.to_csv(header=False),
        lambda table: table.T.to_csv(header=False, sep=";", decimal=","),
        lambda table: table.to_string(index=False),
    ],
    ids=["CRLF", "CR", "quotes", "row numbers", "sample column", "UTF-16", "mark", "delimiter at the end",
         "blank lines", "comments", "exponents", "a lead a line", "a lead a line, commas", "aligned with spaces"],
)  # fmt: skip
def test_ways_to_write_a_table(table: pd.DataFrame, mv: np.ndarray, content: Make) -> None:
    same(content(table), mv, **RATE_AND_UNIT)


@pytest.mark.parametrize(
    ("name", "times", "note"),
    [
        ("time", np.arange(1000) / 100, "The time column was taken to be in seconds: 100 Hz."),
        ("time", np.arange(1000) * 10, "The time column was taken to be in milliseconds: 100 Hz."),
        ("time_ms", np.arange(1000) * 10, None),
        ("Time [ms]", np.arange(1000) * 10.0 + 7, None),
        ("t (s)", np.arange(1000) / 100 + 3600, None),
        ("elapsed (us)", np.arange(1000) * 10_000, None),
        ("seconds", np.arange(1000) / 100, None),
        ("Elapsed time", [f"0:{row // 100:02d}.{row % 100 * 10:03d}" for row in range(1000)], None),
        ("time", pd.date_range("2020-05-17 23:59:55", periods=1000, freq="10ms").astype(str), None),
    ],
)
def test_the_rate_is_found_from_times(
    table: pd.DataFrame, mv: np.ndarray, name: str, times: Sequence[object], note: str | None
) -> None:
    with_times = table.copy()
    with_times.insert(0, name, times)
    read = same(with_times.to_csv(index=False), mv, units="mV")
    assert read.notes == (() if note is None else (note,))
    assert "2020" not in repr(read)


def test_a_table_of_numbers_alone_asks_for_all_three(table: pd.DataFrame, mv: np.ndarray) -> None:
    text = (table * 1000).round().astype(int).to_csv(index=False, header=False).encode()
    read = read_ecg(text)
    assert [(one.field, one.suggestion) for one in read.questions] == [
        ("fs_hz", 100),
        ("leads", LEADS),
        ("units", "uV"),
    ]
    assert (read.signal_mv, read.fs_hz, read.seconds, read.samples) == (None, None, None, 1000)
    with pytest.raises(ReaderError, match="upload: fs_hz: The file does not say its sampling rate"):
        read.array_row()
    suggested = {one.field: one.suggestion for one in read.questions}
    same(text, mv, **suggested)


def test_times_that_only_count_rows_are_no_rate(table: pd.DataFrame) -> None:
    counted = table.copy()
    counted.insert(0, "time", range(1000))
    read = read_ecg(counted.to_csv(index=False).encode(), units="mV")
    assert [one.field for one in read.questions] == ["fs_hz"]
    assert read.notes == ("The time column counts rows by one, so it does not tell the sampling rate.",)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("spelling", ["{} (µV)", "{}[µV]", "{}_uV", "ECG {} [uV]", "{} microvolts"])
def test_units_in_the_names_of_columns(table: pd.DataFrame, mv: np.ndarray, spelling: str, encoding: str) -> None:
    renamed = (table * 1000).rename(columns=lambda lead: spelling.format(lead))
    read = same(renamed.to_csv(index=False).encode(encoding), mv, fs_hz=100)
    assert read.units_how == "µV, divided by 1000"


def test_units_of_each_column_count_for_themselves(table: pd.DataFrame, mv: np.ndarray) -> None:
    mixed = table.assign(V1=table["V1"] * 1000, V6=table["V6"] / 1000).rename(columns=lambda lead: f"{lead} (mV)")
    mixed = mixed.rename(columns={"V1 (mV)": "V1 (uV)", "V6 (mV)": "V6 (V)"})
    read = same(mixed.to_csv(index=False), mv, fs_hz=100)
    assert read.units_how == "mV, taken as they are; µV, divided by 1000; V, times 1000"


def test_a_line_of_units_as_rdsamp_writes_it(table: pd.DataFrame, mv: np.ndarray) -> None:
    names = ",".join(f"'{lead}'" for lead in LEADS)
    rows = table.to_csv(header=False)
    read = read_ecg(f"'sample #',{names}\n'sample interval',{','.join(['mV'] * 12)}\n{rows}".encode(), fs_hz=100)
    np.testing.assert_allclose(read.signal_mv, mv, atol=1e-6)
    times = [f"'{row // 6000}:{row // 100 % 60:02d}.{row % 100 * 10:03d}'" for row in range(1000)]
    rows = table.set_axis(times).to_csv(header=False)
    same(f"'Elapsed time',{names}\n'hh:mm:ss.mmm',{','.join(['mV'] * 12)}\n{rows}", mv)


def test_rate_units_and_facts_above_the_table(table: pd.DataFrame, mv: np.ndarray) -> None:
    above = "# Sampling rate: 0.1 kHz\n# Units: uV\n# Age: 55\n# Sex: male\nHeight;180 cm\n# Name: Mona Secret\n"
    read = same(above + (table * 1000).round().to_csv(index=False), mv)
    assert read.patient == {"age": 55, "sex": 0, "height_cm": 180}
    assert read.units_found == "uV"
    assert "Secret" not in repr(read)


@pytest.mark.parametrize(
    ("above", "both"),
    [
        ("# fs: 200", "its times fit 100 Hz and it states 200 Hz"),
        ("Sampling rate (kHz);0,2", "its times fit 100 Hz and it states 200 Hz"),
        ("# Rate: 62 Hz", "its times fit 100 Hz and it states 62 Hz"),
        ("# fs: 100\n# Sampling frequency: 250 Hz", "its times fit 100 Hz and it states 100, 250 Hz"),
    ],
)
def test_times_and_a_stated_rate_that_differ_are_asked_about(
    table: pd.DataFrame, mv: np.ndarray, above: str, both: str
) -> None:
    text = f"{above}\n{with_times(table).to_csv(index=False)}"
    (question,) = read_ecg(text.encode(), units="mV").questions
    assert (question.field, question.suggestion) == ("fs_hz", 100)
    assert both in question.text
    same(text, mv, units="mV", fs_hz=100)
    assert read_ecg(text.encode(), units="mV", fs_hz=100).noticed == {}
    assert read_ecg(text.encode(), units="mV", fs_hz=200).noticed == {"rate_suspected": ()}


@pytest.mark.parametrize(
    "above",
    ["Rate,62", "Heart rate: 62", "HR;62", "Ventricular rate = 62", "# Ventricular Rate (bpm): 62", "Rate: 62 bpm",
     "VentRate,62,BPM", "Frequency;62", "Pulse rate\t62"],
)  # fmt: skip
def test_a_heart_rate_is_no_sampling_rate(table: pd.DataFrame, mv: np.ndarray, above: str) -> None:
    same(f"{above}\n{with_times(table).to_csv(index=False)}", mv, units="mV")
    read = read_ecg(f"{above}\n{table.to_csv(index=False)}".encode(), units="mV")
    assert [one.field for one in read.questions] == ["fs_hz"]


@pytest.mark.parametrize("first", [0, 1, 500])
@pytest.mark.parametrize("step", [1, 2, 10])
@pytest.mark.parametrize("header", [True, False])
def test_whole_numbers_without_a_name_are_row_numbers(
    table: pd.DataFrame, mv: np.ndarray, header: bool, step: int, first: int
) -> None:
    numbered = table.set_axis(first + step * np.arange(1000)).to_csv(header=header)
    hints: Known = {"units": "mV"} if header else {"units": "mV", "leads": LEADS}
    read = read_ecg(numbered.encode(), **hints)
    assert [one.field for one in read.questions] == ["fs_hz"]
    assert ["row numbers" in note for note in read.notes] == ([] if step == 1 else [True])
    same(numbered, mv, fs_hz=100, **hints)


@pytest.mark.parametrize("name", ["V3 (R)", "V3R", "V3_R", "V3 right", "V7", "V3 (posterior)"])
def test_another_chest_lead_is_not_v3(table: pd.DataFrame, name: str) -> None:
    with pytest.raises(ReaderError, match=f"leads: missing V3; .* received {re.escape(repr(name))}"):
        read_ecg(table.rename(columns={"V3": name}).to_csv(index=False).encode(), **RATE_AND_UNIT)


def marks(cells: dict[int, object], other: object) -> list[object]:
    return [cells.get(row, other) for row in range(1000)]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("QRS", marks({40: "N", 140: "N", 990: "V"}, ".")),
        ("beat", marks({40: "N", 140: "N"}, "")),
        ("beat", marks(dict.fromkeys(range(500, 1000), "N"), "")),
        ("beat", marks({0: "N", 1: "N"}, "")),
        ("annotation", marks({300: "sinus rhythm, normal axis"}, "")),
        ("remark", marks({}, "")),
        ("quality", marks({}, "good")),
        ("pace", marks({300: "spike"}, 0)),
        ("QRS", marks({40: 1, 140: 1}, 0)),
    ],
)
def test_marks_and_texts_beside_the_leads_are_left_out_by_name(
    table: pd.DataFrame, mv: np.ndarray, name: str, cells: list[object], sep: str
) -> None:
    for position in (0, 5, 12):
        marked = table.copy()
        marked.insert(position, name, cells)
        read = same(marked.to_csv(index=False, sep=sep), mv, **RATE_AND_UNIT)
        assert [repr(name) in note for note in read.notes] == [True]


@pytest.mark.parametrize("missing", [1, 10, 30])
def test_a_table_may_begin_with_samples_that_are_missing(table: pd.DataFrame, mv: np.ndarray, missing: int) -> None:
    late = with_times(table)
    late.iloc[:missing, 1:] = np.nan
    read = read_ecg(late.to_csv(index=False).encode(), units="mV")
    np.testing.assert_allclose(read.signal_mv, mv[missing:], atol=1e-6)
    assert read.notes == (f"Cut off, as no lead has a value there: {missing} samples at the beginning, 0 at the end.",)


@pytest.mark.parametrize("cell", ["", ".", "nan", "off"])
def test_a_lead_without_a_number_is_called_empty(table: pd.DataFrame, mv: np.ndarray, cell: str) -> None:
    with pytest.raises(ReaderError, match=r"leads: missing V3; .*V3 is empty, without any number"):
        read_ecg(table.assign(V3=cell).to_csv(index=False).encode(), **RATE_AND_UNIT)
    read = read_ecg(table.assign(aVR=cell).to_csv(index=False).encode(), **RATE_AND_UNIT)
    assert read.notes == (
        "In the file aVR is empty, without any number.",
        "Not in the file, so computed from leads I and II: aVR.",
    )
    np.testing.assert_allclose(read.recording().record.signal_mv, mv, atol=2e-3)


def parquet(table: pa.Table | pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table) if isinstance(table, pd.DataFrame) else table, stream)
    return stream.getvalue()


def test_parquet_has_rate_and_units_in_the_metadata_of_its_schema(ecg: Make) -> None:
    one = ecg(500)
    table = pa.table(dict(zip(LEADS, one.microvolts.T.astype("i2"), strict=True)))
    read = read_ecg(parquet(table.replace_schema_metadata({"fs_hz": "500", "units": "uV"})))
    assert (read.format, read.fs_hz, read.questions, read.notes) == ("Parquet", 500, (), ())
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-6)
    assert [one.field for one in read_ecg(parquet(table)).questions] == ["fs_hz", "units"]


def test_a_column_of_text_in_parquet_is_left_out_by_name(table: pd.DataFrame) -> None:
    read = read_ecg(parquet(table.assign(QRS=".")), **RATE_AND_UNIT)
    assert read.notes == ("Left out, as they hold text or nothing: 'QRS'.",)
