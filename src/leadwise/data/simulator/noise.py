"""What is in a recording and does not come from the heart: wander, muscle, mains, a loose electrode.

Noise arises at the nine electrodes, so the noisy leads obey Einthoven's law as the real ones do.
"""

from dataclasses import dataclass

import numpy as np

from leadwise.contract import FS_HZ, RECORD_SAMPLES

ELECTRODES: tuple[str, ...] = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_TO_LEADS = np.zeros((8, 9))
_TO_LEADS[0, [1, 0]] = 1, -1
_TO_LEADS[1, [2, 0]] = 1, -1
_TO_LEADS[2:, 3:] = np.eye(6)
_TO_LEADS[2:, :3] = -1 / 3

_FREQUENCY_HZ = np.fft.rfftfreq(RECORD_SAMPLES, 1 / FS_HZ)
_WANDER = 1 / np.arange(1, 7)
_WANDER /= np.sqrt(np.square(_WANDER).sum())
_SLOW = 2 * np.pi * np.outer(np.arange(1, 7), np.arange(RECORD_SAMPLES)) / RECORD_SAMPLES
_SLOW_COSINES, _SLOW_SINES = np.cos(_SLOW), np.sin(_SLOW)
_MUSCLE = np.clip((_FREQUENCY_HZ - 4) / 14, 0.15, 1) * np.clip((49 - _FREQUENCY_HZ) / 8, 0, 1)
_MUSCLE /= np.sqrt(np.square(_MUSCLE).sum())


@dataclass(frozen=True)
class NoiseLevels:
    """How noisy a recording is, per electrode.

    Attributes:
        wander_mv: ``(9,)`` root mean square of the baseline wander.
        muscle_mv: ``(9,)`` root mean square of the muscle noise.
        mains_mv: ``(9,)`` amplitude of the 50 Hz hum left by the recorder's filter.
        burst: electrode that is touched for a second, or -1.
    """

    wander_mv: np.ndarray
    muscle_mv: np.ndarray
    mains_mv: np.ndarray
    burst: int

    def remarks(self) -> dict[str, str]:
        """What a technician would write into PTB-XL's signal quality columns."""
        found = {}
        chest = self.wander_mv[3:]
        if chest.max() > 0.16:
            found["baseline_drift"] = " , " + ELECTRODES[3 + int(chest.argmax())]
        if np.median(self.muscle_mv) > 0.021:
            found["static_noise"] = " , alles,  "
        elif self.muscle_mv[:3].max() > 0.032:
            found["static_noise"] = " , I-AVR,  "
        if self.burst >= 0:
            found["burst_noise"] = ELECTRODES[self.burst] if self.burst > 2 else "I-AVF"
        return found


def draw_levels(rng: np.random.Generator) -> NoiseLevels:
    """Most recordings are clean, a few are not."""
    everywhere = np.exp(rng.normal(0, 0.5, 3))
    return NoiseLevels(
        wander_mv=0.028 * everywhere[0] * np.exp(rng.normal(0, 0.55, 9)),
        muscle_mv=0.008 * everywhere[1] * np.exp(rng.normal(0, 0.35, 9)),
        mains_mv=0.006 * everywhere[2] * np.abs(rng.normal(0, 1, 9)),
        burst=int(rng.integers(9)) if rng.random() < 0.03 else -1,
    )


def render_noise(levels: NoiseLevels, rng: np.random.Generator) -> np.ndarray:
    """``(RECORD_SAMPLES, 8)`` noise in mV, leads in the order of ``leads.INDEPENDENT_LEADS``."""
    spectrum = rng.standard_normal((len(ELECTRODES), 2 * len(_FREQUENCY_HZ))).view(np.complex128) * _MUSCLE
    fast = np.fft.irfft(spectrum, RECORD_SAMPLES) * (RECORD_SAMPLES / 2 * levels.muscle_mv[:, None])
    weights = rng.standard_normal((2, len(ELECTRODES), len(_WANDER))) * _WANDER * levels.wander_mv[:, None]
    slow = weights[0] @ _SLOW_COSINES + weights[1] @ _SLOW_SINES
    time_s = np.arange(RECORD_SAMPLES) / FS_HZ
    tension = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * time_s + rng.uniform(0, 2 * np.pi))
    hum = np.cos(2 * np.pi * rng.uniform(49.8, 50.1) * time_s + rng.uniform(0, np.pi)) * levels.mains_mv[:, None]
    electrodes = slow + fast * tension + hum
    if levels.burst >= 0:
        touched = np.exp(-0.5 * np.square((time_s - rng.uniform(1, 9)) / rng.uniform(0.15, 0.5)))
        electrodes[levels.burst] += touched * (rng.normal(0, 0.12, RECORD_SAMPLES) + rng.normal(0, 0.5))
    return (_TO_LEADS @ electrodes).T
