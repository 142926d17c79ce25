"""How a text table is laid out: encoding, delimiter, decimal sign, and where its header ends and its numbers begin."""

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leadwise.signals.readers.errors import MOST_SAMPLES, ReaderError
from leadwise.signals.readers.units import seconds_of, unit_of

LONGEST_HEADER = 100
"""Lines before the numbers begin."""
LONGEST_HEADER_LINE = 20_000
SAMPLED_LINES = 24
SAMPLED_LETTERS = 4000
WIDE = 300
"""More columns than this mean that every line holds one lead."""
DIALECTS: tuple[tuple[str, str], ...] = (
    (",", "."), (";", ","), (";", "."), ("\t", "."), ("\t", ","), ("|", "."), ("|", ","), (" ", "."), (" ", ","),
)  # fmt: skip
"""Delimiter and decimal sign; a space stands for any white space."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?|nan|na|null|-|", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """A text table, taken apart.

    Attributes:
        delimiter: between the columns; a space for any white space.
        decimal: decimal sign.
        preamble: lines before the table, which may tell rate, units and facts.
        names: of the columns, if the table has a header.
        units: of the columns, if a line below the header gives them.
        body: lines of numbers.
        first_line: number of the first of them in the file, from 1.
        columns: of the body.
    """

    delimiter: str
    decimal: str
    preamble: tuple[str, ...]
    names: tuple[str, ...] | None
    units: tuple[str, ...] | None
    body: Sequence[str]
    first_line: int
    columns: int


def decoded(file: str, content: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with a mark, or Latin-1; line ends made the same.

    Raises:
        ReaderError: it is no text.
    """
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise ReaderError(file, "text", "holds bytes that no text holds")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without quotes around them."""
    cells = line.split() if delimiter == " " else line.split(delimiter)
    return [cell.strip().strip("'\"").strip() for cell in cells]


def is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number, or empty."""
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    return _NUMBER.fullmatch(cell) is not None


def lay_out(file: str, text: str, fewest: int) -> Layout:
    """Find delimiter, decimal sign, header and body.

    Args:
        file: name of the file, for messages.
        text: the table.
        fewest: columns (or, if every line is a lead, lines) that a table must have.

    Raises:
        ReaderError: there is no table of numbers.
    """
    if text.count("\n") > MOST_SAMPLES + LONGEST_HEADER:
        raise ReaderError(file, "table", f"received more than {MOST_SAMPLES} lines, which is the most")
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    delimiter, decimal, columns = _dialect(file, lines, fewest)
    first = _first_of_body(file, lines, delimiter, decimal, columns)
    names, units, table_begins = _header(lines, first, delimiter, columns)
    preamble = tuple(line for line in lines[:table_begins] if line.strip())
    return Layout(delimiter, decimal, preamble, names, units, lines[first:], first + 1, columns)


def _dialect(file: str, lines: Sequence[str], fewest: int) -> tuple[str, str, int]:
    """Delimiter, decimal sign and number of columns that make most of the last lines rows of numbers."""
    # The middle and the end of a file are past its header, however long that is.
    middle = len(lines) // 2
    sampled = [line for line in (*lines[middle : middle + SAMPLED_LINES], *lines[-SAMPLED_LINES:]) if line.strip()]
    best: tuple[int, int, tuple[str, str]] | None = None
    for delimiter, decimal in DIALECTS:
        rows = [_sampled_cells(line, delimiter) for line in sampled]
        numeric = [len(row) for row in rows if len(row) > 1 and _mostly_numbers(row, decimal)]
        if not numeric:
            continue
        (columns, count), *_ = Counter(numeric).most_common(1)
        if best is None or (count, columns) > best[:2]:
            best = count, columns, (delimiter, decimal)
    if best is None:
        raise ReaderError(
            file, "table", "no rows of numbers, separated by comma, semicolon, tab, | or space, were found"
        )
    delimiter, decimal = best[2]
    (columns, _), *_ = Counter(
        count_cells(line, delimiter) for line in sampled if _mostly_numbers(_sampled_cells(line, delimiter), decimal)
    ).most_common(1)
    if columns < fewest and len(lines) > columns:
        raise ReaderError(
            file, "table", f"received {columns} columns; at least {fewest} leads are needed, one a column"
        )
    return delimiter, decimal, columns


def count_cells(line: str, delimiter: str) -> int:
    """How many cells ``split`` would give."""
    return len(line.split()) if delimiter == " " else line.count(delimiter) + 1


def _sampled_cells(line: str, delimiter: str) -> list[str]:
    cells = split(line[:SAMPLED_LETTERS], delimiter)
    # The last cell of a long line may be cut in two.
    return cells[:-1] if len(line) > SAMPLED_LETTERS else cells


def _mostly_numbers(cells: Sequence[str], decimal: str) -> bool:
    """Whether all cells but a time or a name at the beginning are numbers, and some are not empty."""
    numbers = [is_number(cell, decimal) for cell in cells]
    return all(numbers[2:]) and sum(map(bool, cells)) * 2 > len(cells) and (len(cells) > 3 or all(numbers[1:]))


def _first_of_body(file: str, lines: Sequence[str], delimiter: str, decimal: str, columns: int) -> int:
    for number, line in enumerate(lines[:LONGEST_HEADER]):
        is_row = count_cells(line, delimiter) == columns and not line.lstrip().startswith("#")
        if is_row and _mostly_numbers(_sampled_cells(line, delimiter), decimal):
            return number
    raise ReaderError(file, "table", f"no row of {columns} numbers was found in its first {LONGEST_HEADER} lines")


def _header(
    lines: Sequence[str], first: int, delimiter: str, columns: int
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, int]:
    """Names and units of the columns from the lines above the body, and where the table begins."""
    above = [number for number in range(first) if lines[number].strip()][-2:]
    units: tuple[str, ...] | None = None
    for number in reversed(above):
        if len(lines[number]) > LONGEST_HEADER_LINE:
            break
        cells = split(lines[number].lstrip("#% "), delimiter)
        if delimiter == " " and len(cells) != columns:
            cells = split(lines[number].lstrip("#% "), "\t")
        # A column of row numbers, as pandas and R write it, has no name.
        if len(cells) == columns - 1:
            cells = ["", *cells]
        if len(cells) != columns:
            break
        # The first column is often one of times, of which the unit may be told in any words.
        named = [cell for cell in cells[1:] if cell]
        if named and units is None and all(unit_of(cell) or seconds_of(cell) or cell == "-" for cell in named):
            units = tuple(cell if unit_of(cell) or seconds_of(cell) else "" for cell in cells)
            continue
        return tuple(cells), units, number
    return None, units, first
