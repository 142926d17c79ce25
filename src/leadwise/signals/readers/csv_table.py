"""Text tables (CSV, TSV): one lead a column or one a line, with or without header, times, units and comments."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leadwise.signals.leads import INDEPENDENT_LEADS
from leadwise.signals.readers.comment_pairs import pairs_in
from leadwise.signals.readers.csv_layout import (
    WIDE,
    Layout,
    count_cells,
    decoded,
    is_missing,
    is_number,
    lay_out,
    split,
)
from leadwise.signals.readers.errors import MOST_CHANNELS, MOST_NUMBERS, MOST_SAMPLES, ReaderError, shown_text
from leadwise.signals.readers.found import Found, Hints
from leadwise.signals.readers.patient_facts import facts_of, number_with_unit
from leadwise.signals.readers.table_channels import Column, Table, channels_of, is_lead_or_time
from leadwise.signals.readers.time_column import clock_seconds
from leadwise.signals.readers.units import unit_of

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "CSV"
RATE_NAMES = frozenset(
    {"fs", "hz", "sampling rate", "sample rate", "samplerate", "samplingrate", "sampling frequency", "sample frequency",
     "sampling freq", "samples per second", "sfreq"}
)  # fmt: skip
BARE_RATE_NAMES = frozenset({"frequency", "rate"})
"""A rate of anything, such as of the heart: of sampling only with a unit."""
HZ_PER = {"": 1.0, "hz": 1.0, "hertz": 1.0, "khz": 1000.0, "sps": 1.0, "samples/s": 1.0, "samples/sec": 1.0}


def read_csv(file: str, content: bytes, hints: Hints) -> Found:
    """Read a table.

    Raises:
        ReaderError: there is no table of numbers with enough columns, or a cell is no number.
    """
    fewest = len(INDEPENDENT_LEADS) if hints.leads is None else min(len(hints.leads), len(INDEPENDENT_LEADS))
    layout = lay_out(file, decoded(file, content), fewest)
    columns = _by_line(file, layout) if layout.columns > WIDE else _by_column(file, layout)
    pairs = pairs_in(layout.preamble)
    table = channels_of(file, columns, _stated_rates(pairs), _stated_unit(pairs))
    facts, oddities = facts_of(pairs)
    comma = ("The decimal sign was taken to be a comma.",) if layout.decimal == "," else ()
    notes = (*table.notes, *_unclear_rates(pairs, table), *comma, *oddities)
    return Found(FORMAT, table.channels, facts, notes, rate_question=table.rate_question)


def _stated_rates(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Sampling rates in Hz that the lines above the table give."""
    rates = []
    for name, text in pairs:
        words, unit = _words_and_unit(name)
        found = number_with_unit(text)
        if found is None or not found[0] or found[1] not in HZ_PER:
            continue
        unit = found[1] or unit
        if words in RATE_NAMES or (words in BARE_RATE_NAMES and unit):
            rates.append(found[0] * HZ_PER[unit])
    return rates


def _words_and_unit(name: str) -> tuple[str, str]:
    """``Sampling rate (kHz)`` -> ``("sampling rate", "khz")``."""
    folded = re.sub(r"[\s_.()\[\]-]+", " ", name.casefold()).strip()
    words, _, unit = folded.rpartition(" ")
    return (words, unit) if words and unit in HZ_PER else (folded, "")


def _unclear_rates(pairs: Sequence[tuple[str, str]], table: Table) -> list[str]:
    """A note on rates of one knows not what, where they could have been the one that is missing."""
    if table.rate_question is not None or any(channel.fs_hz for channel in table.channels):
        return []
    names = [name for name, _ in pairs if _words_and_unit(name) in ((bare, "") for bare in BARE_RATE_NAMES)]
    return [f"{shown_text(name)} above the table may be that of the heart, so it was not taken." for name in names]


def _stated_unit(pairs: Sequence[tuple[str, str]]) -> str:
    return next((text for name, text in pairs if name.casefold() in ("unit", "units") and unit_of(text)), "")


def _by_line(file: str, layout: Layout) -> list[Column]:
    """A table in which every line is a lead, its name perhaps in the first cell."""
    rows = [line for line in layout.body if line.strip()]
    longest = max(count_cells(row, layout.delimiter) for row in rows)
    if len(rows) > MOST_CHANNELS or longest > MOST_SAMPLES + 1 or len(rows) * longest > MOST_NUMBERS:
        raise ReaderError(
            file,
            "table",
            f"received {len(rows)} lines of {layout.columns} columns: with one lead a line, at most {MOST_CHANNELS} "
            f"lines are read, with one a column, at most {WIDE} columns",
        )
    columns = []
    for number, row in enumerate(rows):
        name, *cells = split(row, layout.delimiter)
        if is_number(name, layout.decimal) or is_missing(name):
            name, cells = "", [name, *cells]
        columns.append(_numbers(file, layout, cells, Column(name, np.empty(0)), line=number))
    return columns


def _numbers(
    file: str, layout: Layout, cells: Sequence[str], head: Column, *, line: int | None = None, column: int | None = None
) -> Column:
    """Cells as float64, NaN where they are empty, and all over where they are marks or remarks beside the leads.

    Args:
        file: name of the file, for messages.
        layout: of the table.
        cells: texts.
        head: name and unit of what they are.
        line: the line of the body that they all stand in, from 0; the position of each is its column, or else
        column: the column that they all stand in, from 0; the position of each is its line.

    Raises:
        ReaderError: a cell of a lead is no number.
    """
    values, odd = _converted(layout, cells)
    if odd is None:
        return replace(head, values=values)
    is_needed = is_lead_or_time(head.name) or (not head.name and layout.names is None)
    if not (is_needed and np.isfinite(values).any()):
        return replace(head, values=np.full(len(cells), np.nan), is_text=True)
    row = layout.first_line + (odd if line is None else line)
    where = f"line {row}, column {1 + (odd if column is None else column)}"
    raise ReaderError(file, "table", f"{where}: {shown_text(cells[odd])} is no number")


def _converted(layout: Layout, cells: Sequence[str]) -> tuple[np.ndarray, int | None]:
    """Cells as float64, NaN where they are no numbers, and the first that is neither a number nor empty."""
    import pandas as pd

    texts = pd.Series(cells, dtype=object)
    if layout.decimal == ",":
        texts = texts.str.replace(",", ".", regex=False)
    values = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    gone = np.flatnonzero(np.isnan(values)).tolist()
    return values, next((position for position in gone if not is_missing(cells[position])), None)


def _by_column(file: str, layout: Layout) -> list[Column]:
    """A table in which every column is a lead, a time, or a row number."""
    import pandas as pd

    if (numbers := len(layout.body) * layout.columns) > MOST_NUMBERS:
        raise ReaderError(file, "table", f"received {numbers} cells; at most {MOST_NUMBERS} are read")
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(layout.body)),
            sep=r"\s+" if layout.delimiter == " " else layout.delimiter,
            decimal=layout.decimal,
            header=None,
            index_col=False,
            names=range(layout.columns),
            skipinitialspace=True,
            na_values=["-"],
            on_bad_lines="error",
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        raise ReaderError(file, "table", f"some rows have more than {layout.columns} columns, others not") from None
    names = layout.names or ("",) * layout.columns
    units = layout.units or ("",) * layout.columns
    columns = []
    for position, (name, unit) in enumerate(zip(names, units, strict=True)):
        # A delimiter at the end of each line makes a column of nothing.
        if name or position < layout.columns - 1 or not table[position].isna().all():
            columns.append(_column(file, layout, table[position], position, Column(name, np.empty(0), unit)))
    return columns


def _column(file: str, layout: Layout, cells: "pd.Series", position: int, head: Column) -> Column:
    """A column as float64: numbers, or times of day, which become seconds; NaN all over where it is one of text."""
    if cells.dtype.kind in "fiu":
        return replace(head, values=cells.to_numpy(dtype=np.float64))
    texts = [str(cell) for cell in cells]
    if position < 2 and (seconds := clock_seconds(texts)) is not None:
        return replace(head, values=seconds, unit="s")
    stripped = [text.strip().strip("'\"").strip() for text in texts]
    return _numbers(file, layout, stripped, head, column=position)
