"""Recordings at about 100 Hz, and what several measures of them are made of."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leadwise.signals.beats import smooth_steepness
from leadwise.signals.leads import INDEPENDENT_COLUMNS


@dataclass(frozen=True)
class Coarse:
    """Recordings at about 100 Hz; what is made of them is made once, when it is first asked for.

    Attributes:
        leads: ``(record, 12, time)`` float32 without missing samples, leads in the order of ``LEADS``.
        fs_hz: sampling rate in Hz.
    """

    leads: np.ndarray
    fs_hz: float

    @classmethod
    def of(cls, leads: np.ndarray, fs_hz: float) -> "Coarse":
        """Average over as many samples as bring the rate nearest to 100 Hz.

        Args:
            leads: ``(record, 12, time)`` float32 without missing samples.
            fs_hz: sampling rate in Hz.
        """
        factor = max(1, round(fs_hz / 100))
        slow = leads if factor == 1 else block_sums(leads, factor) / np.float32(factor)
        return cls(slow, fs_hz / factor)

    @cached_property
    def independent(self) -> np.ndarray:
        """``(record, 8, time)``: ``INDEPENDENT_LEADS``, each without its mean."""
        leads = self.leads[:, INDEPENDENT_COLUMNS]
        leads -= leads.mean(axis=2, keepdims=True)
        return leads

    @cached_property
    def steepness(self) -> np.ndarray:
        """``(record, time)``: how steep these leads together are (``beats.smooth_steepness``)."""
        return smooth_steepness(self.independent, self.fs_hz)

    @cached_property
    def bends(self) -> np.ndarray:
        """``(record, 12, time - 2)``: sizes of the second differences."""
        slopes = self.leads[:, :, 1:] - self.leads[:, :, :-1]
        bends = slopes[:, :, 1:] - slopes[:, :, :-1]
        return np.abs(bends, out=bends)


def block_sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sums of ``size`` neighbours along the last of three axes; what is left over at the end is dropped."""
    end = values.shape[2] // size * size
    # Adding strided slices is several times faster than reducing a short last axis.
    total = values[:, :, 0:end:size].copy()
    for offset in range(1, size):
        total += values[:, :, offset:end:size]
    return total
