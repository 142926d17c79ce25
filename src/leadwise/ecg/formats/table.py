"""Parquet tables (Apache Parquet format) with one lead a column."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.ecg.formats.base import (
    Channel,
    Format,
    MissingField,
    Most,
    RawRecording,
    ReadOptions,
    begins_with,
    register,
    shown_text,
)
from leadwise.ecg.formats.parsing import name_and_unit, seconds_of, standard_lead
from leadwise.ecg.record import HIGHEST_FS_HZ, LOWEST_FS_HZ, RecordingError
from leadwise.features import number_with_unit

TIME_NAMES = frozenset(
    {"time", "t", "times", "timestamp", "seconds", "sec", "secs", "ms", "msec", "milliseconds", "us", "zeit", "tiempo",
     "temps", "elapsed time", "elapsed", "datetime", "date time", "time stamp"}
)  # fmt: skip
INDEX_NAMES = frozenset(
    {"", "index", "sample", "samples", "sample #", "sample number", "sample no", "n", "#", "no", "row", "idx",
     "unnamed: 0"}
)  # fmt: skip

NEAREST_WHOLE = 2e-4
"""Relative distance from a whole rate that rounded times explain."""
LARGEST_SHIFT = 0.75
"""Samples that a time may lie off an even grid: times are often rounded to milliseconds."""

_CLOCK = re.compile(r"(?:.*[ T])?\[?(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d+)?)Z?\]?$")


@dataclass(frozen=True)
class Clock:
    """A sampling rate in Hz, ``None`` for a mere index, and what is odd about the times."""

    fs_hz: float | None
    notes: tuple[str, ...] = ()


def _words(name: str) -> str:
    return name.strip().casefold().replace("_", " ")


def clock_seconds(cells: list[str]) -> np.ndarray | None:
    """``(time,)`` seconds from times of day or elapsed times such as ``0:00.002``; ``None`` if a cell is none."""
    seconds = np.empty(len(cells))
    for row, cell in enumerate(cells):
        match = _CLOCK.match(cell.strip().strip("'\"").strip())
        if match is None:
            return None
        seconds[row] = int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", "."))
    # Past midnight a time of day begins again.
    return seconds + 86_400.0 * np.cumsum(np.diff(seconds, prepend=seconds[:1]) < -43_200)


def steps_evenly(values: np.ndarray) -> bool:
    """Whether a column without a name can be nothing but times or row numbers: every step is the same."""
    if len(values) < 3 or not np.isfinite(values).all():
        return False
    step = (values[-1] - values[0]) / (len(values) - 1)
    return bool(step > 0 and np.abs(np.diff(values) - step).max() < 1e-3 * step)


def read_clock(values: np.ndarray, unit: str) -> Clock:
    """The sampling rate from ``(time,)`` times, which must go on evenly; their unit may be empty."""
    if len(values) < 3 or not np.isfinite(values).all():
        raise RecordingError("time", "holds something that is no time")
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not step > 0:
        raise RecordingError("time", "does not go forward")
    shift = np.abs(values - (values[0] + step * np.arange(len(values)))) / step
    if shift.max() > LARGEST_SHIFT:
        row = int(np.abs(np.diff(values) - step).argmax())
        problem = f"is not even: a gap or a repeat near row {row + 2} of the table; even sampling is needed"
        raise RecordingError("time", problem)
    seconds = seconds_of(unit)
    if seconds is not None:
        return Clock(_nearest_whole(1 / (step * seconds)))
    if abs(step - 1) < 1e-9:
        return Clock(None, ("The time column counts rows by one, so it does not tell the sampling rate.",))
    for guess, name in ((1.0, "seconds"), (1e-3, "milliseconds"), (1e-6, "microseconds")):
        fs_hz = _nearest_whole(1 / (step * guess))
        if LOWEST_FS_HZ <= fs_hz <= HIGHEST_FS_HZ:
            return Clock(fs_hz, (f"The time column was taken to be in {name}: {fs_hz:g} Hz.",))
    return Clock(None, ("The steps of the time column fit no sampling rate in s, ms or us.",))


def _nearest_whole(fs_hz: float) -> float:
    whole = round(fs_hz)
    return float(whole) if whole and abs(fs_hz - whole) <= NEAREST_WHOLE * whole else round(fs_hz, 6)


@dataclass(frozen=True)
class Column:
    """A column of numbers; ``unit`` is what a line of units says of it. One of text has no number but NaN."""

    name: str
    values: np.ndarray
    unit: str = ""
    is_text: bool = False


def read_columns(
    format_name: str, columns: Sequence[Column], stated_hz: Sequence[float] = (), unit: str = ""
) -> RawRecording:
    """Turn columns into channels; times and row numbers tell the rate and are left out, as are columns of nothing.

    ``stated_hz`` and ``unit`` are what the file states elsewhere. Refused: uneven times, or too many columns.
    """
    if len(columns) > Most.CHANNELS:
        raise RecordingError("table", f"received {len(columns)} columns; at most {Most.CHANNELS} are read")
    notes: list[str] = []
    kept: list[tuple[str, str, np.ndarray]] = []
    without_numbers: list[str] = []
    clocked_hz: list[float] = []
    bare = not any(column.name for column in columns)
    for position, column in enumerate(columns):
        name, own_unit = name_and_unit(column.name)
        own_unit = own_unit or column.unit
        # Without names, an empty column may well be a lead.
        is_useless = column.is_text or not (bare or np.isfinite(column.values).any())
        if is_useless and not is_lead_or_time(column.name):
            without_numbers.append(shown_text(column.name) if column.name else f"column {position + 1}")
            continue
        clock = _clock(name, own_unit, column.values, position, bare=bare)
        if clock is None:
            kept.append((name, own_unit or unit, column.values))
            continue
        notes.extend(clock.notes)
        if clock.fs_hz is not None:
            clocked_hz.append(clock.fs_hz)
    if without_numbers:
        notes.append(f"Left out, as they hold text or nothing: {', '.join(without_numbers[:8])}.")
    rates = [*clocked_hz, *stated_hz]
    # A rate that is stated is exact, one from times may be rounded.
    fs_hz = rates[-1] if rates and all(abs(rate - rates[0]) <= 1e-3 * rates[0] for rate in rates) else None
    question = _rate_question(clocked_hz, stated_hz) if rates and fs_hz is None else None
    channels = tuple(Channel(name, values, fs_hz, own) for name, own, values in kept)
    return RawRecording(format_name, channels, notes=tuple(notes), rate_question=question)


def is_lead_or_time(name: str) -> bool:
    """Whether a column of this name must hold numbers or times."""
    bare, unit = name_and_unit(name)
    return standard_lead(bare) is not None or _words(bare) in TIME_NAMES or seconds_of(unit) is not None


def _rate_question(clocked_hz: Sequence[float], stated_hz: Sequence[float]) -> MissingField:
    """Ask which of the sampling rates holds; times count more than a number in a line above them."""
    places = (("its times fit", clocked_hz), ("it states", stated_hz))
    said = " and ".join(f"{verb} {', '.join(f'{rate:g}' for rate in rates)} Hz" for verb, rates in places if rates)
    likely = next((rate for rate in (*clocked_hz, *stated_hz) if LOWEST_FS_HZ <= rate <= HIGHEST_FS_HZ), None)
    text = f"The file contradicts itself on its sampling rate, as {said}: how many samples per second?"
    return MissingField("fs_hz", text, suggestion=likely)


def _clock(name: str, unit: str, values: np.ndarray, position: int, bare: bool) -> Clock | None:
    """What a column says of the time; ``None`` if it is a signal."""
    if _words(name) in TIME_NAMES or (name and seconds_of(unit) is not None):
        return read_clock(values, unit or (name if seconds_of(name) is not None else ""))
    is_index = _words(name) in INDEX_NAMES
    if position == 0 and (bare or is_index) and steps_evenly(values):
        if unit or (values != np.round(values)).any():
            return read_clock(values, unit)
        # Whole numbers without a unit count rows; they say no rate, even if they could be milliseconds.
        step = values[1] - values[0]
        note = f"The first column goes on by {step:g} and was taken for row numbers, not for times."
        return Clock(None, () if step == 1 else (note,))
    return Clock(None) if is_index and name else None


FORMAT = "Parquet"
NUMBERS_ARE = 8
"""Bytes of the widest number."""


def read_parquet(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read a table of samples; ``fs_hz`` and ``units`` may stand in the metadata of its schema.

    Refused: the table is too large, or a column holds something other than numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        limits = {"thrift_string_size_limit": 2**20, "thrift_container_size_limit": 10**5}
        table_file = pq.ParquetFile(io.BytesIO(files[file]), **limits)
        meta = table_file.metadata
        if meta.num_columns > Most.CHANNELS or meta.num_rows * meta.num_columns > Most.NUMBERS:
            allowed = f"at most {Most.NUMBERS} numbers in {Most.CHANNELS} columns are read"
            problem = f"received {meta.num_rows} rows of {meta.num_columns} columns; {allowed}"
            raise RecordingError("table", problem)
        unpacked = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
        if unpacked > max(NUMBERS_ARE * Most.NUMBERS, Most.BYTES):
            raise RecordingError("size", f"unpacks to {unpacked // 2**20} MiB, which is too much")
        table = table_file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise RecordingError("table", f"is broken or cut off ({type(error).__name__}); write it anew") from None
    columns = []
    for name, cells in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
            if not is_lead_or_time(name):
                columns.append(Column(name, np.full(len(cells), np.nan), is_text=True))
                continue
            raise RecordingError("table", f"column {shown_text(name)} holds something other than numbers")
        columns.append(Column(name, np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)))
    metadata = table.schema.metadata or {}
    rate, units = (metadata.get(name, b"").decode(errors="replace") for name in (b"fs_hz", b"units"))
    stated = number_with_unit(rate)
    return read_columns(FORMAT, columns, [stated[0]] if stated and stated[0] > 0 and not stated[1] else [], units)


register(Format(FORMAT, (".parquet",), begins_with(b"PAR1"), read_parquet))
