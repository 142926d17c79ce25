"""Augmentation: as strong as it says, slow where it should be slow, and nothing where it is turned off."""

import numpy as np
import pytest
from scipy.signal import periodogram

from leadwise.contract import LEADS
from leadwise.ecg.noise import KIND_SHARE, Augmentation, baseline_wander, mix_weights


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def waves(rng: np.random.Generator, records: int = 40) -> np.ndarray:
    return rng.normal(size=(records, 250, 12)).astype(np.float32)


def test_nothing_asked_for_changes_nothing(rng: np.random.Generator) -> None:
    signal = waves(rng)
    np.testing.assert_array_equal(Augmentation().apply(signal.copy(), rng), signal)


def test_gain_is_one_factor_per_record_within_bounds(rng: np.random.Generator) -> None:
    signal = waves(rng)
    factors = Augmentation(amplitude_scale=0.15).apply(signal.copy(), rng) / signal
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-4
    assert 0.85 <= factors.min() < 0.9
    assert 1.1 < factors.max() <= 1.15 + 1e-6


@pytest.mark.parametrize(
    "strongest", [{"noise_mv": 0.2}, {"wander_mv": 1.0}, {"hum_mv": 0.5}], ids=lambda one: next(iter(one))
)
def test_a_disturbance_hits_its_share_and_leaves_einthoven_alone(
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
