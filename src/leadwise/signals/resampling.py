"""Another sampling rate, by the rate and never by the length, without aliasing."""

from fractions import Fraction

import numpy as np

# Not where it is used: two threads that import parts of SciPy for the first time at once break each other.
from scipy.signal import resample_poly

LARGEST_FACTOR = 10_000
"""Largest denominator of the ratio of two rates; the rate is then off by 0.005 % at most, as clocks of devices are."""


def resample(signal: np.ndarray, fs_hz: float, target_hz: float) -> np.ndarray:
    """Resample a recording with a polyphase filter that cuts below the lower of the two Nyquist frequencies.

    Beyond its ends the signal goes on along the line through its first and its last sample, so that an offset or a
    drift does not ring there.

    Args:
        signal: ``(time, lead)`` in any unit.
        fs_hz: sampling rate of ``signal``, in Hz.
        target_hz: sampling rate wanted, in Hz.

    Returns:
        ``(ceil(time * target_hz / fs_hz), lead)``; the same array if the rates are equal.
    """
    ratio = Fraction(target_hz / fs_hz).limit_denominator(LARGEST_FACTOR)
    if ratio == 1:
        return signal
    return np.asarray(resample_poly(signal, ratio.numerator, ratio.denominator, axis=0, padtype="line"))
