import numpy as np
import pytest

from leadwise.ecg.leads import RecordingError
from leadwise.ecg.record import build_recording


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
        (lambda s: np.where(np.arange(1000)[:, None] // 51 == 3, np.nan, s), {}, "signal: 5% of the samples of lead I"),
        (lambda s: s * 1000, {}, "signal: reaches .* mV; at most 50 mV is allowed; were these microvolts"),
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
