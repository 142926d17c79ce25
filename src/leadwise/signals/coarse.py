"""Recordings at about 100 Hz, and what several measures of them are made of."""

from dataclasses import dataclass

import numpy as np

from leadwise.signals.beats import smooth_steepness
from leadwise.signals.leads import INDEPENDENT_COLUMNS


@dataclass(frozen=True)
class Coarse:
    """Recordings at about 100 Hz, and what is made of them once.

    Attributes:
        leads: ``(record, 12, time)`` float32 without missing samples, leads in the order of ``LEADS``.
        fs_hz: sampling rate in Hz.
        independent: ``(record, 8, time)``: ``INDEPENDENT_LEADS``, each without its mean.
        steepness: ``(record, time)``: how steep these leads together are (``beats.smooth_steepness``).
        bends: ``(record, 12, time - 2)``: sizes of the second differences.
    """

    leads: np.ndarray
    fs_hz: float
    independent: np.ndarray
    steepness: np.ndarray
    bends: np.ndarray

    @classmethod
    def of(cls, leads: np.ndarray, fs_hz: float) -> "Coarse":
        """Average over as many samples as bring the rate nearest to 100 Hz.

        Args:
            leads: ``(record, 12, time)`` float32 without missing samples.
            fs_hz: sampling rate in Hz.
        """
        factor = max(1, round(fs_hz / 100))
        slow = leads if factor == 1 else block_sums(leads, factor) / np.float32(factor)
        independent = slow[:, INDEPENDENT_COLUMNS]
        independent -= independent.mean(axis=2, keepdims=True)
        slopes = slow[:, :, 1:] - slow[:, :, :-1]
        bends = slopes[:, :, 1:] - slopes[:, :, :-1]
        steepness = smooth_steepness(independent, fs_hz / factor)
        return cls(slow, fs_hz / factor, independent, steepness, np.abs(bends, out=bends))


def block_sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sums of ``size`` neighbours along the last of three axes; what is left over at the end is dropped."""
    end = values.shape[2] // size * size
    # Adding strided slices is several times faster than reducing a short last axis.
    total = values[:, :, 0:end:size].copy()
    for offset in range(1, size):
        total += values[:, :, offset:end:size]
    return total
