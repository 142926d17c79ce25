"""What is measured in a recording, against scipy, plain loops, and signals of known make; and what becomes a flag."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sp

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.quality import (
    CLIPPED_UV,
    FLAT_UV,
    NOISY_UV,
    LeadQuality,
    lead_quality,
    quality_flags,
    quality_summary,
)

TEXT = ["largest_lead", "flat_leads", "clipped_leads", "limb_reversal", "chest_reversal"]


def recordings(count: int = 3, fs_hz: int = 100, seed: int = 1) -> np.ndarray:
    """``(count, 10 s, 12)`` int16 of smooth noise, some hundred microvolts."""
    noise = np.random.default_rng(seed).normal(scale=300, size=(count, 10 * fs_hz, 12))
    return np.round(noise).astype(np.int16)


def one(values: np.ndarray, fs_hz: float = 100) -> LeadQuality:
    """Measures of one recording ``(time, 12)``."""
    return lead_quality(values[np.newaxis], fs_hz)


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 10), seed=st.integers(0, 99), fs_hz=st.sampled_from([100, 250, 500]))
def test_extremes_slopes_and_limb_sums_are_those_of_a_plain_loop(count: int, seed: int, fs_hz: int) -> None:
    block = recordings(count, fs_hz, seed)
    summary = quality_summary(block, fs_hz)
    assert len(summary) == count
    for signals, (_, row) in zip(block.astype(int), summary.iterrows(), strict=True):
        assert row["largest_mv"] == pytest.approx(np.abs(signals).max() / 1000)
        assert np.abs(signals[:, LEADS.index(row["largest_lead"])]).max() == np.abs(signals).max()
        steepest = max(abs(after - before) for lead in signals.T for before, after in pairwise(lead))
        assert row["steepest_mv_per_ms"] == pytest.approx(steepest / 1000 * fs_hz / 1000, rel=1e-5)
        lead = dict(zip(LEADS, signals.T, strict=True))
        assert row["limb_leads_uv"] == np.abs(lead["I"] + lead["III"] - lead["II"]).max()
        assert row["augmented_leads_uv"] == np.abs(lead["aVR"] + lead["aVL"] + lead["aVF"]).max()


def test_extremes_of_int16_do_not_overflow() -> None:
    signals = np.zeros((1, 1000, 12), dtype=np.int16)
    signals[0, ::2] = 32767
    signals[0, 1::2] = -32767
    row = quality_summary(signals, 100).iloc[0]
    assert row["largest_mv"] == pytest.approx(32.767)
    assert row["steepest_mv_per_ms"] == pytest.approx(6.5534)
    assert row["augmented_leads_uv"] == 3 * 32767


def test_a_record_is_measured_alike_alone_and_in_a_block() -> None:
    block = recordings(21)
    together = quality_summary(block, 100)
    for row in (0, 7, 8, 20):
        alone = quality_summary(block[row : row + 1], 100).iloc[0]
        assert alone[TEXT].tolist() == together.loc[row, TEXT].tolist()
        numbers = together.columns.difference(TEXT)
        np.testing.assert_allclose(alone[numbers].astype(float), together.loc[row, numbers].astype(float), rtol=1e-4)


def test_no_recording_gives_an_empty_table_of_the_same_columns() -> None:
    nothing = quality_summary(np.zeros((0, 1000, 12), dtype=np.int16), 100)
    assert len(nothing) == 0
    assert nothing.columns.tolist() == quality_summary(recordings(1), 100).columns.tolist()


def test_flat_below_half_a_millimetre_and_not_at_it() -> None:
    signals = recordings(1)[0].astype(float)
    signals[:, LEADS.index("V5")] = 12.0
    signals[:, LEADS.index("V6")] = 12.0
    signals[500, LEADS.index("V6")] += FLAT_UV - 1
    signals[:, LEADS.index("II")] = 0
    signals[500, LEADS.index("II")] += FLAT_UV
    assert quality_summary(signals[np.newaxis], 100)["flat_leads"].tolist() == ["V5, V6"]


def test_clipped_is_a_tenth_of_a_second_exactly_at_a_far_extreme() -> None:
    time_s = np.arange(1000) / 100
    beats = 3000 * np.exp(-(((time_s % 1) - 0.5) ** 2) / 0.002)
    signals = recordings(1)[0] / 30.0
    whole, clipped, high_rest, near_rest = (LEADS.index(name) for name in ("V1", "V2", "V3", "V4"))
    signals[:, whole] += beats
    signals[:, clipped] = np.minimum(signals[:, clipped] + beats, 2000)
    signals[:, [high_rest, near_rest]] = np.clip(signals[:, [high_rest, near_rest]], -50, 50)
    signals[100:111, high_rest] = CLIPPED_UV * 1.1
    signals[100:111, near_rest] = CLIPPED_UV * 0.9
    assert quality_summary(signals[np.newaxis], 100)["clipped_leads"].tolist() == ["V2, V3"]
    signals[110, high_rest] = 0
    assert quality_summary(signals[np.newaxis], 100)["clipped_leads"].tolist() == ["V2"]


def test_missing_samples_are_counted_and_change_little_else() -> None:
    signals = recordings(2).astype(float)
    holes = signals.copy()
    holes[0, 200:230, 3] = np.nan
    holes[0, 5, 7] = np.inf
    holes[1, :, 8] = np.nan
    found = quality_summary(holes, 100)
    assert found["missing_samples"].tolist() == [31, 1000]
    assert found["flat_leads"].tolist() == ["", "V3"]
    numbers = found.columns.difference([*TEXT, "missing_samples"])
    assert np.isfinite(found[numbers].to_numpy()).all()
    assert one(holes[0]).highest_uv[0, 0] == signals[0, :, 0].max()


@pytest.mark.parametrize("fs_hz", [100, 250, 500, 1000])
def test_baseline_is_what_a_low_pass_filter_leaves(fs_hz: int) -> None:
    time_s = np.arange(10 * fs_hz) / fs_hz
    rng = np.random.default_rng(3)
    slow = 800 * np.sin(2 * np.pi * 0.15 * time_s + 1) + 120 * time_s
    signals = slow[:, None] * rng.uniform(0.2, 1, 12) + 300 * np.sin(2 * np.pi * 3 * time_s)[:, None]
    low = sp.sosfiltfilt(sp.butter(4, 0.5, fs=fs_hz, output="sos"), signals, axis=0)
    np.testing.assert_allclose(one(signals, fs_hz).wander_uv[0], np.ptp(low, axis=0), rtol=0.08, atol=40)


@pytest.mark.parametrize(("fs_hz", "mains_hz"), [(250, 50), (500, 50), (500, 60), (1000, 60)])
def test_hum_is_found_by_its_amplitude_whatever_its_phase(fs_hz: int, mains_hz: int) -> None:
    time_s = np.arange(10 * fs_hz) / fs_hz
    phase = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    hum = 80 * np.sin(2 * np.pi * mains_hz * time_s[:, None] + phase)
    beats = 2000 * np.exp(-(((time_s % 0.8) - 0.4) ** 2) / 0.0005)
    drift = 500 * time_s
    measured = one(hum + beats[:, None] + drift[:, None], fs_hz).hum_uv[0]
    np.testing.assert_allclose(measured, 80, rtol=0.03)
    spectrum = np.abs(np.fft.rfft(hum, axis=0))[10 * mains_hz] * 2 / len(time_s)
    np.testing.assert_allclose(measured, spectrum, rtol=0.03)
    assert one(beats[:, None] + np.zeros(12), fs_hz).hum_uv.max() < 1


def test_at_100_hz_the_alternation_of_50_hz_is_seen_and_60_hz_is_not_looked_for() -> None:
    signals = np.zeros((1000, 12))
    signals[::2, 4] = 40
    signals[1::2, 4] = -40
    assert one(signals).hum_uv[0, 4] == pytest.approx(40, rel=0.01)
    time_s = np.arange(1000) / 100
    signals[:, 4] = 40 * np.sin(2 * np.pi * 40 * time_s)
    assert one(signals).hum_uv.max() < 0.5


@pytest.mark.parametrize("sd_uv", [5.0, 40.0])
def test_noise_is_the_deviation_of_white_noise_in_the_quiet_part(sd_uv: float) -> None:
    rng = np.random.default_rng(11)
    time_s = np.arange(1000) / 100
    beats = 1500 * np.exp(-(((time_s % 0.8) - 0.4) ** 2) / 0.0005)
    signals = rng.normal(scale=sd_uv, size=(1000, 12)) + beats[:, None]
    np.testing.assert_allclose(one(signals).noise_uv[0], 0.78 * sd_uv, rtol=0.12)
    assert one(np.repeat(beats[:, None], 12, axis=1)).noise_uv.max() < 1


@pytest.mark.parametrize("row", range(3))
def test_noise_in_one_lead_is_flagged_in_its_segment(row: int) -> None:
    measured = lead_quality(np.stack([simulate_record("NORM", 4, noise=0.5).signal_mv * 1000] * 3), 100)
    assert not any(quality_flags(measured, [number]) for number in range(3))
    measured.noise_uv[row, 4] = 2 * NOISY_UV
    (flag,) = quality_flags(measured, [row])
    assert (flag.name, flag.leads) == ("noisy", ("aVL",))
    assert flag.detail == "120 uV in aVL; up to 60 uV is usual"
    assert [bool(quality_flags(measured, [number])) for number in range(3)] == [number == row for number in range(3)]
