"""Electrodes: what leads they make, and that reversed ones are noticed in real and in simulated recordings."""

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.datasets.store import open_store
from leadwise.datasets.tables import read_tables
from leadwise.datasets.waveforms import read_record
from leadwise.ecg.noise import reverse_electrodes
from leadwise.ecg.quality import quality_summary
from leadwise.ecg.reversal import (
    ELECTRODES,
    LEAD_MATRIX,
    LIMB_REVERSALS,
    REVERSALS,
    REVERSED,
    lead_noise,
    likely_reversals,
)
from leadwise.ecg.waves import average_beat


@pytest.mark.parametrize("reversal", REVERSALS)
def test_leads_follow_from_the_potentials_of_reversed_electrodes(reversal: str) -> None:
    potentials = np.random.default_rng(4).normal(size=(2, 50, len(ELECTRODES))).astype(np.float32)
    places = [ELECTRODES.index(name) for name in (LEADS[6:] if reversal == REVERSED else reversal.split("-"))]
    swapped = potentials.copy()
    swapped[..., places] = potentials[..., places[::-1]]
    recorded = reverse_electrodes(potentials @ LEAD_MATRIX.T, reversal)
    np.testing.assert_allclose(recorded, swapped @ LEAD_MATRIX.T, atol=1e-5)
    np.testing.assert_allclose(reverse_electrodes(recorded, reversal), potentials @ LEAD_MATRIX.T, atol=1e-5)


def test_the_likeliest_reversal_above_its_threshold_is_named() -> None:
    scores = np.zeros((4, len(REVERSALS)))
    scores[1, [0, 2]] = 4.1, 9.0
    scores[2, [1, 3, 8]] = 4.0, 6.0, 5.9
    scores[3, [3, 8]] = 6.1, 7.0
    limb, chest = likely_reversals(scores)
    assert limb.tolist() == ["", "RA-LL", "", ""]
    assert chest.tolist() == ["", "", "", "V1-V3"]


def test_nothing_is_said_about_recordings_without_beats() -> None:
    rng = np.random.default_rng(0)
    silent = np.zeros((1, 1000, 12), dtype=np.int16)
    noise = np.round(rng.normal(scale=20, size=(20, 1000, 12))).astype(np.int16)
    for signals in (silent, noise):
        found = quality_summary(signals, 100)
        assert set(found["limb_reversal"]) | set(found["chest_reversal"]) == {""}


def test_the_average_beat_is_the_beat_without_the_noise() -> None:
    rng = np.random.default_rng(1)
    shape = np.exp(-(np.arange(-32, 48) ** 2) / 8)
    leads = rng.normal(scale=0.02, size=(2, 8, 1000)).astype(np.float32)
    for start in range(60, 940, 85):
        leads[:, :, start - 32 : start + 48] += shape
    beats, count = average_beat(leads, 100, 0.32, 0.48)
    assert count.tolist() == [11, 11]
    best = max(np.corrcoef(np.roll(shape, shift), beats[0, 0])[0, 1] for shift in range(-4, 5))
    assert best > 0.99
    empty, none = average_beat(np.zeros((3, 8, 1000), dtype=np.float32), 100, 0.32, 0.48)
    assert none.tolist() == [0, 0, 0]
    assert not empty.any()


def test_simulated_recordings_are_right_and_reversed_arms_are_noticed(simulated_store) -> None:
    signals = open_store(simulated_store).signals[:200]
    assert (quality_summary(signals, 100)["limb_reversal"] != "").mean() < 0.02
    assert (quality_summary(reverse_electrodes(signals, "LA-RA"), 100)["limb_reversal"] == "LA-RA").mean() > 0.8


@pytest.mark.real
def test_reversals_are_noticed_in_real_recordings_and_rarely_seen_without(ptbxl_tree) -> None:
    tables = read_tables(ptbxl_tree)
    signals = np.stack([read_record(ptbxl_tree / name) for name in tables.filenames])
    as_recorded = quality_summary(signals, 100)
    assert (as_recorded["limb_reversal"] != "").mean() < 0.01
    assert (as_recorded["chest_reversal"] != "").mean() < 0.02
    least = {"LA-RA": 0.95, "RA-LL": 0.95, "LA-LL": 0.35, "V1-V2": 0.85, "V1-V3": 0.92, "V5-V6": 0.5}
    for reversal, share in least.items():
        column = "limb_reversal" if reversal in LIMB_REVERSALS else "chest_reversal"
        assert (quality_summary(reverse_electrodes(signals, reversal), 100)[column] == reversal).mean() > share, (
            reversal
        )


def test_leads_are_the_textbook_differences_of_potentials() -> None:
    rng = np.random.default_rng(1)
    ra, la, ll, *chest = potentials = rng.normal(size=len(ELECTRODES)).astype(np.float32)
    terminal = (ra + la + ll) / 3
    expected = {
        "I": la - ra,
        "II": ll - ra,
        "III": ll - la,
        "aVR": ra - (la + ll) / 2,
        "aVL": la - (ra + ll) / 2,
        "aVF": ll - (ra + la) / 2,
    } | {f"V{number}": potential - terminal for number, potential in enumerate(chest, 1)}
    np.testing.assert_allclose(potentials @ LEAD_MATRIX.T, [expected[lead] for lead in LEADS], rtol=1e-5, atol=1e-6)


def test_noise_keeps_its_root_mean_square_over_the_leads() -> None:
    noise = lead_noise(np.random.default_rng(2).standard_normal((200_000, 9), dtype=np.float32))
    assert np.sqrt(np.square(noise).mean()) == pytest.approx(1, rel=0.005)
    by_lead = np.sqrt(np.square(noise).mean(axis=0))
    assert by_lead.min() == pytest.approx(0.93, abs=0.01)
    assert by_lead.max() == pytest.approx(1.14, abs=0.01)
