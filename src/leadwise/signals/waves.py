"""A recording cut into the waves of its heart beats, and a recording with some of them taken out.

Waves are stretches of fixed length before and after the steepest place of each QRS complex. They are no delineation: at
a fast rhythm the T wave's stretch ends where the next beat's P wave begins, and a wide QRS complex reaches into the ST
segment's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadwise.signals.beats import beat_places

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
    """The waves of all beats together; where no beat is found, stretches of ``BLOCK_S``.

    Args:
        signal_mv: ``(time, lead)``.
        fs_hz: sampling rate in Hz, about 100.
    """
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
        members: ``(time,)`` which samples go, or ``(time, lead)``.
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
