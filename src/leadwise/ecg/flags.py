"""What can be wrong with a recording that is scored all the same: the flags of an answer.

How each is told, how often it is right and what to do about it: ``docs/signal-quality.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from leadwise.contract import LEADS
from leadwise.ecg.faults import FEWEST_BEATS, INVERTED_SCORE
from leadwise.ecg.leads import ReaderFlag
from leadwise.ecg.quality import CLIPPED_S, LeadQuality, lead_list
from leadwise.ecg.record import LARGEST_USUAL_SPAN_MV, SMALLEST_USUAL_SPAN_MV
from leadwise.ecg.reversal import REVERSED, likely_reversals

FlagName = (
    Literal["flat", "missing", "noisy", "mains_hum", "baseline_wander", "clipped", "limb_leads_swapped"]
    | Literal["chest_leads_swapped", "inverted", "leads_disagree", "units_suspected", "scaled_lead_by_lead"]
    | ReaderFlag
)


@dataclass(frozen=True)
class Flag:
    """One thing that is wrong.

    Attributes:
        name: what.
        leads: where; empty where it is the whole recording.
        detail: how much of it, and what is usual.
    """

    name: FlagName
    leads: tuple[str, ...]
    detail: str


NOISY_UV = 60.0
"""As ``LeadQuality.noise_uv``; 99 % of PTB-XL stay below 26."""
HUM_UV = 100.0
"""Amplitude: on paper, a line of 2 mm instead of a thin one."""
DISAGREEING_UV = 500.0
"""I + III - II is 0 in a heart; beyond half a millivolt, leads are misnamed, or scaled one by one."""
LIMB_LEADS = LEADS[:6]


def may_be_flagged(measured: LeadQuality) -> np.ndarray:
    """``(segment,)``: where ``quality_flags`` may find something, but for exchanges and inversion; all at once."""
    middle = len(LEADS) // 2
    spans_uv = np.sort(measured.highest_uv - measured.lowest_uv, axis=1)
    typical_uv = spans_uv[:, middle - 1 : middle + 1].mean(axis=1)
    return np.asarray(
        (measured.flat | (measured.noise_uv > NOISY_UV) | measured.clipped).any(axis=1)
        | (np.maximum(measured.limb_leads_uv, measured.augmented_leads_uv) > DISAGREEING_UV)
        | (typical_uv < 1000 * SMALLEST_USUAL_SPAN_MV)
        | (typical_uv > 1000 * LARGEST_USUAL_SPAN_MV)
    )


def quality_flags(measured: LeadQuality, rows: Sequence[int]) -> tuple[Flag, ...]:
    """The flags of one recording that was measured in one segment or several.

    A lead is flat if it is so in every segment, clipped if in any; noise, hum and spans are medians over the segments,
    scores of exchanged electrodes means.

    Args:
        measured: of ``(segment, 12)``.
        rows: the segments that count.
    """
    found = []
    spans_uv = _typical(measured.highest_uv - measured.lowest_uv, rows)
    flat = np.asarray(measured.flat[rows].all(axis=0))
    if flat.any():
        found.append(
            Flag("flat", lead_list(flat), f"spans {spans_uv[flat].max():.0f} uV at most: no heart beat is there")
        )
    noise_uv = _typical(measured.noise_uv, rows)
    if (noisy := noise_uv > NOISY_UV).any():
        detail = f"{noise_uv.max():.0f} uV in {LEADS[int(noise_uv.argmax())]}; up to {NOISY_UV:g} uV is usual"
        found.append(Flag("noisy", lead_list(noisy), detail))
    clipped = np.asarray(measured.clipped[rows].any(axis=0))
    if clipped.any():
        longest = float(np.maximum(measured.at_extreme_s[rows], measured.plateau_s[rows])[:, clipped].max())
        found.append(
            Flag(
                "clipped", lead_list(clipped), f"{longest:.2g} s exactly at an extreme; up to {CLIPPED_S:g} s is usual"
            )
        )
    limb, chest = likely_reversals(measured.reversal_score[rows].mean(axis=0, keepdims=True))
    if limb[0]:
        found.append(Flag("limb_leads_swapped", LIMB_LEADS, f"the electrodes {limb[0]} look exchanged"))
    if chest[0] == REVERSED:
        found.append(Flag("chest_leads_swapped", LEADS[6:], "the chest leads look as in reverse order, V6 to V1"))
    elif chest[0]:
        found.append(
            Flag("chest_leads_swapped", tuple(chest[0].split("-")), f"the electrodes {chest[0]} look exchanged")
        )
    score = float(np.median(measured.inversion_score[rows]))
    if score > INVERTED_SCORE and not measured.flat[rows].any() and measured.beats[rows].sum() >= FEWEST_BEATS:
        found.append(
            Flag("inverted", (), f"P waves, QRS complexes and T waves look turned over in all leads ({score:.1f})")
        )
    return (*found, *_of_all_leads(measured, rows, spans_uv[~flat] / 1000))


def _of_all_leads(measured: LeadQuality, rows: Sequence[int], spans_mv: np.ndarray) -> list[Flag]:
    found = []
    off_uv = np.maximum(measured.limb_leads_uv[rows], measured.augmented_leads_uv[rows]).max()
    if off_uv > DISAGREEING_UV:
        detail = (
            f"I + III - II or aVR + aVL + aVF reaches {off_uv / 1000:.2g} mV: leads misnamed, or scaled one by one?"
        )
        found.append(Flag("leads_disagree", LIMB_LEADS, detail))
    typical = median(spans_mv.tolist()) if len(spans_mv) else SMALLEST_USUAL_SPAN_MV
    if not SMALLEST_USUAL_SPAN_MV <= typical <= LARGEST_USUAL_SPAN_MV:
        usual = f"{SMALLEST_USUAL_SPAN_MV:g} to {LARGEST_USUAL_SPAN_MV:g} mV is usual"
        found.append(Flag("units_suspected", (), f"the leads span {typical:.3g} mV in the median; {usual}"))
    return found


def _typical(values: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """``(lead,)`` median over the segments."""
    return values[rows[0]] if len(rows) == 1 else np.median(values[rows], axis=0)
