"""The sampling rate of a table from its column of times."""

import re
from dataclasses import dataclass

import numpy as np

from leadwise.signals.readers.errors import ReaderError
from leadwise.signals.readers.units import seconds_of
from leadwise.signals.recording import HIGHEST_FS_HZ, LOWEST_FS_HZ

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


def is_time_name(name: str) -> bool:
    """Whether a column of this name holds times."""
    return name.strip().casefold().replace("_", " ") in TIME_NAMES


def is_index_name(name: str) -> bool:
    """Whether a column of this name numbers the rows."""
    return name.strip().casefold().replace("_", " ") in INDEX_NAMES


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


def read_clock(file: str, values: np.ndarray, unit: str) -> Clock:
    """The sampling rate from times.

    Args:
        file: name of the file, for messages.
        values: ``(time,)`` the column.
        unit: of the times; empty where the file gives none.

    Raises:
        ReaderError: the times do not go on evenly.
    """
    if len(values) < 3 or not np.isfinite(values).all():
        raise ReaderError(file, "time", "holds something that is no time")
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not step > 0:
        raise ReaderError(file, "time", "does not go forward")
    shift = np.abs(values - (values[0] + step * np.arange(len(values)))) / step
    if shift.max() > LARGEST_SHIFT:
        row = int(np.abs(np.diff(values) - step).argmax())
        raise ReaderError(
            file, "time", f"is not even: a gap or a repeat near row {row + 2} of the table; even sampling is needed"
        )
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
