"""From millivolts to what a network sees: one scale for the whole data set, and windows of a fixed length."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leadwise.contract import FS_HZ, MICROVOLTS_PER_UNIT, RECORD_SAMPLES, RECORD_SECONDS


@dataclass(frozen=True)
class SignalPreprocessing:
    """The signal part of ``preprocessing.json``.

    One mean and one standard deviation for all leads and records, as hypertrophy is read off absolute voltage
    (Strodthoff et al. 2021 scale the same way).

    Attributes:
        mean_mv: mean of the training folds, in mV.
        sd_mv: standard deviation of the training folds, in mV.
        fs_hz: sampling rate that the network expects.
        window_samples: samples of one window.
        stride_samples: distance of the starts of two windows; a recording's answer is the mean over its windows.
    """

    mean_mv: float
    sd_mv: float
    fs_hz: float = FS_HZ
    window_samples: int = RECORD_SAMPLES
    stride_samples: int = RECORD_SAMPLES

    @classmethod
    def fit(
        cls, signals: np.ndarray, rows: np.ndarray, *, window_samples: int, stride_samples: int
    ) -> "SignalPreprocessing":
        """Fit the scale on the given rows of a store's ``(record, time, lead)`` int16 signals, 1,000 rows at a time."""
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(rows), 1000):
            block = signals[np.sort(rows[start : start + 1000])].astype(np.float64)
            count += block.size
            total += block.sum()
            squares += np.square(block).sum()
        mean = total / count
        sd = np.sqrt(squares / count - mean**2)
        unit_mv = MICROVOLTS_PER_UNIT / 1000
        return cls(
            float(mean * unit_mv), float(sd * unit_mv), window_samples=window_samples, stride_samples=stride_samples
        )

    def standardise(self, signal_mv: np.ndarray) -> np.ndarray:
        """Signals in mV, any shape, to float32 standard deviations from the mean."""
        return ((signal_mv - self.mean_mv) / self.sd_mv).astype(np.float32)

    def standardise_units(self, units: np.ndarray) -> np.ndarray:
        """Stored int16 units, any shape, to float32 standard deviations from the mean."""
        scale = np.float32(MICROVOLTS_PER_UNIT / 1000 / self.sd_mv)
        return units.astype(np.float32) * scale - np.float32(self.mean_mv / self.sd_mv)

    def windows(self, signal: np.ndarray) -> np.ndarray:
        """Cut one recording ``(time, lead)`` at ``fs_hz`` into ``(window, window_samples, lead)``.

        The last window ends with the recording. A recording shorter than a window is one window of its own length.
        """
        length = len(signal)
        if length <= self.window_samples:
            return signal[np.newaxis]
        return np.stack([signal[start : start + self.window_samples] for start in self.window_starts(length)])

    def window_starts(self, length: int) -> list[int]:
        """First samples of the windows that cover a recording of ``length`` samples."""
        last = max(length - self.window_samples, 0)
        starts = list(range(0, last + 1, self.stride_samples))
        return starts if starts[-1] == last else [*starts, last]

    def to_dict(self) -> dict[str, Any]:
        """What ``preprocessing.json`` holds under ``signal``; its fields make the same again."""
        return asdict(self)


def segment_count(samples: int, fs_hz: float) -> int:
    """Segments that cover a recording; 1 where it is 10 s or shorter."""
    return max(1, math.ceil(samples / fs_hz / RECORD_SECONDS - 1e-6))


def segments(samples: int, fs_hz: float, count: int | None = None) -> list[slice]:
    """The samples of each segment, all of the same number; the last one ends with the recording.

    Args:
        samples: of the recording.
        fs_hz: sampling rate in Hz.
        count: ``segment_count`` before the recording was resampled, as that gives the same; by default its own.
    """
    count = segment_count(samples, fs_hz) if count is None else count
    size = min(samples, round(RECORD_SECONDS * fs_hz))
    starts = [min(round(number * RECORD_SECONDS * fs_hz), samples - size) for number in range(count)]
    return [slice(start, start + size) for start in starts]


def segment_times(seconds: float, count: int) -> list[tuple[float, float]]:
    """From and to of each segment, in seconds."""
    size = min(seconds, float(RECORD_SECONDS))
    starts = [min(float(number * RECORD_SECONDS), seconds - size) for number in range(count)]
    return [(round(start, 3), round(start + size, 3)) for start in starts]
