import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import decimate

from leadwise.ecg.record import resample

INNER = slice(50, -50)
"""Samples at 100 Hz that are half a second or more away from the ends."""


def sine(frequency_hz: float, fs_hz: float, seconds: float = 10.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * fs_hz)) / fs_hz)[:, np.newaxis]


@pytest.mark.parametrize("fs_hz", [50, 128, 200, 250, 257, 360, 500, 977.5, 1000, 2000])
@pytest.mark.parametrize("frequency_hz", [0.7, 5.0, 17.0])
def test_a_sine_stays_the_same_sine_at_the_same_times(fs_hz: float, frequency_hz: float) -> None:
    resampled = resample(sine(frequency_hz, fs_hz), fs_hz, 100.0)
    assert abs(len(resampled) - 1000) <= 1
    expected = sine(frequency_hz, 100.0)[: len(resampled)]
    np.testing.assert_allclose(resampled[INNER], expected[INNER], atol=0.005)


@pytest.mark.parametrize("frequency_hz", [60.0, 90.0, 140.0])
def test_what_lies_above_the_new_nyquist_frequency_is_removed_and_not_folded(frequency_hz: float) -> None:
    assert np.abs(resample(sine(frequency_hz, 500.0), 500.0, 100.0)[INNER]).max() < 0.01


def test_agrees_with_the_decimation_of_scipy_on_band_limited_noise() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(5000)[:, np.newaxis] / 500.0
    waves = [(rng.normal(), rng.uniform(0.5, 30.0), rng.uniform(0, 6.3)) for _ in range(40)]
    signal = sum(height * np.sin(2 * np.pi * hz * times + phase) for height, hz, phase in waves)
    reference = decimate(signal, 5, ftype="fir", axis=0, n=200)
    np.testing.assert_allclose(resample(signal, 500.0, 100.0)[INNER], reference[INNER], atol=0.05)


def test_the_rate_decides_and_not_the_length() -> None:
    assert len(resample(np.zeros((3000, 12)), 250.0, 100.0)) == 1200
    assert len(resample(np.zeros((3001, 12)), 250.0, 100.0)) == 1201


@settings(max_examples=30, deadline=None)
@given(fs_hz=st.floats(50, 2000), seconds=st.floats(5, 12))
def test_every_allowed_rate_gives_the_duration_back(fs_hz: float, seconds: float) -> None:
    signal = np.ones((round(fs_hz * seconds), 2))
    resampled = resample(signal, fs_hz, 100.0)
    assert abs(len(resampled) / 100.0 - len(signal) / fs_hz) < 0.02
    np.testing.assert_allclose(resampled, 1.0, atol=1e-3)
