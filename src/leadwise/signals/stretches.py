"""A long recording in stretches of 10 s, the length of the records that the networks have learnt from."""

import math

from leadwise.contract import RECORD_SECONDS


def stretch_count(samples: int, fs_hz: float) -> int:
    """Stretches that cover a recording; 1 where it is 10 s or shorter."""
    return max(1, math.ceil(samples / fs_hz / RECORD_SECONDS - 1e-6))


def stretches(samples: int, fs_hz: float, count: int) -> list[slice]:
    """The samples of each stretch, all of the same number; the last one ends with the recording.

    Args:
        samples: of the recording.
        fs_hz: sampling rate in Hz.
        count: what ``stretch_count`` gave, at whichever rate: before and after resampling it is the same.
    """
    size = min(samples, round(RECORD_SECONDS * fs_hz))
    starts = [min(round(number * RECORD_SECONDS * fs_hz), samples - size) for number in range(count)]
    return [slice(start, start + size) for start in starts]


def stretch_times(seconds: float, count: int) -> list[tuple[float, float]]:
    """From and to of each stretch, in seconds."""
    size = min(seconds, float(RECORD_SECONDS))
    starts = [min(float(number * RECORD_SECONDS), seconds - size) for number in range(count)]
    return [(round(start, 3), round(start + size, 3)) for start in starts]
