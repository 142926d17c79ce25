"""Is it an ECG at all? What shows no heart beats must not be given a diagnosis.

A heart beat is short and steep, rests in between, looks much like the one before, looks different from every
direction, and is round. Of a recording of 5 to 10 s at about 100 Hz, these are measured:

- steepness of the steepest 2 % of the time over its median: 1.0 to 1.6 in noise, sines and ramps; in folds 1-8 of
  PTB-XL (17,418 records) 2.4 or more, 33 in the middle;
- kurtosis of the leads without their drift, the median: 1 in a square wave, 1.5 in a sine, 3 in noise; in PTB-XL 2.5 or
  more, 18 in the middle;
- share of the first principal component: 1 where all leads show the same curve; in PTB-XL 0.987 at most;
- share of a lead that runs along straight lines: 0.7 or more in square waves, pulses, sawteeth and ramps without noise;
  in PTB-XL 0.2 at most, 0.36 if it is rounded to 5 uV;
- how much the beats look alike: 0.02 at most in noise; asked only where steepness or kurtosis are unusual, because the
  beats of some ECGs are not found at the same place each.

None of these 17,418 records is taken for no ECG; of their first 5 s, 3 are.
"""

from statistics import median

import numpy as np

from leadwise.signals.beats import beat_places
from leadwise.signals.coarse import Coarse
from leadwise.signals.leads import INDEPENDENT_COLUMNS, INDEPENDENT_LEADS
from leadwise.signals.quality import FLAT_UV, WANDER_HZ, cosines

LEAST_STEEPNESS, USUAL_STEEPNESS = 2.0, 10.0
LEAST_KURTOSIS, USUAL_KURTOSIS = 2.2, 3.5
LEAST_LIKENESS = 0.03
"""Where steepness or kurtosis are below the usual."""
LARGEST_COMPONENT = 0.995
LARGEST_STRAIGHTNESS = 0.65
FEWEST_LEADS = 3
"""Of ``INDEPENDENT_LEADS``; fewer show no direction."""
STRAIGHT_UV = 0.5
BEAT_S = 0.1
"""To either side of the steepest place."""


def why_no_ecg(coarse: Coarse) -> list[str]:
    """For each recording, in microvolts, why it cannot be an ECG, in words; empty where it can."""
    independent, smooth, fs_hz = coarse.independent, coarse.steepness, coarse.fs_hz
    showing = np.ptp(independent, axis=2) >= FLAT_UV
    steep = max(1, round(0.02 * smooth.shape[1]))
    middle = smooth.shape[1] // 2
    ordered = np.partition(smooth, (middle, smooth.shape[1] - steep), axis=1)
    steepness = ordered[:, -steep] / np.maximum(ordered[:, middle], 1e-6)
    kurtosis = _kurtosis(independent, fs_hz)
    component = _first_component(independent)
    straight = _straightness(coarse)
    return [
        _reason(independent[k], fs_hz, showing[k], float(steepness[k]), kurtosis[k], float(component[k]), straight[k])
        for k in range(len(independent))
    ]


def _reason(
    leads: np.ndarray,
    fs_hz: float,
    showing: np.ndarray,
    steepness: float,
    kurtosis: np.ndarray,
    component: float,
    straight: np.ndarray,
) -> str:
    if not showing.any():
        return "is a flat line in every lead"
    if (count := int(showing.sum())) < FEWEST_LEADS:
        return f"shows something in {count} of the leads {', '.join(INDEPENDENT_LEADS)} only, the others are flat"
    if component > LARGEST_COMPONENT:
        return "shows the same curve in every lead"
    if median(straight[showing].tolist()) > LARGEST_STRAIGHTNESS:
        return "consists of straight lines"
    typical = median(kurtosis[showing].tolist())
    if typical < LEAST_KURTOSIS:
        return "shows no short waves that stand out, as heart beats do"
    if steepness < LEAST_STEEPNESS:
        return "shows no beats: it is as steep everywhere, as noise is"
    unusual = steepness < USUAL_STEEPNESS or typical < USUAL_KURTOSIS
    if unusual and _likeness(leads, fs_hz) < LEAST_LIKENESS:
        return "shows no beats that look alike"
    return ""


def _kurtosis(leads: np.ndarray, fs_hz: float) -> np.ndarray:
    """``(record, lead)`` fourth moment over the squared second, without what lies below ``WANDER_HZ``."""
    waves = cosines(leads.shape[2], int(2 * WANDER_HZ * leads.shape[2] / fs_hz))
    squares = np.square(leads - (leads @ waves) @ waves.T)
    return np.square(squares).mean(axis=2) / np.maximum(np.square(squares.mean(axis=2)), 1e-6)


def _first_component(leads: np.ndarray) -> np.ndarray:
    """``(record,)`` share of the leads' variance in the first principal component."""
    moments = (leads @ leads.transpose(0, 2, 1)).astype(np.float64)
    total = np.trace(moments, axis1=1, axis2=2)
    return np.linalg.eigvalsh(moments)[:, -1] / np.maximum(total, 1e-6)


def _likeness(leads: np.ndarray, fs_hz: float) -> float:
    """Share of the beats' energy that their mean explains, as expected of beats that were not averaged; 0: none."""
    size = round(BEAT_S * fs_hz)
    places = np.flatnonzero(beat_places(leads[np.newaxis], fs_hz)[0])
    places = places[(places >= size) & (places < leads.shape[1] - size)]
    if len(places) < 2:
        return 0.0
    beats = np.stack([leads[:, place - size : place + size] for place in places])
    beats = beats - beats.mean(axis=2, keepdims=True)
    explained = len(beats) * np.square(beats.mean(axis=0)).sum() / max(float(np.square(beats).sum()), 1e-6)
    chance = 1 / len(beats)
    return float((explained - chance) / (1 - chance))


def _straightness(coarse: Coarse) -> np.ndarray:
    """``(record, lead)`` share of samples that lie on the line between their neighbours."""
    straight = (coarse.bends < STRAIGHT_UV).astype(np.float32)
    return straight.mean(axis=2)[:, INDEPENDENT_COLUMNS]
