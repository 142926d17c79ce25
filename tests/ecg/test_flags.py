"""A glance at many stretches sees a flag where a look at each one does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.ecg.flags import DISAGREEING_UV, HUM_UV, NOISY_UV, quality_flags, without_flags
from leadwise.ecg.quality import CLIPPED_S, FLAT_UV, LeadQuality
from leadwise.ecg.record import LARGEST_USUAL_SPAN_MV, SMALLEST_USUAL_SPAN_MV
from leadwise.ecg.reversal import CHEST_THRESHOLD, EXCHANGES, LIMB_THRESHOLD

AROUND = (0.5, 1.0, 1.01)


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


@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(["span", "spans", "extreme", "hum", "noise", "limb", "augmented", "reversal"]),
            st.integers(0, 2),
            st.integers(0, 11),
            st.sampled_from(AROUND),
        ),
        max_size=4,
    )
)
def test_a_stretch_has_no_flags_exactly_where_none_are_seen(changes: list[tuple[str, int, int, float]]) -> None:
    measured = unremarkable(3)
    for what, row, lead, times in changes:
        match what:
            case "span":
                measured.highest_uv[row, lead] = measured.lowest_uv[row, lead] + times * FLAT_UV
            case "spans":
                limit_mv = SMALLEST_USUAL_SPAN_MV if lead % 2 else LARGEST_USUAL_SPAN_MV
                measured.highest_uv[row] = measured.lowest_uv[row] + times * limit_mv * 1000
            case "extreme":
                measured.at_extreme_s[row, lead] = times * CLIPPED_S
            case "hum":
                measured.hum_uv[row, lead] = times * HUM_UV
            case "noise":
                measured.noise_uv[row, lead] = times * NOISY_UV
            case "limb":
                measured.limb_leads_uv[row] = times * DISAGREEING_UV
            case "augmented":
                measured.augmented_leads_uv[row] = times * DISAGREEING_UV
            case "reversal":
                threshold = LIMB_THRESHOLD if lead < 3 else CHEST_THRESHOLD
                measured.reversal_score[row, lead % len(EXCHANGES)] = times * threshold
    seen = without_flags(measured)
    assert [not quality_flags(measured, [row]) for row in range(3)] == seen.tolist()


@pytest.mark.parametrize("row", range(3))
def test_noise_in_one_lead_is_flagged_in_its_stretch(row: int) -> None:
    measured = unremarkable(3)
    assert without_flags(measured).all()
    measured.noise_uv[row, 4] = 2 * NOISY_UV
    (flag,) = quality_flags(measured, [row])
    assert (flag.name, flag.leads) == ("noisy", ("aVL",))
    assert flag.detail == "80 uV in aVL; up to 40 uV is usual"
    assert without_flags(measured).tolist() == [number != row for number in range(3)]
