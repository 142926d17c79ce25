"""Text tables (CSV, TSV): one lead a column or one a line, with or without header, times, units and comments."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import ANY_TEXT, Format, Most, RawRecording, ReadOptions, register, shown_text, text_of
from leadwise.ecg.formats.parsing import seconds_of, unit_of
from leadwise.ecg.formats.patient import facts_of, pairs_in
from leadwise.ecg.formats.table import Column, clock_seconds, is_lead_or_time, read_columns
from leadwise.ecg.record import INDEPENDENT_LEADS, RecordingError
from leadwise.features import number_with_unit

if TYPE_CHECKING:
    import pandas as pd

LONGEST_HEADER = 100
"""Lines before the numbers begin."""
LONGEST_HEADER_LINE = 20_000
SAMPLED_LINES = 24
SAMPLED_LETTERS = 4000
WIDE = 300
"""More columns than this mean that every line holds one lead."""
DIALECTS: tuple[tuple[str, str], ...] = (
    (",", "."), (";", ","), (";", "."), ("\t", "."), ("\t", ","), ("|", "."), ("|", ","), (" ", "."), (" ", ","),
    (",", ","),
)  # fmt: skip
"""Delimiter and decimal sign; a space stands for any white space. A comma can be both where quotes keep them apart."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_MISSING = frozenset({"", "-", "nan", "na", "null"})


def decoded(content: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with a mark, or Latin-1; line ends made the same. Refused: it is no text."""
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise RecordingError("text", "holds bytes that no text holds")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without quotes around them; a delimiter within double quotes parts nothing."""
    cells = line.split(None if delimiter == " " else delimiter)
    if '"' in line and delimiter != " ":
        # What a quote opens may be longer than any cell.
        with suppress(csv.Error):
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), cells)
    return [cell.strip().strip("'\"").strip() for cell in cells]


def is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number."""
    if decimal == ",":
        cell = "" if "." in cell else cell.replace(",", ".")
    return _NUMBER.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or says that its sample is missing."""
    return cell.casefold() in _MISSING


@dataclass(frozen=True)
class Layout:
    """What the rows of a table have in common, and what stands above them.

    Attributes:
        delimiter: between the columns; a space for any white space.
        decimal: decimal sign.
        columns: how many.
        numeric: whether a column holds numbers and no text; of the first columns, where lines are very long.
        filled: how many of them hold a number somewhere.
        ends_empty: whether a delimiter ends every row, and no row numbers begin them.
        preamble: lines before the table, which may tell rate, units and facts.
        names: of the columns, if the table has a header.
        units: of the columns, if a line below the header gives them.
        body: lines of numbers.
        first_line: number of the first of them in the file, from 1.
    """

    delimiter: str
    decimal: str
    columns: int
    numeric: tuple[bool, ...]
    filled: int
    ends_empty: bool
    preamble: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    body: Sequence[str] = ()
    first_line: int = 1

    def holds(self, line: str, fewest: float = 0.5) -> bool:
        """Whether a line is a row: numbers or nothing where all have numbers, and numbers in more than a share."""
        if count_cells(line, self.delimiter) != self.columns:
            return False
        sampled = _sampled_cells(line, self.delimiter)
        cells = [cell for cell, numeric in zip(sampled, self.numeric, strict=False) if numeric]
        numbers = sum(is_number(cell, self.decimal) for cell in cells)
        return numbers > self.filled * fewest and numbers + sum(map(is_missing, cells)) == len(cells)


def lay_out(text: str, fewest: int) -> Layout:
    """Find delimiter, decimal sign, header and body of a table with the fewest columns (or lines) that it must have.

    Refused: there is no table of numbers.
    """
    if text.count("\n") > Most.SAMPLES + LONGEST_HEADER:
        raise RecordingError("table", f"received more than {Most.SAMPLES} lines, which is the most")
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    table = _dialect(lines, fewest)
    first = _first_of_body(lines, table)
    names, units, table_begins = _header(lines, first, table)
    preamble = tuple(line for line in lines[:table_begins] if line.strip())
    return replace(table, preamble=preamble, names=names, units=units, body=lines[first:], first_line=first + 1)


def _dialect(lines: Sequence[str], fewest: int) -> Layout:
    """Delimiter, decimal sign and columns that make most of the last lines rows of numbers."""
    # The middle and the end of a file are past its header, however long that is.
    middle = len(lines) // 2
    sampled = [line for line in (*lines[middle : middle + SAMPLED_LINES], *lines[-SAMPLED_LINES:]) if line.strip()]
    kinds = filter(None, (_rows(sampled, *dialect) for dialect in DIALECTS))
    held = {rows: sum(map(rows.holds, sampled)) for rows in kinds}
    table = max(held, key=lambda rows: (held[rows], rows.filled), default=None)
    if table is None or not held[table]:
        raise RecordingError("table", "no rows of numbers, separated by comma, semicolon, tab, | or space, were found")
    if table.columns < fewest and len(lines) > table.columns:
        problem = f"received {table.columns} columns; at least {fewest} leads are needed, one a column"
        raise RecordingError("table", problem)
    return table


def _rows(sampled: Sequence[str], delimiter: str, decimal: str) -> Layout | None:
    """The most frequent kind of lines as rows; ``None`` if fewer than two columns, or than half, hold numbers."""
    (columns, _), *_ = Counter(count_cells(line, delimiter) for line in sampled).most_common(1)
    cells = [_sampled_cells(line, delimiter) for line in sampled if count_cells(line, delimiter) == columns]
    numeric, filled = [], 0
    for column in zip(*cells, strict=False):
        numbers = sum(is_number(cell, decimal) for cell in column)
        present = len(column) - sum(map(is_missing, column))
        # A bad cell among numbers is an error of its row, which is told later; marks may be rare.
        numeric.append(numbers * 2 > present)
        filled += numeric[-1]
    if filled < 2 or filled * 2 <= len(numeric):
        return None
    ends_empty = all(line.rstrip(" ").endswith(delimiter) for line in sampled) and not _count_on(cells[:SAMPLED_LINES])
    return Layout(delimiter, decimal, columns, tuple(numeric), filled, ends_empty)


def _count_on(cells: Sequence[Sequence[str]]) -> bool:
    """Whether rows that follow one another begin with their numbers."""
    firsts = [row[0] for row in cells]
    return all(cell.isdecimal() and len(cell) < 12 for cell in firsts) and {
        int(b) - int(a) for a, b in pairwise(firsts)
    } == {1}


def count_cells(line: str, delimiter: str) -> int:
    """How many cells ``split`` would give."""
    return len(split(line, delimiter)) if '"' in line or delimiter == " " else line.count(delimiter) + 1


def _sampled_cells(line: str, delimiter: str) -> list[str]:
    cells = split(line[:SAMPLED_LETTERS], delimiter)
    # The last cell of a long line may be cut in two.
    return cells[:-1] if len(line) > SAMPLED_LETTERS else cells


def _first_of_body(lines: Sequence[str], table: Layout) -> int:
    for number, line in enumerate(lines[:LONGEST_HEADER]):
        if not line.lstrip().startswith("#") and table.holds(line):
            # In the rows above, most leads may still be missing.
            while number and table.holds(lines[number - 1], fewest=-1):
                number -= 1
            return number
    raise RecordingError("table", f"no row of {table.columns} numbers was found in its first {LONGEST_HEADER} lines")


def _header(
    lines: Sequence[str], first: int, table: Layout
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, int]:
    """Names and units of the columns from the lines above the body, and where the table begins."""
    delimiter, columns = table.delimiter, table.columns
    above = [number for number in range(first) if lines[number].strip()][-2:]
    units: tuple[str, ...] | None = None
    for number in reversed(above):
        if len(lines[number]) > LONGEST_HEADER_LINE:
            break
        cells = split(lines[number].lstrip("#% "), delimiter)
        if delimiter == " " and len(cells) != columns:
            cells = split(lines[number].lstrip("#% "), "\t")
        # A column of row numbers, as pandas and R write it, has no name; nor has one behind a last delimiter.
        if len(cells) == columns - 1:
            cells = [*cells, ""] if table.ends_empty else ["", *cells]
        if len(cells) != columns:
            break
        # The first column is often one of times, of which the unit may be told in any words.
        named = [cell for cell in cells[1:] if cell]
        if named and units is None and all(unit_of(cell) or seconds_of(cell) or cell == "-" for cell in named):
            units = tuple(cell if unit_of(cell) or seconds_of(cell) else "" for cell in cells)
            continue
        return tuple(cells), units, number
    return None, units, first


FORMAT = "CSV"
RATE_NAMES = frozenset(
    {"fs", "hz", "sampling rate", "sample rate", "samplerate", "samplingrate", "sampling frequency", "sample frequency",
     "sampling freq", "samples per second", "sfreq"}
)  # fmt: skip
BARE_RATE_NAMES = frozenset({"frequency", "rate"})
"""A rate of anything, such as of the heart: of sampling only with a unit."""
HZ_PER = {"": 1.0, "hz": 1.0, "hertz": 1.0, "khz": 1000.0, "sps": 1.0, "samples/s": 1.0, "samples/sec": 1.0}


def read_csv(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read a table. Refused: there is no table of numbers with enough columns, or a cell is no number."""
    fewest = len(INDEPENDENT_LEADS) if hints.leads is None else min(len(hints.leads), len(INDEPENDENT_LEADS))
    layout = lay_out(decoded(files[file]), fewest)
    columns = _by_line(layout) if layout.columns > WIDE else _by_column(layout)
    pairs = pairs_in(layout.preamble)
    unit = next((text for name, text in pairs if name.casefold() in ("unit", "units") and unit_of(text)), "")
    recording = read_columns(FORMAT, columns, _stated_rates(pairs), unit)
    comma = ("The decimal sign was taken to be a comma.",) if layout.decimal == "," else ()
    return replace(
        recording, patient=facts_of(pairs), notes=(*recording.notes, *_unclear_rates(pairs, recording), *comma)
    )


def _stated_rates(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Sampling rates in Hz that the lines above the table give."""
    rates = []
    for name, text in pairs:
        words, unit = _words_and_unit(name)
        stated = number_with_unit(text)
        if stated is None or not stated[0] or stated[1] not in HZ_PER:
            continue
        unit = stated[1] or unit
        if words in RATE_NAMES or (words in BARE_RATE_NAMES and unit):
            rates.append(stated[0] * HZ_PER[unit])
    return rates


def _words_and_unit(name: str) -> tuple[str, str]:
    """``Sampling rate (kHz)`` -> ``("sampling rate", "khz")``."""
    folded = re.sub(r"[\s_.()\[\]-]+", " ", name.casefold()).strip()
    words, _, unit = folded.rpartition(" ")
    return (words, unit) if words and unit in HZ_PER else (folded, "")


def _unclear_rates(pairs: Sequence[tuple[str, str]], table: RawRecording) -> list[str]:
    """A note on rates of one knows not what, where they could have been the one that is missing."""
    if table.rate_question is not None or any(channel.fs_hz for channel in table.channels):
        return []
    names = [name for name, _ in pairs if _words_and_unit(name) in ((bare, "") for bare in BARE_RATE_NAMES)]
    return [f"{shown_text(name)} above the table may be that of the heart, so it was not taken." for name in names]


def _by_line(layout: Layout) -> list[Column]:
    """A table in which every line is a lead, its name perhaps in the first cell."""
    rows = [line for line in layout.body if line.strip()]
    longest = max(count_cells(row, layout.delimiter) for row in rows)
    if len(rows) > Most.CHANNELS or longest > Most.SAMPLES + 1 or len(rows) * longest > Most.NUMBERS:
        allowed = f"with one lead a line, at most {Most.CHANNELS} lines are read, with one a column, {WIDE} columns"
        raise RecordingError("table", f"received {len(rows)} lines of {layout.columns} columns: {allowed}")
    columns = []
    for number, row in enumerate(rows):
        name, *cells = split(row, layout.delimiter)
        if is_number(name, layout.decimal) or is_missing(name):
            name, cells = "", [name, *cells]
        columns.append(_numbers(layout, cells, Column(name, np.empty(0)), line=number))
    return columns


def _numbers(
    layout: Layout, cells: Sequence[str], head: Column, *, line: int | None = None, column: int | None = None
) -> Column:
    """Cells as float64, NaN where they are empty, and all over where they are marks or remarks beside the leads.

    They all stand in one line or in one column of the body, from 0; the position of each is the other.
    """
    import pandas as pd

    texts = pd.Series(cells, dtype=object)
    if layout.decimal == ",":
        texts = texts.str.replace(",", ".", regex=False)
    values = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    gone = np.flatnonzero(np.isnan(values)).tolist()
    odd = next((position for position in gone if not is_missing(cells[position])), None)
    if odd is None:
        return replace(head, values=values)
    is_needed = is_lead_or_time(head.name) or (not head.name and layout.names is None)
    if not (is_needed and np.isfinite(values).any()):
        return replace(head, values=np.full(len(cells), np.nan), is_text=True)
    row = layout.first_line + (odd if line is None else line)
    where = f"line {row}, column {1 + (odd if column is None else column)}"
    raise RecordingError("table", f"{where}: {shown_text(cells[odd])} is no number")


def _by_column(layout: Layout) -> list[Column]:
    """A table in which every column is a lead, a time, or a row number."""
    import pandas as pd

    if (numbers := len(layout.body) * layout.columns) > Most.NUMBERS:
        raise RecordingError("table", f"received {numbers} cells; at most {Most.NUMBERS} are read")
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
        raise RecordingError("table", f"some rows have more than {layout.columns} columns, others not") from None
    names = layout.names or ("",) * layout.columns
    units = layout.units or ("",) * layout.columns
    columns = []
    for position, (name, unit) in enumerate(zip(names, units, strict=True)):
        # A delimiter at the end of each line makes a column of nothing.
        if name or position < layout.columns - 1 or not table[position].isna().all():
            columns.append(_column(layout, table[position], position, Column(name, np.empty(0), unit)))
    return columns


def _column(layout: Layout, cells: "pd.Series", position: int, head: Column) -> Column:
    """A column as float64: numbers, or times of day, which become seconds; NaN all over where it is one of text."""
    if cells.dtype.kind in "fiu":
        return replace(head, values=cells.to_numpy(dtype=np.float64))
    texts = [str(cell) for cell in cells]
    if position < 2 and (seconds := clock_seconds(texts)) is not None:
        return replace(head, values=seconds, unit="s")
    stripped = [text.strip().strip("'\"").strip() for text in texts]
    return _numbers(layout, stripped, head, column=position)


def _sniff(content: bytes, name: str) -> bool:
    """Whether a beginning holds letters and digits only, as tables do, and so may any text."""
    head = text_of(content)
    if head is None or head.startswith(("{", "[", "<")):
        return False
    without_breaks = head.replace("\n", "").replace("\r", "").replace("\t", "").replace("\f", "")
    return without_breaks.isprintable() and any(letter.isdigit() for letter in head)


register(Format("CSV and TSV", (".csv", ".tsv", ".tab", ".asc"), _sniff, read_csv, ANY_TEXT))
