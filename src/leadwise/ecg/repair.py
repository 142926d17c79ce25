"""What is taken out of a recording before a network sees it: leads without an electrode, hum, a wandering baseline.

Only what is beyond a limit is touched, and every change becomes a flag; any other recording stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import LEADS
from leadwise.ecg import quality
from leadwise.ecg.quality import HUM_UV, LIMB_LEADS, WANDER_HZ, Flag, LeadQuality, lead_list
from leadwise.ecg.record import INDEPENDENT_LEADS, LARGEST_MV, LARGEST_USUAL_SPAN_MV, LEADS_FROM_I_AND_II

OFF_UV, OFF_SHARE = 10_000.0, 0.02
"""No heart reaches so far from a lead's middle for so long: of folds 1-8 of PTB-XL one recording does."""
STILL_UV = 1_000.0
"""A lead that stands still at least as far from 0 is at a rail, and one that stands still nearer to it is flat."""
WANDER_UV, WANDER_EVERYWHERE_UV = 4_000.0, 1_000.0
"""Range of a lead's part below 0.5 Hz, or the least distance of all of it from 0: of any lead, and the median of the
leads. 98.9 % of PTB-XL stay below both. A wander of 3 mV in all leads changes the answer to nearly every recording."""


@dataclass(frozen=True)
class Repaired:
    """A recording after what was beyond a limit has been taken out.

    Attributes:
        signal_mv: ``(time, 12)`` float32.
        flags: what was changed.
        off: leads whose electrode is off in a part of the recording or all of it.
    """

    signal_mv: NDArray[np.float32]
    flags: tuple[Flag, ...]
    off: tuple[str, ...]


def needs_repair(measured: LeadQuality) -> NDArray[np.bool_]:
    """``(segment,)``: where ``repaired`` has to look; cheap, as most recordings need nothing."""
    lowest, highest = measured.lowest_uv, measured.highest_uv
    leads = (
        (highest - lowest > OFF_UV)
        | _beyond(lowest, highest, STILL_UV)
        | (measured.wander_uv > WANDER_UV)
        | (measured.hum_uv > HUM_UV)
        | (measured.noise_uv > quality.NOISY_UV)
        # What stands still for a while makes no noise there.
        | (measured.noise_uv < 0.01)
    )
    return np.asarray(leads.any(axis=1) | ((measured.wander_uv > WANDER_EVERYWHERE_UV).sum(axis=1) >= len(LEADS) // 2))


def _beyond(lowest: np.ndarray, highest: np.ndarray, limit_uv: float) -> np.ndarray:
    """Where all of a lead lies on one side, that far from 0."""
    return np.maximum(lowest, -highest) > limit_uv


def repaired(
    signal_mv: NDArray[np.float32],
    fs_hz: float,
    parts: Sequence[slice],
    measured: LeadQuality,
    rows: Sequence[int],
    computed: Sequence[str],
) -> Repaired | None:
    """The recording without what is beyond a limit; ``None`` where nothing is.

    Args:
        signal_mv: ``(time, 12)``.
        fs_hz: sampling rate in Hz.
        parts: the samples of its segments.
        measured, rows: of ``(segment, 12)`` as recorded, and the rows of these segments.
        computed: leads that were computed from leads I and II.
    """
    off = np.stack([_off(signal_mv[part], fs_hz) for part in parts])
    # What was computed from a lead that is off is worth no more.
    off[:, [LEADS.index(name) for name in computed]] |= off[:, :2].any(axis=1, keepdims=True)
    signal = signal_mv
    flags = []
    if off.any():
        signal = signal_mv.copy()
        restored = np.zeros_like(off)
        for part, is_off, back in zip(parts, off, restored, strict=True):
            signal[part], back[:] = _silenced(signal_mv[part], is_off, computed)
        flags.append(_off_flag(off, restored, parts, fs_hz))
    # Hum that the sampling rate folded to a lower frequency is measured as noise.
    folded = fs_hz < 2 * max(quality.MAINS_HZ) and (measured.noise_uv[rows] > quality.NOISY_UV).any()
    if folded or (measured.hum_uv[rows] > HUM_UV).any():
        hums = {mains_hz: hum_of(signal, fs_hz, mains_hz) for mains_hz in quality.MAINS_HZ}
        mains_hz = max(hums, key=lambda hertz: hums[hertz][1].max())
        hum, hum_uv = hums[mains_hz][0], 1000 * hums[mains_hz][1]
        if (hum_uv > HUM_UV).any():
            signal = (signal - hum).astype(np.float32)
            detail = f"{hum_uv.max():.0f} uV of {mains_hz:g} Hz in {LEADS[int(hum_uv.argmax())]}, taken out"
            flags.append(Flag("mains_hum", lead_list(hum_uv > HUM_UV), f"{detail}; up to {HUM_UV:g} uV is left in"))
    lowest, highest = measured.lowest_uv[rows], measured.highest_uv[rows]
    apart = np.where(_beyond(lowest, highest, STILL_UV), np.maximum(lowest, -highest), 0)
    wander_uv = np.where(off, 0, np.maximum(measured.wander_uv[rows], apart)).max(axis=0)
    usual = float(np.median(wander_uv[~off.all(axis=0)])) if not off.all() else 0.0
    if wander_uv.max() > WANDER_UV or usual > WANDER_EVERYWHERE_UV:
        signal = without_wander(signal, fs_hz, parts)
        much = wander_uv > min(WANDER_UV, max(usual, WANDER_EVERYWHERE_UV))
        most = f"{wander_uv.max() / 1000:.2g} mV in {LEADS[int(wander_uv.argmax())]}"
        detail = f"{most}, taken out below {WANDER_HZ:g} Hz"
        left = f"{WANDER_UV / 1000:g} mV in a lead or {WANDER_EVERYWHERE_UV / 1000:g} mV in most of them"
        flags.append(Flag("baseline_wander", lead_list(much), f"{detail}; up to {left} is left in"))
    return Repaired(signal, tuple(flags), lead_list(off.any(axis=0))) if flags else None


def _off(signal_mv: np.ndarray, fs_hz: float) -> NDArray[np.bool_]:
    """``(12,)``: leads of one segment that are at a rail or jump to one."""
    leads = signal_mv.T * np.float32(1000)
    middle = np.median(leads, axis=1)
    distance = np.abs(leads - middle[:, np.newaxis])
    far = ((distance > OFF_UV).mean(axis=1) > OFF_SHARE) | (distance.max(axis=1) > 1000 * LARGEST_MV)
    second = round(fs_hz)
    by_second = leads[:, : leads.shape[1] // second * second].reshape(len(leads), -1, second)
    moves = np.median(np.ptp(by_second, axis=2), axis=1)
    # Where all leads are that large, it is the units that are wrong.
    far &= bool((moves > 0).any() and np.median(moves[moves > 0]) <= 1000 * LARGEST_USUAL_SPAN_MV)
    still = (moves < quality.FLAT_UV) & (np.abs(middle) >= STILL_UV)
    stops = (moves == 0) & (np.ptp(leads, axis=1) >= quality.FLAT_UV)
    return np.asarray(far | still | stops)


def _silenced(
    signal_mv: NDArray[np.float32], off: NDArray[np.bool_], computed: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One segment with what is off at 0 mV or computed from the other limb leads, and which leads were computed."""
    silent, restored = np.where(off, np.float32(0), signal_mv), np.zeros_like(off)
    given = [place for place, name in enumerate(LIMB_LEADS) if name not in computed]
    good = [place for place in given if not off[place]]
    if len(given) - len(good) != 1 or len(good) < 2:
        return silent, restored
    weights = np.array([{"I": (1.0, 0.0), "II": (0.0, 1.0), **LEADS_FROM_I_AND_II}[name] for name in LIMB_LEADS])
    i_and_ii = np.linalg.lstsq(weights[good], signal_mv[:, good].T.astype(np.float64), rcond=None)[0]
    limbs = (weights @ i_and_ii).T
    if np.abs(limbs[:, good] - signal_mv[:, good]).max() * 1000 > quality.DISAGREEING_UV:
        return silent, restored
    again = [place for place in range(len(LIMB_LEADS)) if place not in good]
    silent[:, again] = limbs[:, again]
    restored[again] = True
    return silent, restored


def _off_flag(off: np.ndarray, restored: np.ndarray, parts: Sequence[slice], fs_hz: float) -> Flag:
    places = [part for part, row in zip(parts, off, strict=True) if row.any()]
    where = [f"{part.start / fs_hz:g} to {part.stop / fs_hz:g} s" for part in places]
    when = f" from {', '.join(where)}" if len(where) < len(parts) else ""
    details = [f"at a rail or beyond {OFF_UV / 1000:g} mV{when}: {', '.join(lead_list(off.any(axis=0)))}"]
    if (silent := (off & ~restored).any(axis=0)).any():
        details.append(f"taken as 0 mV: {', '.join(lead_list(silent))}")
    if restored.any():
        details.append(f"computed from the other limb leads: {', '.join(lead_list(restored.any(axis=0)))}")
    return Flag("electrode_off", lead_list((off | restored).any(axis=0)), "; ".join(details))


def why_off(off: Sequence[str]) -> str:
    """Why a recording is no ECG, where more than half of its independent leads are off; empty where they are not."""
    gone = [name for name in INDEPENDENT_LEADS if name in off]
    if 2 * len(gone) <= len(INDEPENDENT_LEADS):
        return ""
    return f"has its electrodes off in {', '.join(gone)}: {len(gone)} of {len(INDEPENDENT_LEADS)} leads show no heart"


def hum_of(signal_mv: NDArray[np.float32], fs_hz: float, mains_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """The hum in a recording, ``(time, 12)``, and its amplitude, ``(12,)``, the median over the seconds; both in mV.

    Amplitude and phase are those of Hann windows of 1 s, half overlapping, and change linearly between their middles.
    Above half the sampling rate, what the rate makes of the mains is looked for.
    """
    time = np.arange(len(signal_mv))
    second = round(fs_hz)
    starts = np.arange(0, len(signal_mv) - second + 1, max(1, second // 2))
    seconds = np.lib.stride_tricks.sliding_window_view(signal_mv, second, axis=0)[starts]
    wave = np.exp(2j * np.pi * mains_hz / fs_hz * time)
    window = np.hanning(second + 1)[:-1]
    # At half the sampling rate a wave is its own mirror image.
    scale = (1 if mains_hz == fs_hz / 2 else 2) / window.sum()
    parts = scale * (seconds @ (window * wave[:second].conj())) * wave[starts, np.newaxis].conj()
    slow = np.stack([np.interp(time, starts + (second - 1) / 2, part) for part in parts.T], axis=1)
    return (slow * wave[:, np.newaxis]).real, np.median(np.abs(parts), axis=0)


def without_wander(signal_mv: NDArray[np.float32], fs_hz: float, parts: Sequence[slice]) -> NDArray[np.float32]:
    """The mean of each segment and its cosines below ``WANDER_HZ`` taken out; overlapping ones are blended.

    Of ways to do it on fold 9 this one left the answers nearest to those without wander, whatever its frequency: a
    high-pass filter of order 2 or 4 at 0.3 to 0.5 Hz, running medians and robust cosines are no better or worse.
    """
    slow, before = np.zeros_like(signal_mv), 0
    for part in parts:
        values = signal_mv[part] - signal_mv[part].mean(axis=0)
        waves = quality.cosines(len(values), int(2 * WANDER_HZ * len(values) / fs_hz))
        wander = waves @ (waves.T @ values) + (signal_mv[part] - values)
        overlap = max(0, before - part.start)
        share = np.ones(len(values), np.float32)
        share[:overlap] = np.linspace(0, 1, overlap)
        slow[part] += share[:, np.newaxis] * (wander - slow[part])
        before = part.stop
    return signal_mv - slow
