import json

import numpy as np
import pytest

from leadwise.ecg.preprocessing import SignalPreprocessing


@pytest.fixture
def stored() -> np.ndarray:
    """``(30, 1000, 12)`` int16 in microvolts."""
    return np.random.default_rng(2).normal(40, 300, (30, 1000, 12)).astype(np.int16)


def test_the_scale_is_that_of_the_given_rows_in_millivolts(stored: np.ndarray) -> None:
    rows = np.arange(0, 30, 2)
    fitted = SignalPreprocessing.fit(stored, rows, window_samples=1000, stride_samples=1000)
    assert fitted.mean_mv == pytest.approx(stored[rows].mean() / 1000)
    assert fitted.sd_mv == pytest.approx(stored[rows].std() / 1000)


def test_stored_units_and_millivolts_are_standardised_alike(stored: np.ndarray) -> None:
    fitted = SignalPreprocessing.fit(stored, np.arange(30), window_samples=1000, stride_samples=1000)
    np.testing.assert_allclose(fitted.standardise_units(stored), fitted.standardise(stored / 1000), atol=1e-5)


@pytest.mark.parametrize(
    ("length", "starts"), [(1000, [0, 100, 200]), (800, [0]), (500, [0]), (850, [0, 50]), (1050, [0, 100, 200, 250])]
)
def test_windows_cover_the_recording_to_its_end(length: int, starts: list[int]) -> None:
    preprocessing = SignalPreprocessing(0.0, 1.0, window_samples=800, stride_samples=100)
    signal = np.arange(length, dtype=float)[:, np.newaxis]
    windows = preprocessing.windows(signal)
    assert windows[:, 0, 0].tolist() == starts
    assert windows[-1, -1, 0] == length - 1


def test_survives_json() -> None:
    preprocessing = SignalPreprocessing(0.01, 0.23, window_samples=800, stride_samples=100)
    assert SignalPreprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing
