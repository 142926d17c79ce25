"""Rate, PR, QRS, QT and axis of a recording, measured on its average beat.

Beats are those of ``waves.beat_places``, aligned at 500 Hz; those that look like most of the others are averaged by
their median. QRS begins and ends where all leads together stand nearly still (spatial velocity), T ends where the
tangent of its steepest slope meets the level before QRS (the median over the leads), P begins where it has a tenth of
its height. docs/measurements.md says how far to trust each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from leadwise.contract import ECGRecord
from leadwise.ecg.record import INDEPENDENT_COLUMNS, resample
from leadwise.ecg.waves import Downsampled, beat_places, smooth_steepness

FINE_HZ = 500.0
LEAST_BEATS = 3
LEAST_LIKENESS = 0.9
"""Correlation of a beat's QRS complex with the median beat's, for it to be averaged."""
MOST_SHIFT_S = 0.06
BEFORE_S, AFTER_S = 0.40, 0.60
QRS_REACH_S = (0.12, 0.16)
"""QRS begins and ends no farther from its steepest place."""
STILL = 0.03
"""Share of the largest spatial velocity below which the ventricles are silent."""
STILL_S = 0.012
SLOW, FAST = 0.08, 0.14
"""Shares of the largest spatial velocity: at the end of QRS it is below the one, and after it not above the other."""
J_REACH = 8
"""Samples at ``FINE_HZ`` to either side in which the end of QRS is the slowest."""
LEAST_T_MV, LEAST_P_MV = 0.08, 0.025
P_RISE_S = 0.10
P_BEGINS = 0.1
"""Share of its height at which the P wave is said to begin, and how long before its peak that may be."""
MOST_IRREGULAR = 0.06
"""Median deviation of the intervals between beats from their median; beyond, no P wave is trusted to lead QRS."""
LEAST_P_LIKENESS = 0.35
"""Median correlation of the single beats' P waves with the average one's; in atrial fibrillation there is none."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """One measured figure.

    Attributes:
        name: as clinicians write it.
        value: ``None`` where it cannot be measured.
        unit: of the value.
        usual: lowest and highest in healthy adults at rest.
    """

    name: str
    value: float | None
    unit: str
    usual: tuple[float, float]

    @property
    def verdict(self) -> str:
        """``low``, ``high``, or empty where it is usual or not measured."""
        if self.value is None or self.usual[0] <= self.value <= self.usual[1]:
            return ""
        return "low" if self.value < self.usual[0] else "high"


USUAL: Mapping[str, tuple[str, tuple[float, float]]] = {
    "Rate": ("/min", (60, 100)),
    "PR": ("ms", (120, 200)),
    "QRS": ("ms", (70, 120)),
    "QT": ("ms", (340, 450)),
    "QTc": ("ms", (350, 460)),
    "Axis": ("°", (-30, 90)),
}
"""Name -> unit and what is usual (Rautaharju et al. 2009, Surawicz et al. 2009; QTc by Fridericia: women to 460 ms)."""


def measure(record: ECGRecord) -> tuple[Measurement, ...]:
    """Rate, PR, QRS, QT, QTc and axis at any sampling rate; a recording without beats has none of them."""
    values = _measured(record)
    return tuple(Measurement(name, values.get(name), unit, usual) for name, (unit, usual) in USUAL.items())


def _measured(record: ECGRecord) -> dict[str, float | None]:
    signal = np.nan_to_num(np.asarray(record.signal_mv, dtype=np.float32), posinf=0.0, neginf=0.0)
    if len(signal) < 2 * record.fs_hz:
        return {}
    fine = np.ascontiguousarray(resample(signal, record.fs_hz, FINE_HZ).T)
    places = _beats(fine)
    if len(places) < LEAST_BEATS:
        return {}
    intervals = np.diff(places) / FINE_HZ
    rr_s = float(np.median(intervals))
    rate = 60 / float(intervals.mean())
    values: dict[str, float | None] = {"Rate": rate}
    beats, before = _alike(fine[INDEPENDENT_COLUMNS], places, rr_s)
    if len(beats) < LEAST_BEATS:
        return values
    average = uniform_filter1d(np.median(beats, axis=0), 5, axis=1)
    onset, end = _qrs(average, before)
    values["QRS"] = (end - onset) * 1000 / FINE_HZ
    values["Axis"] = _axis(average, onset, end)
    if (t_end := _t_end(average, onset, end)) is not None:
        qt_s = (t_end - onset) / FINE_HZ
        values |= {"QT": 1000 * qt_s, "QTc": 1000 * qt_s / float(np.cbrt(60 / rate))}
    swing = float(np.median(np.abs(intervals - rr_s))) / rr_s
    if swing < MOST_IRREGULAR and (p_onset := _p_onset(beats, average, onset)) is not None:
        values["PR"] = (onset - p_onset) * 1000 / FINE_HZ
    return values


def _beats(fine: NDArray[np.float32]) -> NDArray[np.intp]:
    """Samples at ``FINE_HZ`` where the ventricles are activated, found at 100 Hz and moved to the steepest place."""
    downsampled = Downsampled.of(fine[np.newaxis], FINE_HZ)
    places = np.flatnonzero(beat_places(downsampled.independent, downsampled.fs_hz, downsampled.steepness)[0])
    steepness = smooth_steepness(fine[np.newaxis, INDEPENDENT_COLUMNS], FINE_HZ)[0]
    reach = round(0.03 * FINE_HZ)
    middles = np.round((places + 0.5) * FINE_HZ / downsampled.fs_hz).astype(int)
    spans = [(max(middle - reach, 0), middle + reach + 1) for middle in middles]
    return np.unique([first + int(steepness[first:last].argmax()) for first, last in spans if first < fine.shape[1]])


def _alike(leads: NDArray[np.float32], places: NDArray[np.intp], rr_s: float) -> tuple[Floats, int]:
    """``(beat, 8, time)`` of the beats that look like most others, and the samples before their steepest place.

    A wide QRS complex has two steep places, of which now one and now the other is steeper: each beat is moved to where
    it fits the one in the middle of all best.
    """
    before = round(min(BEFORE_S, 0.6 * rr_s) * FINE_HZ)
    after = round(min(AFTER_S, 0.8 * rr_s) * FINE_HZ)
    near, reach = round(0.1 * FINE_HZ), round(MOST_SHIFT_S * FINE_HZ)
    whole = [place for place in places if max(before, near) + reach <= place <= leads.shape[1] - after - reach]
    if len(whole) < LEAST_BEATS:
        return np.empty((0, len(leads), before + after)), before
    complexes = _standardised(np.stack([leads[:, place - near : place + near].ravel() for place in whole]))
    typical = complexes[int(np.median(complexes @ complexes.T, axis=1).argmax())]
    beats = []
    for place in whole:
        first = place - reach
        around = leads[:, first - near : place + reach + near]
        moved = np.lib.stride_tricks.sliding_window_view(around, 2 * near, axis=1)[:, ::2]
        fits = _standardised(moved.transpose(1, 0, 2).reshape(moved.shape[1], -1)) @ typical
        best = int(fits.argmax())
        if fits[best] >= LEAST_LIKENESS:
            start = first + 2 * best - before
            beats.append(leads[:, start : start + before + after])
    return np.array(beats, dtype=np.float64).reshape(-1, len(leads), before + after), before


def _standardised(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows without their mean and of length 1, so that a product of two is their correlation."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _qrs(average: Floats, place: int) -> tuple[int, int]:
    """First and last sample of QRS: from its fastest place outwards, until the leads stand still for ``STILL_S``."""
    velocity = np.sqrt(np.square(np.gradient(average, axis=1)).sum(axis=0))
    reach = [round(seconds * FINE_HZ) for seconds in QRS_REACH_S]
    first, last = max(place - reach[0], 0), min(place + reach[1], len(velocity) - 1)
    floor = float(np.quantile(velocity, 0.2))
    moving = velocity > floor + STILL * (velocity[first : last + 1].max() - floor)
    rest = round(STILL_S * FINE_HZ)
    onset = place
    while onset > first and moving[max(onset - rest, 0) : onset].any():
        onset -= 1
    end = place
    while end < last and moving[end + 1 : end + 1 + rest].any() and not _is_j_point(velocity, end, onset):
        end += 1
    return onset, end


def _is_j_point(velocity: Floats, sample: int, onset: int) -> bool:
    """Whether the leads turn from QRS into a sloping ST segment: slowest there, and never fast again."""
    fastest = float(velocity[onset:sample].max(initial=0.0))
    around = velocity[max(sample - J_REACH, 0) : sample + J_REACH + 1]
    later = velocity[sample : sample + round(0.08 * FINE_HZ)]
    return bool(velocity[sample] == around.min() and velocity[sample] < SLOW * fastest and later.max() < FAST * fastest)


def _axis(average: Floats, onset: int, end: int) -> float | None:
    """Frontal axis of QRS in degrees, from the areas in I and aVF, of which aVF is shorter by sqrt(3) / 2."""
    ramp = np.linspace(0, 1, end - onset + 1)
    part = average[:2, onset : end + 1]
    area = (part - part[:, :1] - ramp * (part[:, -1:] - part[:, :1])).sum(axis=1)
    of_i, of_avf = area[0], area[1] - area[0] / 2
    if np.hypot(of_i, of_avf) < 0.02 * FINE_HZ / 100:
        return None
    return float(np.degrees(np.arctan2(2 / np.sqrt(3) * of_avf, of_i)))


def _t_end(average: Floats, onset: int, end: int) -> float | None:
    """Where T ends: the median over the leads that show one."""
    level = average[:, max(onset - 8, 0) : onset].mean(axis=1) if onset > 0 else average[:, 0]
    first = end + round(0.06 * FINE_HZ)
    if first + 20 >= average.shape[1]:
        return None
    ends = []
    smooth = uniform_filter1d(average, 11, axis=1)
    for lead in smooth - level[:, np.newaxis]:
        part = lead[first:]
        peak = int(np.abs(part[:-10]).argmax())
        if abs(part[peak]) < LEAST_T_MV or peak == 0:
            continue
        down = part[peak:] * np.sign(part[peak])
        # Beyond the first turn upwards there is a U wave or the next P wave.
        slopes = np.gradient(down)
        turns = np.flatnonzero(slopes[5:] > 0)
        slopes = slopes[: turns[0] + 5] if len(turns) else slopes
        steepest = int(slopes.argmin())
        if slopes[steepest] < 0:
            ends.append(first + peak + steepest - down[steepest] / slopes[steepest])
    usable = [value for value in ends if value < average.shape[1] + 0.06 * FINE_HZ]
    return float(np.median(usable)) if len(usable) >= 2 else None


def _p_onset(beats: Floats, average: Floats, onset: int) -> float | None:
    """Where P begins; ``None`` where the single beats do not agree that there is one."""
    last = onset - round(0.02 * FINE_HZ)
    first = max(0, onset - round(0.34 * FINE_HZ))
    if last - first < round(0.08 * FINE_HZ):
        return None
    smooth = uniform_filter1d(average, 11, axis=1)[:, first:last]
    ramp = np.linspace(0, 1, smooth.shape[1])
    flat = smooth - smooth[:, :1] - ramp * (smooth[:, -1:] - smooth[:, :1])
    height = np.sqrt(np.square(flat).mean(axis=0))
    # The last hill before QRS: an earlier and higher one is the T wave of the beat before.
    hills, _ = find_peaks(height, height=LEAST_P_MV, prominence=0.6 * LEAST_P_MV)
    if not len(hills):
        return None
    peak = int(hills[-1])
    singles = uniform_filter1d(beats, 11, axis=2)[:, :, first:last]
    singles = singles - singles[:, :, :1] - ramp * (singles[:, :, -1:] - singles[:, :, :1])
    likeness = _standardised(singles.reshape(len(singles), -1)) @ _standardised(flat.reshape(1, -1))[0]
    if np.median(likeness) < LEAST_P_LIKENESS:
        return None
    foot = max(peak - round(P_RISE_S * FINE_HZ), 0)
    part = height[foot : peak + 1] - height[foot : peak + 1].min()
    below = np.flatnonzero(part < P_BEGINS * part[-1])
    return float(first + foot + below[-1]) if len(below) else None
