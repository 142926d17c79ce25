"""What is measured becomes a flag of its lead and its stretch."""

import numpy as np
import pytest

from leadwise.ecg.quality import NOISY_UV, LeadQuality, quality_flags
from leadwise.ecg.reversal import EXCHANGES


def unremarkable(stretches: int) -> LeadQuality:
    """Nothing to flag: leads that span 1 mV."""
    by_lead = np.zeros((stretches, 12), np.float32)
    return LeadQuality(
        missing=by_lead.astype(np.int64),
        lowest_uv=by_lead - 300,
        highest_uv=by_lead + 700,
        steepest_uv_per_ms=by_lead + 30,
        at_extreme_s=by_lead.copy(),
        wander_uv=by_lead + 50,
        hum_uv=by_lead + 2,
        noise_uv=by_lead + 5,
        limb_leads_uv=by_lead[:, 0] + 1,
        augmented_leads_uv=by_lead[:, 0] + 1,
        reversal_score=np.zeros((stretches, len(EXCHANGES))),
    )


@pytest.mark.parametrize("row", range(3))
def test_noise_in_one_lead_is_flagged_in_its_stretch(row: int) -> None:
    measured = unremarkable(3)
    assert not any(quality_flags(measured, [number]) for number in range(3))
    measured.noise_uv[row, 4] = 2 * NOISY_UV
    (flag,) = quality_flags(measured, [row])
    assert (flag.name, flag.leads) == ("noisy", ("aVL",))
    assert flag.detail == "80 uV in aVL; up to 40 uV is usual"
    assert [bool(quality_flags(measured, [number])) for number in range(3)] == [number == row for number in range(3)]
