"""The ends of a recording that hold none of it: no lead has a value there, or every lead keeps one.

Arrays that were filled up to a length, such as 4,096 samples, have such ends. They would be taken for a flat line.
"""

import math

import numpy as np

SHORTEST_STILL_S = 0.2
"""Two ticks more than 10 s at 100 Hz filled up to 1,024. In PTB-XL (100 Hz, 1 uV) all leads together keep a value for
0.06 s at most, at the ends as anywhere; rounded to 20 uV, for 0.1 s in one recording of 21,799."""
USUAL_STEP = 0.9
"""A still end that begins as near to the sample beside it as this share of samples lie to theirs begins with one that
was recorded: it has been repeated."""


def empty_ends(by_time: np.ndarray, fs_hz: float) -> tuple[int, int]:
    """Samples at the beginning and at the end that are not of the recording; none where there is nothing else.

    Args:
        by_time: ``(time, lead)`` numbers; NaN where a sample is missing.
        fs_hz: sampling rate in Hz.
    """
    fewest = max(2, math.ceil(SHORTEST_STILL_S * fs_hz))
    before = _empty(by_time, fewest)
    return (0, 0) if before == len(by_time) else (before, _empty(by_time[::-1], fewest))


def missing_ends(by_time: np.ndarray) -> tuple[int, int]:
    """The same without those that keep a value."""
    before = _missing(by_time)
    return (0, 0) if before == len(by_time) else (before, _missing(by_time[::-1]))


def _empty(by_time: np.ndarray, fewest: int) -> int:
    """Samples at the beginning."""
    if len(by_time) >= fewest and _differ(by_time[0], by_time[fewest - 1]):
        return 0
    gone = _missing(by_time)
    rest = by_time[gone:]
    if len(rest) < fewest or not _like(rest[fewest - 1], rest[0]).all():
        return gone
    moves = np.flatnonzero(~_like(rest, rest[0]).all(axis=1))
    if len(moves) == 0:
        return len(by_time)
    still = int(moves[0])
    return gone + still - _is_recorded(rest, still)


def _differ(first: np.ndarray, later: np.ndarray) -> bool:
    """Whether a lead has two values in two samples, as nearly always, and then in one of the first leads."""
    # Two arrays that short are compared faster number by number.
    return any(
        one != other and one == one and other == other
        for one, other in zip(first.tolist(), later.tolist(), strict=True)
    )


def _missing(by_time: np.ndarray) -> int:
    """Samples before the first one that any lead has."""
    if not np.isnan(by_time[0]).all():
        return 0
    present = np.flatnonzero(~np.isnan(by_time).all(axis=1))
    return int(present[0]) if len(present) else len(by_time)


def _like(samples: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Whether they are the same or missing; what is infinite is like nothing."""
    return np.isnan(samples) | ((samples == first) & np.isfinite(first))


def _is_recorded(by_time: np.ndarray, still: int) -> bool:
    """Whether the value that is kept at first is the recording's own, and not one that was put in."""
    if not by_time[0].any():
        return False
    steps = np.abs(np.diff(by_time[still - 1 :].astype(np.float64), axis=0)).sum(axis=1)
    usual = steps[1:][np.isfinite(steps[1:])]
    return bool(len(usual)) and bool(steps[0] <= np.quantile(usual, USUAL_STEP))
