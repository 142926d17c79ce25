"""Which recordings a batch is of: a folder, or a table of file names with facts about the patients."""

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.ecg.formats import endings_read
from leadwise.features import FEATURES, asked_names
from leadwise.serving.request import message_of

if TYPE_CHECKING:
    import pyarrow

FILE = "file"
HINTS = ("fs_hz", "units", "gain", "leads", "order")

TABLE_ENDINGS = (".csv", ".parquet")
ROWS_READ = 1024

Entry = dict[str, Any]
"""Of one recording: ``file`` as text, and whatever else is known under the names of ``table_columns``."""


def table_columns() -> tuple[str, ...]:
    """Of a table: ``file`` is needed in it, and empty where a patient has no recording."""
    return (FILE, "id", *asked_names(), *HINTS)


def entries(source: Path) -> Iterator[Entry]:
    """One entry per recording, in an order that stays the same as long as the source does.

    A folder is searched with everything below it for files with an ending of a format that is read; hidden files and
    folders, and links to folders, are left out. File names in a table are relative to the table. Nothing but the names
    of one folder, or one block of a table, is held in memory.

    Raises:
        LeadwiseError: the source does not exist, is no such table, or holds no recordings.
    """
    found: Iterator[Entry]
    if source.is_dir():
        found = ({FILE: str(path)} for path in _recordings_below(source))
    elif source.is_file() and source.suffix.casefold() in TABLE_ENDINGS:
        found = _rows(source)
    else:
        raise LeadwiseError(
            f"input: {source}: is no folder and no table; a folder of recordings, or a table of their files that ends "
            f"with {' or '.join(TABLE_ENDINGS)}, is needed"
        )
    first = next(found, None)
    if first is None:
        raise LeadwiseError(f"input: {source}: holds no recordings")
    yield first
    yield from found


def _recordings_below(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listed:
            items = sorted((item for item in listed if not item.name.startswith(".")), key=lambda item: item.name)
    except OSError as error:
        raise LeadwiseError(f"input: {folder}: cannot be searched: {error.strerror}") from None
    names, endings = {item.name for item in items}, endings_read()
    for item in items:
        # A link may lead back to where it lies.
        if item.is_dir(follow_symlinks=False):
            yield from _recordings_below(Path(item.path))
        elif Path(item.name).suffix.casefold() in endings and item.is_file() and not _of_a_header(item.name, names):
            yield Path(item.path)


def _of_a_header(name: str, names: set[str]) -> bool:
    """Whether a file lies beside a WFDB header of its name, or is a segment of one: the header leads to it."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122
    record, mark, segment = stem.rpartition("_")
    if mark and f"{record}.hea" in names and (segment == "layout" or (segment.isdigit() and len(segment) == 4)):
        return True
    return ending.casefold() != ".hea" and ending.casefold() not in (".csv", ".npy") and f"{stem}.hea" in names


def _rows(table: Path) -> Iterator[Entry]:
    rows = _csv_rows(table) if table.suffix.casefold() == ".csv" else _parquet_rows(table)
    for row in rows:
        known = {name: value for name, value in row.items() if value is not None and value == value and value != ""}
        file = known.get(FILE)
        if file is not None:
            known[FILE] = str(table.parent / str(file))
        if isinstance(number := known.get("id"), float) and number.is_integer():
            # A column with gaps holds whole numbers as floats.
            known["id"] = int(number)
        yield known


def _csv_rows(table: Path) -> Iterator[Entry]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            _check_columns(table, list(reader.fieldnames or ()))
            for row in reader:
                if None in row:
                    problem = "more cells than the first; a cell with commas in it stands in quotes"
                    raise LeadwiseError(f"input: {table}: line {reader.line_num} has {problem}")
                yield {name: _number(name, value) for name, value in row.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise LeadwiseError(f"input: {table}: cannot be read as CSV in UTF-8: {error}") from None


def _number(name: str, value: Any) -> Any:
    """Text of a CSV as a number where the field is one; what is none stays text, and is told with its record."""
    one = FEATURES.get(name)
    if name not in ("fs_hz", "gain") and (one is None or (one.choices and value not in ("0", "1"))):
        return value
    try:
        return float(value) if value else None
    except (TypeError, ValueError):
        return value


def _parquet_rows(table: Path) -> Iterator[Entry]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(table) as file:
            _check_columns(table, file.schema_arrow.names)
            for block in file.iter_batches(ROWS_READ):
                yield from block.to_pylist()
    except pyarrow.ArrowException as error:
        raise LeadwiseError(f"input: {table}: cannot be read as Parquet: {type(error).__name__}") from None


def _check_columns(table: Path, names: list[str]) -> None:
    if FILE not in names or (unknown := [name for name in names if name not in table_columns()]):
        received = f"has no column {FILE}" if FILE not in names else f"has a column {unknown[0][:40]!r}"
        raise LeadwiseError(f"input: {table}: {received}; {FILE} is needed; allowed: {', '.join(table_columns())}")


BY_CLASS: Mapping[str, tuple[str, str]] = {
    "probability": ("probabilities", "double"),
    "threshold": ("thresholds", "double"),
    "decision": ("decisions", "bool"),
    "uncertain": ("uncertain", "bool"),
}
"""Beginning of a column's name -> field of an answer, and type; ``probability_MI`` is ``probabilities.MI``."""
ANSWERED_BY = ("model", "registered_model", "version", "policy")


def schema() -> "pyarrow.Schema":
    """The columns of a table of answers; ``docs/batch.md`` says what each holds."""
    import pyarrow as pa

    def of(kind: str, *names: str) -> list[tuple[str, pa.DataType]]:
        return [(name, pa.type_for_alias(kind)) for name in names]

    texts = pa.list_(pa.string())
    finding = of("string", "code", "description", "group") + of("double", "probability", "threshold")
    return pa.schema(
        [
            *of("string", "file", "id", "format"),
            *of("double", "fs_hz", "seconds"),
            *of("string", *ANSWERED_BY),
            *(of(kind, f"{start}_{name}")[0] for start, (_, kind) in BY_CLASS.items() for name in SUPERCLASSES),
            ("findings", pa.list_(pa.struct(finding + of("bool", "reported")))),
            ("windows", pa.list_(pa.struct(of("double", "start_s", "end_s", *SUPERCLASSES)))),
            ("quality", pa.list_(pa.struct([*of("string", "flag"), ("leads", texts), *of("string", "detail")]))),
            ("warnings", texts),
            ("notes", texts),
            *of("string", "error_code", "error_field", "error"),
        ]
    )


def table_row(answer: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """One answer, or what is wrong with the record, as a row; a column that does not apply is empty.

    Args:
        answer: of ``Scorer.answers``.
        read: ``file``, and of one that was read ``format``, ``fs_hz``, ``seconds`` and ``notes``.
    """
    row = {**read, "id": None if answer["id"] is None else str(answer["id"])}
    if "error" in answer:
        error = answer["error"]
        return row | {"error_code": error["code"], "error_field": error["field"], "error": message_of(error)}
    row |= {name: answer[name] for name in (*ANSWERED_BY, "findings", "quality", "warnings")}
    for start, (field, _) in BY_CLASS.items():
        row |= {f"{start}_{name}": answer[field][name] for name in SUPERCLASSES}
    row["windows"] = [
        {"start_s": window["start_s"], "end_s": window["end_s"]} | (window["probabilities"] or {})
        for window in answer["windows"]
    ]
    return row
