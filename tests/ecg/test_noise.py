"""Corruptions: as strong as they say, nothing at strength zero, the same from a seed, true to the electrodes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import periodogram, resample_poly

from leadwise.contract import LEADS
from leadwise.datasets.waveforms import read_record
from leadwise.ecg import noise as d
from leadwise.ecg.noise import KIND_SHARE, Augmentation, baseline_wander, mix_weights
from leadwise.ecg.record import LEADS_FROM_I_AND_II
from leadwise.ecg.reversal import LEAD_MATRIX

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

RANDOM: dict[str, tuple[Change, float, float]] = {
    "white": (d.add_white_noise, 0.0, 0.1),
    "muscle": (d.add_muscle_noise, np.inf, 6.0),
    "wander": (d.add_baseline_wander, 0.0, 0.5),
    "hum": (d.add_mains_hum, 0.0, 0.3),
    "silent": (d.silence_leads, 0, 3),
    "short": (d.shorten, 10.0, 5.0),
}
"""Name -> the corruption, its zero, and a strength."""


def seeded(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def beats(records: int = 20, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """Recordings whose QRS complexes rise at once and fall slowly, one a second, different at every electrode."""
    rng = np.random.default_rng(seed)
    since = np.arange(samples) % 100 / 100 - 0.5
    tooth = np.where(since >= 0, np.clip(1 - since / 0.06, 0, 1), 0)
    size = rng.normal(0.8, 0.6, (records, 1, 9))
    return (tooth[:, np.newaxis] * size).astype(np.float32) @ LEAD_MATRIX.T


def einthoven_error(signal: np.ndarray) -> float:
    """Largest departure, in mV, of III, aVR, aVL and aVF from what leads I and II say."""
    lead = {name: signal[..., place] for place, name in enumerate(LEADS)}
    errors = [lead[name] - a * lead["I"] - b * lead["II"] for name, (a, b) in LEADS_FROM_I_AND_II.items()]
    return float(np.abs(errors).max())


@pytest.mark.parametrize("name", RANDOM)
def test_strength_zero_changes_nothing_and_nothing_is_changed_in_place(name: str) -> None:
    change, zero, strength = RANDOM[name]
    signal = beats()
    before = signal.copy()
    np.testing.assert_array_equal(change(signal, zero, seeded()), before)
    assert not np.array_equal(change(signal, strength, seeded()), before)
    np.testing.assert_array_equal(signal, before)


@pytest.mark.parametrize("name", RANDOM)
def test_the_seed_decides(name: str) -> None:
    change, _, strength = RANDOM[name]
    once = change(beats(), strength, seeded(1))
    assert once.dtype == np.float32
    np.testing.assert_array_equal(change(beats(), strength, seeded(1)), once)
    assert (change(beats(), strength, seeded(2)) != once).any()


@pytest.mark.parametrize("name", ["white", "wander", "hum"])
def test_twice_the_strength_is_twice_the_same_corruption(name: str) -> None:
    change, _, strength = RANDOM[name]
    nothing = np.zeros((4, 1000, 12), dtype=np.float32)
    once, twice = (change(nothing, factor * strength, seeded()) for factor in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("change", "records"), [(d.add_white_noise, 10), (d.add_baseline_wander, 400)])
def test_root_mean_square_is_what_was_asked(change: Change, records: int) -> None:
    added = change(np.zeros((records, 1000, 12), dtype=np.float32), 0.25, seeded())
    assert np.sqrt(np.square(added).mean()) == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("snr_db", [18.0, 0.0, -6.0])
def test_every_record_has_the_asked_signal_to_noise_ratio(snr_db: float) -> None:
    signal = beats()
    noise = d.add_muscle_noise(signal, snr_db, seeded()) - signal
    amplitude = np.ptp(signal, axis=1).astype(float)
    power = (amplitude**2 / 8).mean(axis=1)
    found = 10 * np.log10(power / np.square(noise.astype(float)).mean(axis=(1, 2)))
    np.testing.assert_allclose(found, snr_db, atol=0.05)


def test_muscle_noise_leaves_slow_waves_alone_and_comes_and_goes() -> None:
    noise = d.add_muscle_noise(beats(), 0.0, seeded()) - beats()
    hertz, power = periodogram(noise, 100.0, axis=1)
    assert power[:, hertz < 5].mean() < 0.02 * power[:, hertz > 20].mean()
    assert power[:, (hertz > 20) & (hertz < 35)].mean() == pytest.approx(power[:, hertz >= 35].mean(), rel=0.1)
    seconds = np.square(noise).reshape(len(noise), 10, 100, 12).mean(axis=(2, 3))
    assert (seconds.max(axis=1) / seconds.min(axis=1)).mean() > 2


def test_hum_is_what_resampling_leaves_of_a_recording_at_500_hz() -> None:
    """Resampling the whole noisy recording gives the same as adding the resampled hum."""
    slow = np.zeros((3, 1000, 12), dtype=np.float32)
    fast = np.zeros((3, 5000, 12), dtype=np.float32)
    at_500 = d.add_mains_hum(fast, 0.4, seeded(), fs_hz=500.0)
    expected = resample_poly(at_500, 1, 5, axis=1, padtype="line")
    np.testing.assert_allclose(d.add_mains_hum(slow, 0.4, seeded(), fs_hz=100.0), expected, atol=1e-4)


@pytest.mark.parametrize("count", [1, 6, 12])
def test_as_many_leads_fall_silent_as_asked_and_those_of_fewer_are_among_them(count: int) -> None:
    signal = np.random.default_rng(0).normal(size=(200, 50, 12)).astype(np.float32)
    silent = (d.silence_leads(signal, count, seeded()) == 0).all(axis=1)
    assert (silent.sum(axis=1) == count).all()
    fewer = (d.silence_leads(signal, count - 1, seeded()) == 0).all(axis=1)
    assert (silent | ~fewer).all()
    assert silent.mean(axis=0).std() < 0.05


@pytest.mark.parametrize("rate_hz", [50, 62.5, 75, 99.7])
def test_a_lower_rate_keeps_slow_waves_and_loses_fast_ones(rate_hz: float) -> None:
    time = np.arange(1000) / 100
    slow, fast = (np.sin(2 * np.pi * hertz * time) for hertz in (0.3 * rate_hz, 49.9))
    signal = np.zeros((2, 1000, 12), dtype=np.float32)
    signal[0], signal[1] = slow[:, np.newaxis], fast[:, np.newaxis]
    back = d.lower_rate(signal, rate_hz)
    assert back.shape == signal.shape
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[0, 60:-60], signal[0, 60:-60], atol=0.02)
    if rate_hz < 80:
        assert np.abs(back[1, 60:-60]).max() < 0.02


def test_a_shorter_recording_is_a_stretch_of_the_longer_one() -> None:
    clock = np.broadcast_to(np.arange(1000, dtype=np.float32)[:, np.newaxis], (50, 1000, 12))
    longer, shorter = (d.shorten(clock, seconds, seeded())[:, :, 0] for seconds in (5.0, 2.5))
    assert (longer.shape, shorter.shape) == ((50, 500), (50, 250))
    assert (np.diff(shorter) == 1).all()
    assert (shorter[:, 0] >= longer[:, 0]).all()
    assert (shorter[:, -1] <= longer[:, -1]).all()
    assert np.ptp(shorter[:, 0]) > 500


@pytest.mark.real
def test_on_real_recordings_swaps_obey_einthoven_and_noise_has_its_ratio(ptbxl_tree: Path) -> None:
    table = pd.read_csv(ptbxl_tree / "ptbxl_database.csv")
    names = table.loc[table["strat_fold"] <= 8, "filename_lr"].iloc[:100]
    signal = np.stack([read_record(ptbxl_tree / name) for name in names]).astype(np.float32) / 1000
    for reversal in ("LA-RA", "LA-LL", "RA-LL"):
        assert einthoven_error(d.reverse_electrodes(signal, reversal)) < 1e-4
    noise = d.add_muscle_noise(signal, 12.0, seeded()) - signal
    ratio = 10 * np.log10(d.qrs_power(signal) / np.square(noise).mean(axis=(1, 2)))
    np.testing.assert_allclose(ratio, 12, atol=0.1)
    # Lead II is where a QRS complex is easiest to measure: the amplitude behind the ratio is of the size of lead II's.
    assert 0.3 < np.sqrt(8 * np.median(d.qrs_power(signal))) / np.median(np.ptp(signal[:, :, 1], axis=1)) < 1.5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def waves(rng: np.random.Generator, records: int = 40) -> np.ndarray:
    return rng.normal(size=(records, 250, 12)).astype(np.float32)


def test_gain_is_one_factor_per_record_within_bounds(rng: np.random.Generator) -> None:
    signal = waves(rng)
    factors = Augmentation(amplitude_scale=0.15).apply(signal.copy(), rng) / signal
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-4
    assert 0.85 <= factors.min() < 0.9
    assert 1.1 < factors.max() <= 1.15 + 1e-6


@pytest.mark.parametrize(
    "strongest", [{"noise_mv": 0.2}, {"wander_mv": 1.0}, {"hum_mv": 0.5}], ids=lambda one: next(iter(one))
)
def test_a_corruption_hits_its_share_and_leaves_einthoven_alone(
    rng: np.random.Generator, strongest: dict[str, float]
) -> None:
    signal = waves(rng, 600)
    added = Augmentation(augment_prob=0.6, **strongest).apply(signal.copy(), rng) - signal
    hit = np.abs(added).max(axis=(1, 2)) > 0
    assert hit.mean() == pytest.approx(0.6 * KIND_SHARE, abs=0.06)
    one, two, three = (added[..., LEADS.index(lead)] for lead in ("I", "II", "III"))
    np.testing.assert_allclose(one + three, two, atol=1e-4)
    # From nothing to the asked strength, evenly.
    size = added[hit].std(axis=(1, 2))
    (highest,) = strongest.values()
    assert size.min() < 0.1 * highest
    assert 0.3 * highest < size.max() < 2.5 * highest


def test_leads_fall_silent_as_a_whole_up_to_the_asked_number(rng: np.random.Generator) -> None:
    signal = Augmentation(augment_prob=0.9, lead_dropout=3).apply(waves(rng, 800), rng)
    silent = (signal == 0).all(axis=1)
    assert ((signal == 0).any(axis=1) == silent).all()
    count = silent.sum(axis=1)
    assert set(count.tolist()) == {0, 1, 2, 3, 6}
    assert (count > 0).mean() == pytest.approx(0.9 * KIND_SHARE, abs=0.06)
    chest = [lead.startswith("V") for lead in LEADS]
    assert (silent[count == 6] == chest).all()


@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_wander_is_slow_whatever_the_rate_and_differs_between_leads(rng: np.random.Generator, fs_hz: float) -> None:
    wander = baseline_wander((30, int(40 * fs_hz), 12), fs_hz, rng)
    assert wander.dtype == np.float32
    assert wander.std() == pytest.approx(1, abs=0.15)
    hertz, power = periodogram(wander, fs_hz, axis=1, window="hann")
    share = power[:, hertz <= 0.6].sum(axis=1) / power.sum(axis=1)
    assert share.min() > 0.99
    assert np.abs(np.corrcoef(wander[0].T)[0, 1:]).max() < 0.999


def test_mixing_keeps_at_least_half_of_a_record(rng: np.random.Generator) -> None:
    shares = mix_weights(10_000, 0.2, rng)
    assert shares.min() >= 0.5
    assert shares.max() <= 1
    # max(x, 1 - x) of Beta(0.2, 0.2), by numerical integration.
    reference = rng.beta(0.2, 0.2, 400_000)
    assert shares.mean() == pytest.approx(np.maximum(reference, 1 - reference).mean(), abs=0.01)
