"""From any array of leads to what a network sees: order, units, rate, windows; and what cannot be an ECG."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.ecg.record import (
    INDEPENDENT_COLUMNS,
    INDEPENDENT_LEADS,
    RecordingError,
    arrange_leads,
    build_recording,
    canonical_leads,
    resample,
)
from leadwise.ecg.reversal import ELECTRODES, LEAD_MATRIX


@pytest.fixture
def signal_mv() -> np.ndarray:
    """``(1000, 12)``, different in every lead."""
    return np.random.default_rng(5).normal(scale=0.4, size=(1000, 12))


def test_millivolts_and_microvolts_give_the_same_record(signal_mv: np.ndarray) -> None:
    of_mv = build_recording(signal_mv, fs_hz=100).record
    of_uv = build_recording(signal_mv * 1000, fs_hz=100, units="uV").record
    np.testing.assert_allclose(of_uv.signal_mv, of_mv.signal_mv, rtol=1e-6)
    assert of_mv.signal_mv.dtype == np.float32
    assert of_mv.signal_mv.shape == (1000, 12)


def test_both_orders_give_the_same_record_named_or_not(signal_mv: np.ndarray) -> None:
    expected = build_recording(signal_mv, fs_hz=100).record.signal_mv
    for values, order in ((signal_mv, "time_lead"), (signal_mv.T, None), (signal_mv.T, "lead_time")):
        np.testing.assert_array_equal(build_recording(values, fs_hz=100, order=order).record.signal_mv, expected)


def spoilt(signal_mv: np.ndarray, value: float) -> np.ndarray:
    copy = signal_mv.copy()
    copy[7, 3] = value
    return copy


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda s: s, {"fs_hz": 49.9}, "fs_hz: received 49.9; 50 to 2000 Hz is allowed"),
        (lambda s: s, {"fs_hz": 2001}, "fs_hz: received 2001"),
        (lambda s: s, {"fs_hz": float("nan")}, "fs_hz: received nan"),
        (lambda s: s, {"units": "V"}, "units: .* allowed: mV, uV"),
        (lambda s: s, {"order": "sideways"}, "order: .* allowed: time_lead, lead_time"),
        (lambda s: s, {"order": "lead_time"}, "signal: received 1000 x 12 numbers; 12 leads are named"),
        (lambda s: s[:, :8], {}, "signal: received 1000 x 8 numbers; 12 leads are named"),
        (lambda s: s[:12], {}, "order: cannot be told from 12 x 12"),
        (lambda s: s[:499], {}, "signal: received 499 samples, 5.0 s at 100 Hz; 5 s to 600 s is allowed"),
        (lambda s: np.tile(s, (61, 1)), {}, "signal: received 61000 samples, 610.0 s"),
        (lambda s: s[0], {}, "signal: received 1 dimensions"),
        (lambda s: spoilt(s, np.inf), {}, "signal: sample 7 of lead aVR is not a finite number"),
        (lambda s: spoilt(s, 1e7), {}, r"signal: reaches 1e\+07 mV in lead aVR; at most 1,000,000 mV is allowed"),
        (lambda s: np.where(np.arange(1000)[:, None] // 51 == 3, np.nan, s), {}, "signal: 5% of the samples of lead I"),
        (
            lambda s: s * 1000,
            {},
            "signal: reaches .* mV, and its leads span .* at most 50 mV is .*; were these microvolts",
        ),
        (lambda s: s, {"units": "uV"}, "signal: spans .* were these millivolts, say units mV"),
        (lambda s: s * 0 + 1.5, {}, "signal: is a flat line in every lead"),
    ],
)
def test_what_cannot_be_an_ecg_is_refused_by_field(
    signal_mv: np.ndarray, change: object, more: dict[str, object], message: str
) -> None:
    assert callable(change)
    with pytest.raises(RecordingError, match=message):
        build_recording(change(signal_mv), **{"fs_hz": 100, **more})


@pytest.fixture
def twelve() -> np.ndarray:
    """The 12 leads by their definition from electrodes: ``(500, 12)``."""
    return np.random.default_rng(1).normal(size=(500, len(ELECTRODES))) @ LEAD_MATRIX.T


def test_four_leads_are_computed_as_electrodes_define_them(twelve: np.ndarray) -> None:
    eight = twelve[:, INDEPENDENT_COLUMNS]
    arranged, computed = arrange_leads(eight, INDEPENDENT_LEADS)
    np.testing.assert_allclose(arranged, twelve, atol=1e-6)
    assert computed == ("III", "aVR", "aVL", "aVF")


@given(order=st.permutations(range(12)), upper=st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_order_and_case_gives_the_standard_order(order: list[int], upper: list[bool]) -> None:
    signal = np.arange(24.0).reshape(2, 12)
    names = [LEADS[k].upper() if big else f" {LEADS[k].lower()} " for k, big in zip(order, upper, strict=True)]
    arranged, computed = arrange_leads(signal[:, order], names)
    np.testing.assert_array_equal(arranged, signal)
    assert computed == ()


def test_a_given_limb_lead_is_kept_and_not_computed(twelve: np.ndarray) -> None:
    names = ("I", "II", "III", *LEADS[6:])
    arranged, computed = arrange_leads(twelve[:, [0, 1, 2, *range(6, 12)]], names)
    assert computed == ("aVR", "aVL", "aVF")
    np.testing.assert_array_equal(arranged[:, 2], twelve[:, 2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["I", "II", "X"], r"leads: position 2: unknown lead 'X'; allowed: I, II, III"),
        (["I", "II", "i"], r"leads: position 2: lead I is named twice"),
        (list(LEADS[:11]), r"leads: missing V6; needed"),
        ([], r"leads: missing I, II, V1"),
        (["y" * 5000], r"unknown lead text of 5000 characters"),
    ],
)
def test_names_that_are_not_allowed_are_named(names: list[str], message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        canonical_leads(names)
    assert caught.value.field == "leads"
    assert len(str(caught.value)) < 200


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


@settings(max_examples=30, deadline=None)
@given(fs_hz=st.floats(50, 2000), seconds=st.floats(5, 12))
def test_every_allowed_rate_gives_the_duration_back(fs_hz: float, seconds: float) -> None:
    signal = np.ones((round(fs_hz * seconds), 2))
    resampled = resample(signal, fs_hz, 100.0)
    assert abs(len(resampled) / 100.0 - len(signal) / fs_hz) < 0.02
    np.testing.assert_allclose(resampled, 1.0, atol=1e-3)


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
