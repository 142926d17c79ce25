"""What a heart makes passes, from every simulated disease; what it cannot make does not."""

from collections.abc import Callable

import numpy as np
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.assessment import why_non_ecg
from leadwise.ecg.noise import baseline_wander, muscle_noise, white_noise
from leadwise.ecg.reversal import LEAD_MATRIX
from leadwise.ecg.waves import Downsampled

TIME_S = np.arange(1000) / 100
Signal = Callable[[np.random.Generator], np.ndarray]
"""``(1000, 9)`` microvolts at the electrodes."""


def reason(signal_uv: np.ndarray, fs_hz: float = 100) -> str:
    return why_non_ecg(Downsampled.of(np.ascontiguousarray(signal_uv.T[np.newaxis], dtype=np.float32), fs_hz))[0]


def sine(hertz: float) -> Signal:
    return lambda rng: np.sin(2 * np.pi * hertz * TIME_S[:, None] + rng.uniform(0, 6.3, 9)) * rng.uniform(300, 900, 9)


def square(hertz: float) -> Signal:
    return lambda rng: np.sign(sine(hertz)(rng)) * rng.uniform(300, 900, 9)


def sawtooth(hertz: float) -> Signal:
    return lambda rng: ((hertz * TIME_S[:, None] + rng.uniform(0, 1, 9)) % 1) * rng.uniform(300, 900, 9)


SIGNALS: dict[str, Signal] = {
    "white noise": lambda rng: 300 * white_noise((1000, 9), rng),
    "muscle noise": lambda rng: 300 * muscle_noise((1, 1000, 9), 100, rng)[0],
    "wander": lambda rng: 800 * baseline_wander((1, 1000, 9), 100, rng)[0],
    "wander and noise": lambda rng: 800 * baseline_wander((1, 1000, 9), 100, rng)[0] + 30 * white_noise((1000, 9), rng),
    "random walk": lambda rng: np.cumsum(20 * white_noise((1000, 9), rng), axis=0),
    "ramp": lambda rng: TIME_S[:, None] * rng.uniform(100, 300, 9),
    "ramp and noise": lambda rng: TIME_S[:, None] * rng.uniform(100, 300, 9) + 5 * white_noise((1000, 9), rng),
    "pulses alike in all leads": lambda rng: 900.0 * (TIME_S[:, None] % 0.8 < 0.1) * rng.uniform(0.3, 1, 9),
    "pulses": lambda rng: 900.0 * ((TIME_S[:, None] + rng.uniform(0, 1, 9)) % 1 < 0.1),
    **{f"sine of {hertz} Hz": sine(hertz) for hertz in (0.3, 1, 1.3, 5, 10, 20, 49)},
    **{f"square wave of {hertz} Hz": square(hertz) for hertz in (0.5, 1, 2, 5)},
    **{f"sawtooth of {hertz} Hz": sawtooth(hertz) for hertz in (0.5, 1, 2)},
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("seconds", [5, 10])
def test_what_no_heart_makes_is_found_out(name: str, seconds: int) -> None:
    found = []
    for seed in range(20):
        signal = SIGNALS[name](np.random.default_rng(seed)).astype(np.float32)
        found.append(reason((signal @ LEAD_MATRIX.T)[: seconds * 100]))
    assert all(found)


def test_one_ecg_lead_in_place_of_twelve_is_found_out() -> None:
    lead = simulate_record("NORM", 1).signal_mv[:, [1]] * 1000
    assert reason(lead * np.linspace(0.3, 1.5, 12)) == "shows the same curve in every lead"


def test_two_leads_are_too_few() -> None:
    signal_uv = simulate_record("NORM", 1).signal_mv * 1000
    signal_uv[:, 6:] = 0
    assert reason(signal_uv).startswith("shows something in 2 of the leads I, II, V1")


@pytest.mark.parametrize("name", [*SUPERCLASSES, "AFIB", "AFLT", "PACE", "CLBBB", "LVOLT", "PVC", "STACH", "SBRAD"])
@pytest.mark.parametrize("noise", [0.0, 1.0, 2.0])
def test_an_ecg_passes(name: str, noise: float) -> None:
    reasons = {}
    for seed in range(8):
        signal_uv = simulate_record(name, seed, noise=noise).signal_mv * 1000
        reasons[seed] = [reason(signal_uv), reason(signal_uv[:500])]
    assert reasons == {seed: ["", ""] for seed in range(8)}


def test_an_ecg_with_flat_chest_leads_passes() -> None:
    signal_uv = simulate_record("NORM", 3).signal_mv * 1000
    signal_uv[:, 8:] = 12
    assert reason(signal_uv) == ""


@pytest.mark.parametrize("rate_bpm", [25, 40, 150, 220])
def test_slow_and_fast_hearts_pass(rate_bpm: float) -> None:
    assert reason(simulate_record("NORM", 5, rate_bpm=rate_bpm).signal_mv * 1000) == ""
