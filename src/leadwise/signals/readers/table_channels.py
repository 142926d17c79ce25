"""The columns of a table as the signals of a recording: times found, names and units taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.signals.readers.errors import MOST_CHANNELS, ReaderError, shown_text
from leadwise.signals.readers.found import Channel, Question
from leadwise.signals.readers.lead_names import standard_lead
from leadwise.signals.readers.time_column import Clock, is_index_name, is_time_name, read_clock, steps_evenly
from leadwise.signals.readers.units import name_and_unit, seconds_of
from leadwise.signals.recording import HIGHEST_FS_HZ, LOWEST_FS_HZ


@dataclass(frozen=True)
class Column:
    """A column of numbers; ``unit`` is what a line of units says of it. One of text has no number but NaN."""

    name: str
    values: np.ndarray
    unit: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """The signals of a table, what is odd about it, and what to ask where its sampling rate is not known."""

    channels: tuple[Channel, ...]
    notes: tuple[str, ...]
    rate_question: Question | None = None


def channels_of(file: str, columns: Sequence[Column], stated_hz: Sequence[float] = (), unit: str = "") -> Table:
    """Turn columns into channels; times and row numbers tell the rate and are left out, as are columns of nothing.

    Args:
        file: name of the file, for messages.
        columns: the table.
        stated_hz: sampling rates that the file states elsewhere.
        unit: unit that the file states for all of them elsewhere.

    Raises:
        ReaderError: times are uneven, or there are too many columns.
    """
    if len(columns) > MOST_CHANNELS:
        raise ReaderError(file, "table", f"received {len(columns)} columns; at most {MOST_CHANNELS} are read")
    notes: list[str] = []
    kept: list[tuple[str, str, np.ndarray]] = []
    without_numbers: list[str] = []
    clocked_hz: list[float] = []
    bare = not any(one.name for one in columns)
    for position, column in enumerate(columns):
        name, own_unit = name_and_unit(column.name)
        own_unit = own_unit or column.unit
        # Without names, an empty column may well be a lead.
        is_useless = column.is_text or not (bare or np.isfinite(column.values).any())
        if is_useless and not is_lead_or_time(column.name):
            without_numbers.append(shown_text(column.name) if column.name else f"column {position + 1}")
            continue
        clock = _clock(file, name, own_unit, column.values, position, bare=bare)
        if clock is None:
            kept.append((name, own_unit or unit, column.values))
            continue
        notes.extend(clock.notes)
        if clock.fs_hz is not None:
            clocked_hz.append(clock.fs_hz)
    if without_numbers:
        notes.append(f"Left out, as they hold text or nothing: {', '.join(without_numbers[:8])}.")
    told = [*clocked_hz, *stated_hz]
    # A rate that is stated is exact, one from times may be rounded.
    fs_hz = told[-1] if told and all(abs(one - told[0]) <= 1e-3 * told[0] for one in told) else None
    question = _rate_question(clocked_hz, stated_hz) if told and fs_hz is None else None
    channels = tuple(Channel(name, values, fs_hz, own) for name, own, values in kept)
    return Table(channels, tuple(notes), question)


def is_lead_or_time(name: str) -> bool:
    """Whether a column of this name must hold numbers or times."""
    bare, unit = name_and_unit(name)
    return standard_lead(bare) is not None or is_time_name(bare) or seconds_of(unit) is not None


def _rate_question(clocked_hz: Sequence[float], stated_hz: Sequence[float]) -> Question:
    """Ask which of the sampling rates holds; times count more than a number in a line above them."""
    places = (("its times fit", clocked_hz), ("it states", stated_hz))
    told = " and ".join(f"{verb} {', '.join(f'{one:g}' for one in rates)} Hz" for verb, rates in places if rates)
    allowed = [one for one in (*clocked_hz, *stated_hz) if LOWEST_FS_HZ <= one <= HIGHEST_FS_HZ]
    return Question(
        "fs_hz",
        f"The file contradicts itself on its sampling rate, as {told}: how many samples per second?",
        suggestion=allowed[0] if allowed else None,
    )


def _clock(file: str, name: str, unit: str, values: np.ndarray, position: int, bare: bool) -> Clock | None:
    """What a column says of the time; ``None`` if it is a signal."""
    if is_time_name(name) or (name and seconds_of(unit) is not None):
        return read_clock(file, values, unit or (name if seconds_of(name) is not None else ""))
    if position == 0 and (bare or is_index_name(name)) and steps_evenly(values):
        return read_clock(file, values, unit) if unit or _is_fractional(values) else _row_numbers(values)
    if is_index_name(name) and name:
        return Clock(None)
    return None


def _is_fractional(values: np.ndarray) -> bool:
    return bool((values != np.round(values)).any())


def _row_numbers(values: np.ndarray) -> Clock:
    """Whole numbers in a column without a name count rows; they say no rate, even if they could be milliseconds."""
    step = values[1] - values[0]
    notes = (
        () if step == 1 else (f"The first column goes on by {step:g} and was taken for row numbers, not for times.",)
    )
    return Clock(None, notes)
