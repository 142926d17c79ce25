"""The average heart beat of a recording, found without delineating its waves."""

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

SMOOTHING_S = 0.05
REFRACTORY_S = 0.2
"""Two ventricular activations are at least as far apart."""
LEAST_SHARE = 0.4
"""A beat is at least that steep, measured by the steepest 2 % of the recording."""


def average_beat(
    leads: np.ndarray, fs_hz: float, before_s: float, after_s: float, steepness: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the beats of each recording, aligned where the slopes of all leads together are steepest.

    Args:
        leads: ``(record, lead, time)`` without missing samples, about 100 Hz.
        fs_hz: sampling rate in Hz.
        before_s: seconds to keep before the steepest place.
        after_s: seconds to keep after it.
        steepness: ``smooth_steepness`` of the leads, where it is known.

    Returns:
        ``(record, lead, before + after)`` in the unit of ``leads``, and the beats behind each, ``(record,)``; where
        that is 0, the beat is all zero.
    """
    before, after = round(before_s * fs_hz), round(after_s * fs_hz)
    places = beat_places(leads, fs_hz, steepness)[:, before : leads.shape[2] - after + 1]
    beats = np.zeros((*leads.shape[:2], before + after), dtype=np.float32)
    count = places.sum(axis=1)
    if count.any():
        around = np.lib.stride_tricks.sliding_window_view(leads, before + after, axis=2)
        for record in np.flatnonzero(count):
            beats[record] = around[record][:, np.flatnonzero(places[record])].mean(axis=1)
    return beats, count


def beat_places(leads: np.ndarray, fs_hz: float, steepness: np.ndarray | None = None) -> np.ndarray:
    """Where the ventricles are activated: the steepest places, at most one in ``REFRACTORY_S`` to either side.

    Args:
        leads: ``(record, lead, time)`` without missing samples, about 100 Hz.
        fs_hz: sampling rate in Hz.
        steepness: ``smooth_steepness`` of the leads, where it is known.

    Returns:
        ``(record, time)`` bool.
    """
    smooth = smooth_steepness(leads, fs_hz) if steepness is None else steepness
    highest = maximum_filter1d(smooth, 2 * round(REFRACTORY_S * fs_hz) + 1, axis=1)
    steepest = round(0.02 * leads.shape[2]) + 1
    least = LEAST_SHARE * np.partition(smooth, -steepest, axis=1)[:, -steepest, np.newaxis]
    return (smooth == highest) & (smooth > least)


def smooth_steepness(leads: np.ndarray, fs_hz: float) -> np.ndarray:
    """How steep all leads together are, averaged over ``SMOOTHING_S``: ``(record, time)``.

    Args:
        leads: ``(record, lead, time)`` without missing samples, about 100 Hz.
        fs_hz: sampling rate in Hz.
    """
    steepness = np.zeros((leads.shape[0], leads.shape[2]), dtype=np.float32)
    if leads.shape[2] > 2:
        steepness[:, 1:-1] = np.abs(leads[:, :, 2:] - leads[:, :, :-2]).sum(axis=1)
    return uniform_filter1d(steepness, max(1, round(SMOOTHING_S * fs_hz)), axis=1)
