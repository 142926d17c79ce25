"""Leads follow from electrodes as textbooks say, and noise keeps its size on the way."""

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.reversal import ELECTRODES, lead_noise, lead_potentials


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
    np.testing.assert_allclose(lead_potentials(potentials), [expected[lead] for lead in LEADS], rtol=1e-5, atol=1e-6)


def test_noise_keeps_its_root_mean_square_over_the_leads() -> None:
    noise = lead_noise(np.random.default_rng(2).standard_normal((200_000, 9), dtype=np.float32))
    assert np.sqrt(np.square(noise).mean()) == pytest.approx(1, rel=0.005)
    by_lead = np.sqrt(np.square(noise).mean(axis=0))
    assert by_lead.min() == pytest.approx(0.93, abs=0.01)
    assert by_lead.max() == pytest.approx(1.14, abs=0.01)
