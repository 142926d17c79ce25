"""What an answer cannot be certain of, because of what is wrong with the recording: classes that become "uncertain".

``leads_off.json`` says which classes depend on which leads; ``benchmarks/leads_off.py`` measures it.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.ecg.assessment import Assessment
from leadwise.ecg.faults import FEWEST_BEATS

TABLE_FILE = Path(__file__).with_name("leads_off.json")

UNSURE_AFTER_WANDER = (0.03, 0.97)
"""Of 150 recordings of fold 9 with 3 mV of wander that was taken out again, none has a probability outside that moved
by more than 0.05."""


def doubted(assessed: Assessment, calibrated: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Classes ``(..., class)`` that are uncertain because of what is wrong with the recording.

    Args:
        assessed: the recording, looked at.
        calibrated: ``(..., class)`` probabilities.
    """
    found = np.zeros(calibrated.shape, dtype=bool)
    names = {flag.name for flag in assessed.flags}
    found |= np.isin(SUPERCLASSES, dependent_classes(assessed.silent)) | ("scaled_lead_by_lead" in names)
    if "baseline_wander" in names:
        found |= (calibrated > UNSURE_AFTER_WANDER[0]) & (calibrated < UNSURE_AFTER_WANDER[1])
    return found


def reasons(assessed: Assessment) -> list[str]:
    """Why classes are uncertain, in words; none where the recording is no reason."""
    told = []
    if classes := dependent_classes(assessed.silent):
        told.append(f"{', '.join(assessed.silent)} show nothing, so these are uncertain: {', '.join(classes)}")
    names = {flag.name for flag in assessed.flags}
    if "scaled_lead_by_lead" in names:
        # Of 400 recordings of fold 9 whose leads were scaled to 1 mV, 5 to 12 % of the decisions of every class change,
        # and the AUROC of HYP falls by 0.18, that of the others by 0.01 to 0.03.
        told.append("the leads were scaled one by one, HYP is read off their size: every class is uncertain")
    if "baseline_wander" in names:
        low, high = UNSURE_AFTER_WANDER
        told.append(
            f"the baseline was taken out, which can change a probability: those from {low:g} to {high:g} are uncertain"
        )
    return told


ADULT, SHORT_S, LONG_S = 18, 8, 60


def out_of_scope(assessed: Assessment | None, age: float | None) -> list[str]:
    """What the networks were not made for, in words.

    Args:
        assessed: the recording, looked at; ``None`` where there is none.
        age: in years; ``None``: unknown.
    """
    told = []
    if age is not None and age < ADULT:
        told.append(f"{age:g} years old: the networks were trained on adults; of a child's ECG they know little")
    if assessed is None:
        return told
    seconds = max(end for _, end in assessed.times_s)
    if seconds < SHORT_S:
        told.append(f"{seconds:.3g} s long: the networks were trained on 10 s, and below {SHORT_S} s they know less")
    if seconds > LONG_S:
        told.append(
            f"{seconds:.4g} s long: the answer is the mean over {len(assessed.kept)} of its {len(assessed.times_s)} "
            "parts of 10 s; what happens in few of them may be lost"
        )
    if assessed.pacing_spikes >= FEWEST_SPIKES:
        told.append(f"{assessed.pacing_spikes} spikes as of a pacemaker: paced beats look like bundle branch blocks")
    if assessed.beats < FEWEST_BEATS:
        told.append(f"{assessed.beats} heart beats were found: fewer than {FEWEST_BEATS} say little")
    return told


FEWEST_SPIKES = 3


def dependent_classes(silent: Sequence[str]) -> tuple[str, ...]:
    """The classes that depend on some of these leads, or on two of them together; in the order of ``SUPERCLASSES``."""
    if not silent:
        return ()
    gone = frozenset(silent)
    found = {name for leads, classes in _table() if leads <= gone for name in classes}
    return tuple(name for name in SUPERCLASSES if name in found)


@cache
def _table() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    content = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return tuple((frozenset(entry["leads"]), tuple(entry["uncertain"])) for entry in content["silent"])
