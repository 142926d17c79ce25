"""Floors: how good a candidate must be on fold 10, whatever the champion is."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import auroc, calibration_error
from leadwise.registry.gate.check import Check
from leadwise.registry.gate.limits import Limits

MACRO_AUROC, ECE = "macro AUROC", "calibration error"


def floor_checks(labels: NDArray[np.float64], probabilities: NDArray[np.float64], limits: Limits) -> list[Check]:
    """Macro AUROC, each class's AUROC, and the calibration error.

    A figure that is undefined, for want of positives, does not pass; on simulated data, of which there may be few, it
    counts as not made.

    Args:
        labels: ``(record, 5)`` of 0 and 1.
        probabilities: calibrated, same shape.
        limits: what is allowed.
    """
    if not len(labels):
        names = [MACRO_AUROC, *(f"AUROC {name}" for name in SUPERCLASSES), ECE]
        return [Check(name, "", "", False, "no recording was answered") for name in names]
    return list(_checks(labels, probabilities, limits))


def _checks(labels: NDArray[np.float64], probabilities: NDArray[np.float64], limits: Limits) -> Iterator[Check]:
    areas = auroc(labels, probabilities)
    lacking = [
        f"{name} has {int(count)} positives among {len(labels)} records"
        for name, count, area in zip(SUPERCLASSES, labels.sum(axis=0), areas, strict=True)
        if math.isnan(area)
    ]
    yield _floor(MACRO_AUROC, float(areas.mean()), limits.floor_macro_auroc, limits, "; ".join(lacking))
    for name, area in zip(SUPERCLASSES, areas, strict=True):
        of_class = next((reason for reason in lacking if reason.startswith(f"{name} ")), "")
        yield _floor(f"AUROC {name}", float(area), limits.floor_class_auroc, limits, of_class)
    yield Check.at_most(ECE, float(calibration_error(labels, probabilities).mean()), limits.highest_ece)


def _floor(name: str, value: float, floor: float, limits: Limits, undefined: str) -> Check:
    if math.isnan(value):
        return Check(name, "undefined", f"at least {floor:g}", None if limits.simulated else False, undefined)
    return Check.at_least(name, value, floor)
