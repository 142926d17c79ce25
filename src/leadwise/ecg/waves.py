"""A recording cut into the waves of its heart beats, and a recording with some of them taken out.

Waves are segments of fixed length before and after the steepest place of each QRS complex. They are no delineation: at
a fast rhythm the T wave's segment ends where the next beat's P wave begins, and a wide QRS complex reaches into the ST
segment's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from leadwise.ecg.record import INDEPENDENT_COLUMNS

SMOOTHING_S = 0.05
REFRACTORY_S = 0.2
"""Two ventricular activations are at least as far apart."""
LEAST_SHARE = 0.4
"""A beat is at least that steep, measured by the steepest 2 % of the recording."""


def average_beat(
    leads: np.ndarray, fs_hz: float, before_s: float, after_s: float, places: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the beats of each recording, aligned where the slopes of all leads together are steepest.

    Args:
        leads: ``(record, lead, time)`` without missing samples, about 100 Hz.
        fs_hz: sampling rate in Hz.
        before_s, after_s: seconds to keep around the steepest place.
        places: ``beat_places`` of the leads, where they are known.

    Returns:
        ``(record, lead, before + after)``, all zero where no beat was found, and the beats behind each, ``(record,)``.
    """
    before, after = round(before_s * fs_hz), round(after_s * fs_hz)
    places = beat_places(leads, fs_hz) if places is None else places
    places = places[:, before : leads.shape[2] - after + 1]
    beats = np.zeros((*leads.shape[:2], before + after), dtype=np.float32)
    count = places.sum(axis=1)
    if count.any():
        around = np.lib.stride_tricks.sliding_window_view(leads, before + after, axis=2)
        for record in np.flatnonzero(count):
            beats[record] = around[record][:, np.flatnonzero(places[record])].mean(axis=1)
    return beats, count


def beat_places(leads: np.ndarray, fs_hz: float, steepness: np.ndarray | None = None) -> np.ndarray:
    """``(record, time)`` bool where the ventricles are activated, at most one in ``REFRACTORY_S`` to either side.

    These are the steepest places of ``(record, lead, time)`` without missing samples, about 100 Hz.
    """
    smooth = smooth_steepness(leads, fs_hz) if steepness is None else steepness
    highest = maximum_filter1d(smooth, 2 * round(REFRACTORY_S * fs_hz) + 1, axis=1)
    steepest = round(0.02 * leads.shape[2]) + 1
    least = LEAST_SHARE * np.partition(smooth, -steepest, axis=1)[:, -steepest, np.newaxis]
    return (smooth == highest) & (smooth > least)


def smooth_steepness(leads: np.ndarray, fs_hz: float) -> np.ndarray:
    """How steep all of ``(record, lead, time)`` together are, averaged over ``SMOOTHING_S``: ``(record, time)``."""
    steepness = np.zeros((leads.shape[0], leads.shape[2]), dtype=np.float32)
    if leads.shape[2] > 2:
        steepness[:, 1:-1] = np.abs(leads[:, :, 2:] - leads[:, :, :-2]).sum(axis=1)
    return uniform_filter1d(steepness, max(1, round(SMOOTHING_S * fs_hz)), axis=1)


WAVES: Mapping[str, tuple[float, float]] = {
    "P wave": (-0.24, -0.08),
    "QRS complex": (-0.08, 0.08),
    "ST segment": (0.08, 0.18),
    "T wave": (0.18, 0.44),
}
"""Seconds from the steepest place of the QRS complex. Finer cuts found less on PTB-XL: half a QRS complex that is
replaced by a line still shows the other half."""

BETWEEN = "between beats"
BLOCK_S = 1.0
"""Length of the pieces of a recording in which no beat was found."""


@dataclass(frozen=True)
class Pieces:
    """Which samples belong to which piece; every sample belongs to one.

    Attributes:
        names: of the pieces, ``QRS complex`` or ``2 to 3 s``.
        members: ``(piece, time)`` bool, none of them empty.
    """

    names: tuple[str, ...]
    members: NDArray[np.bool_]


def cut_into_pieces(signal_mv: NDArray[np.float32], fs_hz: float) -> Pieces:
    """The waves of all beats of ``(time, lead)`` at about 100 Hz together; where no beat is found, ``BLOCK_S`` each."""
    beats = np.flatnonzero(beat_places(signal_mv.T[np.newaxis], fs_hz)[0])
    time = np.arange(len(signal_mv))
    if len(beats) == 0:
        size = round(BLOCK_S * fs_hz)
        count = -(-len(time) // size)
        names = tuple(f"{k * BLOCK_S:g} to {(k + 1) * BLOCK_S:g} s" for k in range(count))
        return Pieces(names, time // size == np.arange(count)[:, np.newaxis])
    from_beat = time[:, np.newaxis] - beats
    # A sample that two beats claim goes to the nearer one.
    distance = np.full((len(WAVES), len(time)), np.inf)
    for wave, (start, end) in enumerate(WAVES.values()):
        claimed = (from_beat >= round(start * fs_hz)) & (from_beat < round(end * fs_hz))
        distance[wave] = np.where(claimed, np.abs(from_beat), np.inf).min(axis=1)
    owner = np.where(np.isfinite(distance).any(axis=0), distance.argmin(axis=0), len(WAVES))
    members = owner == np.arange(len(WAVES) + 1)[:, np.newaxis]
    present = members.any(axis=1)
    names = tuple(name for name, there in zip((*WAVES, BETWEEN), present, strict=True) if there)
    return Pieces(names, members[present])


def taken_out(signal_mv: NDArray[np.float32], members: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The recording with some samples of every lead replaced by straight lines between the samples that stay.

    A line leaves neither a step nor a level that was not there, and where an ST segment is raised it stays raised when
    the QRS complex before it goes. Before the first and after the last sample that stays, its value goes on; where none
    stays, each lead rests at its median.

    Args:
        signal_mv: ``(time, lead)``.
        members: ``(time,)`` or ``(time, lead)``: which samples go.
    """
    time, changed = np.arange(len(signal_mv)), signal_mv.copy()
    gone = np.broadcast_to(members if members.ndim == 2 else members[:, np.newaxis], signal_mv.shape)
    for lead in np.flatnonzero(gone.any(axis=0)):
        out, kept = gone[:, lead], ~gone[:, lead]
        if kept.any():
            changed[out, lead] = np.interp(time[out], time[kept], signal_mv[kept, lead])
        else:
            changed[out, lead] = np.median(signal_mv[:, lead])
    return changed


@dataclass(frozen=True)
class Downsampled:
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
    def of(cls, leads: np.ndarray, fs_hz: float) -> "Downsampled":
        """Average ``(record, 12, time)`` over as many samples as bring the rate nearest to 100 Hz."""
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
