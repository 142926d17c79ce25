"""Electrodes on the wrong place: would the recording look more like an ECG if two of them changed places?

The leads of an ECG are so redundant that a reversal makes them fit together badly, and undoing it makes them fit
better (Kors and van Herpen, Am J Cardiol 2001; 88:396-399). How well they fit is measured for the P wave, the QRS
complex and the ST-T segment of the average beat: with C the 8 x 8 second moments of the leads I, II, V1..V6 and K the
inverse of their average over many recordings, misfit = trace(K C). The score of a reversal is the weighted sum of
log(misfit as recorded / misfit after the reversal is undone): the logarithm of the odds, were half of all recordings
wrong. ``reversal.json`` holds K and the weights, fitted on folds 1-8 of PTB-XL; ``benchmarks/lead_reversal.py`` fits
them and measures them on folds 9 and 10.

A mirrored heart (dextrocardia) and a misread lead name look like a reversal, too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import LEADS
from leadwise.ecg.record import INDEPENDENT_LEADS, LEADS_FROM_I_AND_II
from leadwise.ecg.waves import Downsampled, average_beat, beat_places

MODEL_FILE = Path(__file__).with_name("reversal.json")
BEFORE_S, AFTER_S = 0.32, 0.48
WAVES_S = {"P": (-0.24, -0.07), "QRS": (-0.06, 0.08), "ST-T": (0.08, 0.44)}
"""From and to, in seconds from the steepest place of the beat."""
LEVEL_S = (-0.08, -0.06)
"""Where QRS and ST-T have their zero."""

LIMB_REVERSALS: tuple[str, ...] = ("LA-RA", "LA-LL", "RA-LL")
REVERSED = "V6 to V1"
"""The chest leads in reverse order."""
CHEST_REVERSALS: tuple[str, ...] = ("V1-V2", "V2-V3", "V3-V4", "V4-V5", "V5-V6", "V1-V3", REVERSED)
REVERSALS = LIMB_REVERSALS + CHEST_REVERSALS
LIMB_THRESHOLD, CHEST_THRESHOLD = 4.0, 6.0
"""Scores above which a reversal is likely: few recordings have reversed electrodes, so even odds are not enough."""
_LIMB_NAMES, _CHEST_NAMES = (np.array(["", *some], dtype=object) for some in (LIMB_REVERSALS, CHEST_REVERSALS))

_I_AND_II_AFTER = {
    "LA-RA": {"I": (-1.0, 0.0), "II": LEADS_FROM_I_AND_II["III"]},
    "LA-LL": {"I": (0.0, 1.0), "II": (1.0, 0.0)},
    "RA-LL": {"I": (1.0, -1.0), "II": (0.0, -1.0)},
}
"""Weights of the true leads I and II in the recorded ones; each reversal undoes itself."""


def reversal_matrix(reversal: str) -> np.ndarray:
    """``(8, 8)`` from ``INDEPENDENT_LEADS`` to what is recorded with two electrodes reversed; its own inverse."""
    matrix = np.eye(len(INDEPENDENT_LEADS))
    if reversal in _I_AND_II_AFTER:
        for row, weights in enumerate(_I_AND_II_AFTER[reversal].values()):
            matrix[row, :2] = weights
    else:
        leads = INDEPENDENT_LEADS[2:] if reversal == REVERSED else reversal.split("-")
        rows = [INDEPENDENT_LEADS.index(lead) for lead in leads]
        matrix[rows] = matrix[rows[::-1]]
    return matrix


@dataclass(frozen=True)
class ReversalModel:
    """What ``reversal.json`` holds.

    Attributes:
        forms: wave -> ``(1 + reversal, 64)``, what gives the misfits of a moment as recorded, and with each undone.
        weights: wave -> its weight in the score.
    """

    forms: dict[str, np.ndarray]
    weights: dict[str, float]


@cache
def bundled_model() -> ReversalModel:
    """The model that stands beside this module."""
    content: dict[str, Any] = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    forms = {wave: misfit_forms(np.array(matrix)) for wave, matrix in content["precision"].items()}
    return ReversalModel(forms, content["weights"])


def likely_reversals(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of ``(record, reversal)`` scores the likeliest of the limb and of the chest electrodes, ``(record,)`` text each.

    It is empty where none is likely.
    """
    of_limbs, of_chest = scores[:, : len(LIMB_REVERSALS)], scores[:, len(LIMB_REVERSALS) :]
    limb = _likeliest(of_limbs, _LIMB_NAMES, LIMB_THRESHOLD)
    chest = _likeliest(of_chest, _CHEST_NAMES, CHEST_THRESHOLD)
    # Chest leads in reverse order look like reversed arm electrodes as well; the likelier of the two is told.
    is_reversed = chest == REVERSED
    arms_likelier = of_limbs.max(axis=1, initial=-np.inf) > of_chest.max(axis=1, initial=-np.inf)
    limb[is_reversed & ~arms_likelier] = ""
    chest[is_reversed & arms_likelier & (limb != "")] = ""
    return limb, chest


def _likeliest(scores: np.ndarray, names: np.ndarray, threshold: float) -> np.ndarray:
    return names[np.where(scores.max(axis=1) > threshold, scores.argmax(axis=1) + 1, 0)]


def reversal_scores(moments: dict[str, np.ndarray], model: ReversalModel) -> np.ndarray:
    """``(record, reversal)`` in the order of ``REVERSALS``; 0 where a wave has no amplitude."""
    total = np.zeros((len(next(iter(moments.values()))), len(REVERSALS)))
    for wave, moment in moments.items():
        total += model.weights[wave] * misfit_ratios(moment, model.forms[wave])
    return total


def misfit_forms(precision: np.ndarray) -> np.ndarray:
    """The matrices whose traces with a moment are its misfits, one a row: as recorded, and with each undone."""
    undone = [matrix.T @ precision @ matrix for matrix in map(reversal_matrix, REVERSALS)]
    return np.stack([precision, *undone]).reshape(len(REVERSALS) + 1, -1)


def misfit_ratios(moment: np.ndarray, forms: np.ndarray) -> np.ndarray:
    """log(misfit as recorded / misfit with each of ``REVERSALS`` undone), ``(record, reversal)``, of one wave."""
    # The form is positive definite; single precision may still leave a moment of nothing slightly below 0.
    misfits = np.maximum(moment.reshape(len(moment), -1) @ forms.T, 1e-9)
    return np.log(misfits[:, :1] / misfits[:, 1:])


@dataclass(frozen=True)
class AverageBeats:
    """The average beat of each recording.

    Attributes:
        beat: ``(record, 8, time)`` of ``INDEPENDENT_LEADS``, at the rate of the recordings.
        waves: wave -> ``(record, 8, time)`` its part, from the level before the QRS complex.
        count: ``(record,)`` beats that were found.
        interval_s: ``(record,)`` from one to the next, the mean; 0 where there are fewer than two.
    """

    beat: np.ndarray
    waves: dict[str, np.ndarray]
    count: np.ndarray
    interval_s: np.ndarray


def average_beats(downsampled: Downsampled) -> AverageBeats:
    """The average beat of each recording, cut into waves."""
    places = beat_places(downsampled.independent, downsampled.fs_hz, downsampled.steepness)
    beat, _ = average_beat(downsampled.independent, downsampled.fs_hz, BEFORE_S, AFTER_S, places)

    def part(from_s: float, to_s: float) -> np.ndarray:
        return beat[:, :, round((BEFORE_S + from_s) * downsampled.fs_hz) : round((BEFORE_S + to_s) * downsampled.fs_hz)]

    level = part(*LEVEL_S).mean(axis=2, keepdims=True)
    waves = {wave: part(*span_s) - level for wave, span_s in WAVES_S.items()}
    # The T wave before it is still on its way down: what counts is above the line through its ends.
    p_wave = waves["P"]
    waves["P"] = (
        p_wave
        - p_wave[:, :, :1]
        - np.linspace(0, 1, p_wave.shape[2], dtype=np.float32) * (p_wave[:, :, -1:] - p_wave[:, :, :1])
    )
    count = places.sum(axis=1)
    lasts = places.shape[1] - 1 - places[:, ::-1].argmax(axis=1) - places.argmax(axis=1)
    return AverageBeats(beat, waves, count, lasts / np.maximum(count - 1, 1) / downsampled.fs_hz)


def wave_moments(waves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Wave -> ``(record, 8, 8)`` second moments of ``INDEPENDENT_LEADS``, each divided by its trace."""
    moments = {}
    for wave, samples in waves.items():
        moment = samples @ samples.transpose(0, 2, 1)
        size = np.trace(moment, axis1=1, axis2=2)[:, np.newaxis, np.newaxis]
        moments[wave] = np.divide(moment, size, out=np.zeros_like(moment), where=size > 0)
    return moments


ELECTRODES: tuple[str, ...] = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The ninth cable of a 12-lead ECG, on the right leg, is the reference that no lead shows."""


def _lead_matrix() -> NDArray[np.float32]:
    """``(12, 9)``: I = LA - RA, II = LL - RA, V1..V6 against Wilson's central terminal, the mean of the limbs."""
    rows = {name: np.zeros(len(ELECTRODES)) for name in LEADS}
    for lead, positive in (("I", "LA"), ("II", "LL")):
        rows[lead][[ELECTRODES.index(positive), ELECTRODES.index("RA")]] = 1, -1
    for lead, (of_i, of_ii) in LEADS_FROM_I_AND_II.items():
        rows[lead] = of_i * rows["I"] + of_ii * rows["II"]
    for lead in ELECTRODES[3:]:
        rows[lead][:3] = -1 / 3
        rows[lead][ELECTRODES.index(lead)] = 1
    return np.stack([rows[name] for name in LEADS]).astype(np.float32)


LEAD_MATRIX = _lead_matrix()
"""``(12, 9)``: leads in the order of ``LEADS`` from potentials in the order of ``ELECTRODES``."""

_NOISE_GAIN = np.float32(np.sqrt(np.square(LEAD_MATRIX).sum(axis=1).mean()))


def lead_noise(electrodes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., 9)`` independent noise of the electrodes to ``(..., 12)``, scaled to keep the root mean square.

    Leads differ by at most a seventh from it: a chest lead has 0.93 times as much, lead I 1.14 times as much.
    """
    return electrodes @ (LEAD_MATRIX.T / _NOISE_GAIN)
