"""The columns of a table as the signals of a recording: times found, names and units taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.signals.reader_flags import ReaderFlag
from leadwise.signals.readers.errors import MOST_CHANNELS, ReaderError
from leadwise.signals.readers.found import Channel
from leadwise.signals.readers.time_column import Clock, is_index_name, is_time_name, read_clock, steps_evenly
from leadwise.signals.readers.units import name_and_unit, seconds_of


@dataclass(frozen=True)
class Column:
    """A column of numbers; ``unit`` is what a line of units says of it."""

    name: str
    values: np.ndarray
    unit: str = ""


def channels_of(
    file: str, columns: Sequence[Column], fs_hz: float | None = None, unit: str = ""
) -> tuple[list[Channel], list[str]]:
    """Turn columns into channels; times and row numbers tell the rate and are left out.

    Args:
        file: name of the file, for messages.
        columns: the table.
        fs_hz: sampling rate that the file states elsewhere.
        unit: unit that the file states for all of them elsewhere.

    Returns:
        The channels, and notes on what is odd.

    Raises:
        ReaderError: times are uneven, or there are too many columns.
    """
    if len(columns) > MOST_CHANNELS:
        raise ReaderError(file, "table", f"received {len(columns)} columns; at most {MOST_CHANNELS} are read")
    notes: list[str] = []
    kept: list[tuple[str, str, np.ndarray]] = []
    noticed: tuple[ReaderFlag, ...] = ()
    for position, column in enumerate(columns):
        name, own_unit = name_and_unit(column.name)
        own_unit = own_unit or column.unit
        clock = _clock(file, name, own_unit, column.values, position, bare=not any(one.name for one in columns))
        if clock is None:
            kept.append((name, own_unit or unit, column.values))
            continue
        notes.extend(clock.notes)
        if fs_hz is None:
            fs_hz = clock.fs_hz
        elif clock.fs_hz is not None and abs(clock.fs_hz - fs_hz) > 1e-3 * fs_hz:
            notes.append(f"The time column fits {clock.fs_hz:g} Hz, the file says {fs_hz:g} Hz, which was taken.")
            noticed = ("rate_suspected",)
    return [Channel(name, values, fs_hz, own, noticed=noticed) for name, own, values in kept], notes


def _clock(file: str, name: str, unit: str, values: np.ndarray, position: int, bare: bool) -> Clock | None:
    """What a column says of the time; ``None`` if it is a signal."""
    if is_time_name(name) or (name and seconds_of(unit) is not None):
        return read_clock(file, values, unit or (name if seconds_of(name) is not None else ""))
    if position == 0 and (bare or is_index_name(name)) and steps_evenly(values):
        return read_clock(file, values, unit) if unit or values[1] - values[0] != 1 else Clock(None)
    if is_index_name(name) and name:
        return Clock(None)
    return None
