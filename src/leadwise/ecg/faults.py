"""Faults that the leads of one recording give away: a wrong rate, clipping, inversion, leads scaled one by one, pacing.

``faults.json`` holds what was fitted on folds 1-8 of PTB-XL; ``benchmarks/fit_faults.py`` fits it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import LEADS

MODEL_FILE = Path(__file__).with_name("faults.json")
INVERTED_SCORE = 4.0
"""Logarithm of the odds, were half of all recordings upside down."""
FEWEST_BEATS = 3
"""Fewer tell no rhythm, and no time scale."""
USUAL_FS_HZ = (100.0, 125.0, 200.0, 250.0, 360.0, 500.0, 1000.0)
LEAST_RATIO = 1.4
"""Of two sampling rates that a recording can tell apart."""


@dataclass(frozen=True)
class FaultModel:
    """What ``faults.json`` holds.

    Attributes:
        inversion: wave -> ``(8,)`` weights of the areas of ``INDEPENDENT_LEADS``.
        mean: ``(3,)`` of ``time_features``.
        unit: ``(3,)`` weights that add up to 1: the logarithm of how much slower everything is than usual. Where it is
            below ``-fast_limit``, a recording is faster than any of folds 1-8.
        slow: ``(3,)`` weights, and ``slow_limit``, above which it is slower than any.
    """

    inversion: Mapping[str, NDArray[np.float64]]
    mean: NDArray[np.float64]
    unit: NDArray[np.float64]
    fast_limit: float
    slow: NDArray[np.float64]
    slow_limit: float


@cache
def bundled_model() -> FaultModel:
    """The model that stands beside this module."""
    content: dict[str, Any] = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    inversion = {wave: np.array(weights) for wave, weights in content["inversion"].items()}
    rate: dict[str, Any] = {name: np.asarray(value) for name, value in content["rate"].items()}
    return FaultModel(inversion, **rate)


def wave_areas(waves: Mapping[str, np.ndarray]) -> dict[str, NDArray[np.float64]]:
    """Wave -> ``(record, 8)`` its mean in each lead of the average beat, all leads together of norm 1."""
    areas = np.stack([samples.sum(axis=2) / samples.shape[2] for samples in waves.values()])
    sizes = np.sqrt(np.einsum("wrl,wrl->wr", areas, areas))
    return dict(zip(waves, areas / np.maximum(sizes, 1e-6)[:, :, np.newaxis], strict=True))


def inversion_scores(waves: Mapping[str, np.ndarray]) -> NDArray[np.float64]:
    """``(record,)``: how much each average beat looks upside down; the same number below 0 were it turned over."""
    areas = wave_areas(waves)
    return np.asarray(sum(areas[wave] @ weights for wave, weights in bundled_model().inversion.items()))


def time_features(beat: np.ndarray, interval_s: np.ndarray, fs_hz: float) -> NDArray[np.float64]:
    """``(record, 3)`` logarithms of seconds, which all grow alike where everything is slower.

    They are the interval of the beats, ``(record,)``, and of the average beat, ``(record, lead, time)``, the size over
    that of its slopes, and the size of these over that of its bends.
    """
    slopes = beat[:, :, 1:] - beat[:, :, :-1]
    bends = slopes[:, :, 1:] - slopes[:, :, :-1]
    level = beat - beat.mean(axis=2, keepdims=True)
    size, of_slopes, of_bends = (
        np.maximum(np.einsum("rlt,rlt->r", part, part, dtype=np.float64) / max(part.shape[1] * part.shape[2], 1), 1e-9)
        for part in (level, slopes, bends)
    )
    seconds = [np.maximum(interval_s, 0.01), np.sqrt(size / of_slopes) / fs_hz, np.sqrt(of_slopes / of_bends) / fs_hz]
    return np.asarray(np.log(np.stack(seconds, axis=1)))


def time_scale_is_unusual(features: np.ndarray, beats: np.ndarray) -> NDArray[np.bool_]:
    """Whether ``(..., 3)`` features of that many beats are slower or faster than those of any recording of PTB-XL."""
    model = bundled_model()
    shift = features - model.mean
    unusual = (shift @ model.slow > model.slow_limit) | (shift @ model.unit < -model.fast_limit)
    return np.asarray(unusual & (beats >= FEWEST_BEATS))


def distance_from_usual(features: np.ndarray) -> float:
    """Logarithm of how much slower or faster than usual ``(3,)`` features are."""
    return abs(float((features - bundled_model().mean) @ bundled_model().unit))


def plausible_rates(fs_hz: float) -> list[float]:
    """Usual sampling rates that are not near the given one."""
    return [rate for rate in USUAL_FS_HZ if max(rate / fs_hz, fs_hz / rate) >= LEAST_RATIO]


CLIPPED_PLATEAUS = 3
STEEP_SHARE = 0.03
"""Of a lead's span: what a plateau's first sample differs from the one before it."""
PLATEAU_S = 0.004
"""And two samples or more."""


def clipped_plateaus(lead: np.ndarray, fs_hz: float) -> float:
    """Seconds of ``(time,)`` at plateaus exactly at its highest or lowest value that are entered and left steeply.

    The larger of both ends; 0 where there are fewer than ``CLIPPED_PLATEAUS`` of them.
    """
    fewest = max(2, round(PLATEAU_S * fs_hz))
    least = STEEP_SHARE * float(np.ptp(lead))
    longest = 0.0
    for extreme in (lead.max(), lead.min()):
        is_there = lead == extreme
        if np.count_nonzero(is_there) < fewest * CLIPPED_PLATEAUS:
            continue
        at = np.concatenate([[False], is_there, [False]])
        edges = np.flatnonzero(at[1:] != at[:-1])
        starts, ends = edges[::2], edges[1::2]
        inner = (starts > 0) & (ends < len(lead)) & (ends - starts >= fewest)
        starts, ends = starts[inner], ends[inner]
        steep = (np.abs(lead[starts - 1] - extreme) > least) & (np.abs(lead[ends] - extreme) > least)
        if steep.sum() >= CLIPPED_PLATEAUS:
            longest = max(longest, float((ends - starts)[steep].sum()) / fs_hz)
    return longest


EQUAL_SHARE = 0.02
ALIKE_SHARE = 0.1
"""Deviations that differ by more, at about 100 Hz, are not equal at any rate."""
LEAST_BREACH = 0.1
"""Of a limb lead's span: where I + III - II stays below, the limb leads have one scale."""


def why_scaled(signal_mv: np.ndarray, computed: Sequence[str]) -> str:
    """How ``(time, 12)`` shows that its leads, but for computed ones, were scaled one by one; or else nothing."""
    given = [place for place, name in enumerate(LEADS) if name not in computed]
    for what, sizes in (
        ("spans", np.ptp(signal_mv[:, given], axis=0)),
        ("deviates by", signal_mv[:, given].std(axis=0)),
    ):
        if sizes.min() > 0 and np.ptp(sizes) <= EQUAL_SHARE * np.median(sizes):
            return f"every lead {what} {np.median(sizes):.3g} mV"
    limbs = signal_mv[:, :3].astype(np.float64)
    limbs = limbs - limbs.mean(axis=0)
    values, vectors = np.linalg.eigh(limbs.T @ limbs)
    weights = vectors[:, 0] * (np.sign(vectors[0, 0]) or 1)
    # Eigenvalues are squares. Where the second is small as well, any weights would do; a lead that stands still is not
    # scaled.
    if values[0] > 1e-3 * values[1] or not (weights[0] > 0.1 and weights[1] < -0.1 and weights[2] > 0.1):
        return ""
    if weights @ np.array([1, -1, 1]) / np.sqrt(3) > np.cos(np.deg2rad(8)):
        return ""
    a, b, c = weights / weights[0]
    return f"the limb leads fit together as {a:.2g} I - {-b:.2g} II + {c:.2g} III = 0, which is I - II + III in a heart"


SPIKE_UV, SPIKE_UV_PER_MS = 200.0, 650.0
"""Of the 200 recordings of LUDB, 7 of the 10 with a pacemaker have three such spikes or more, and 3 of the others."""
SPIKE_S = 0.004
LOWEST_SPIKE_FS_HZ = 250.0


def pacing_spikes(signal_mv: np.ndarray, fs_hz: float) -> int:
    """Spikes in ``(time, 12)`` of ``SPIKE_UV`` and more that rise and fall again within ``SPIKE_S``, one in 0.2 s.

    They are not seen below ``LOWEST_SPIKE_FS_HZ``.
    """
    if fs_hz < LOWEST_SPIKE_FS_HZ:
        return 0
    width = max(1, round(SPIKE_S * fs_hz))
    before = signal_mv[width:-width] - signal_mv[: -2 * width]
    after = signal_mv[width:-width] - signal_mv[2 * width :]
    spikes = (np.minimum(np.abs(before), np.abs(after)) * 1000 > SPIKE_UV) & (before * after > 0)
    places = np.flatnonzero(spikes.any(axis=1))
    return int((np.diff(places, prepend=-round(fs_hz)) > 0.2 * fs_hz).sum())
