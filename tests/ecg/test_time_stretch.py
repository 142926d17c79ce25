"""Stretched windows: inside the recording, at the asked speed, true to the signal between its samples."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from leadwise.ecg.time_stretch import random_speeds, stretched_windows


def test_windows_lie_inside_the_recording_and_use_the_whole_range() -> None:
    speeds, begins = random_speeds(5000, 1000, 250, 0.1, np.random.default_rng(0))
    ends = begins + 249 * speeds
    assert begins.min() >= 0
    assert ends.max() <= 999 + 1e-9
    assert (speeds.min(), speeds.max()) == pytest.approx((0.9, 1.1), abs=0.001)
    assert begins.min() < 5
    assert ends.max() > 994


def test_a_window_as_long_as_the_recording_is_never_read_beyond_its_end() -> None:
    speeds, begins = random_speeds(200, 1000, 1000, 0.2, np.random.default_rng(1))
    assert speeds.max() == 1
    assert (begins + 999 * speeds).max() <= 999 + 1e-9


def test_at_speed_1_from_a_whole_sample_nothing_changes() -> None:
    signals = np.random.default_rng(2).integers(-3000, 3000, (3, 400, 12)).astype(np.int16)
    windows = stretched_windows(signals, np.array([0.0, 17.0, 150.0]), np.ones(3), 250)
    assert windows.dtype == np.float32
    for window, signal, start in zip(windows, signals, (0, 17, 150), strict=True):
        np.testing.assert_array_equal(window, signal[start : start + 250])


def test_between_samples_it_is_the_cubic_convolution_of_keys() -> None:
    signal = np.random.default_rng(3).normal(size=(1, 300, 2))
    begin, speed = 10.3, 1.04
    # Keys' interpolation is the Hermite spline whose slopes are the differences of the neighbours.
    slopes = np.gradient(signal[0], axis=0)
    expected = CubicHermiteSpline(np.arange(300), signal[0], slopes)(begin + speed * np.arange(200))
    found = stretched_windows(signal, np.array([begin]), np.array([speed]), 200)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_faster_recording_has_a_higher_rate() -> None:
    seconds = np.arange(1000) / 100
    signal = np.sin(2 * np.pi * 5 * seconds)[np.newaxis, :, np.newaxis]
    window = stretched_windows(signal, np.array([20.0]), np.array([1.2]), 500)[0, :, 0]
    spectrum = np.abs(np.fft.rfft(window * np.hanning(500), 5000))
    assert np.fft.rfftfreq(5000, 0.01)[spectrum.argmax()] == pytest.approx(6.0, abs=0.03)
    assert window.max() == pytest.approx(1, abs=0.01)
