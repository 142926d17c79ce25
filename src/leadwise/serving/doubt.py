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
from leadwise.ecg.assessment import Examination

TABLE_FILE = Path(__file__).with_name("leads_off.json")

UNSURE_AFTER_WANDER = (0.03, 0.97)
"""Of 150 recordings of fold 9 with 3 mV of wander that was taken out again, none has a probability outside that moved
by more than 0.05."""


def doubted(examined: Examination, calibrated: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Classes ``(..., class)`` that are uncertain because of what is wrong with the recording.

    Args:
        examined: the recording, looked at.
        calibrated: ``(..., class)`` probabilities.
    """
    found = np.zeros(calibrated.shape, dtype=bool)
    found |= np.isin(SUPERCLASSES, dependent_classes(examined.silent))
    if any(flag.name == "baseline_wander" for flag in examined.flags):
        found |= (calibrated > UNSURE_AFTER_WANDER[0]) & (calibrated < UNSURE_AFTER_WANDER[1])
    return found


def reasons(examined: Examination) -> list[str]:
    """Why classes are uncertain, in words; none where the recording is no reason."""
    told = []
    if classes := dependent_classes(examined.silent):
        told.append(f"{', '.join(examined.silent)} show nothing, so these are uncertain: {', '.join(classes)}")
    if any(flag.name == "baseline_wander" for flag in examined.flags):
        low, high = UNSURE_AFTER_WANDER
        told.append(
            f"the baseline was taken out, which can change a probability: those from {low:g} to {high:g} are uncertain"
        )
    return told


def dependent_classes(silent: Sequence[str]) -> tuple[str, ...]:
    """The classes that depend on some of these leads, or on two of them together; in the order of ``SUPERCLASSES``."""
    gone = frozenset(silent)
    found = {name for leads, classes in _table() if leads <= gone for name in classes}
    return tuple(name for name in SUPERCLASSES if name in found)


@cache
def _table() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    content = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return tuple((frozenset(entry["leads"]), tuple(entry["uncertain"])) for entry in content["silent"])
