"""How often decisions are right by age and sex: what thresholds promise for all patients, parts of them may not get.

A class is rarer among the young, so that its calibrated probabilities are lower there, and one threshold for all finds
fewer of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, estimates
from leadwise.evaluation.metrics import MetricInput
from leadwise.evaluation.subgroups import FEWEST_CASES
from leadwise.evaluation.thresholds import Measure

MEASURES: tuple[Measure, ...] = ("sensitivity", "specificity")
AGES: Mapping[str, tuple[float, float]] = {
    "18 to 39": (18, 40),
    "40 to 59": (40, 60),
    "60 to 79": (60, 80),
    "80 and over": (80, math.inf),
}
SEXES: Mapping[str, int] = {"male": 0, "female": 1}


@dataclass(frozen=True)
class PartDecisions:
    """How often decisions are right in a part of the patients.

    Attributes:
        name: ``18 to 39``, ``female``.
        records: how many.
        shares: ``sensitivity/MI`` and so on; without those of fewer than ``FEWEST_CASES`` recordings.
    """

    name: str
    records: int
    shares: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        shares = {name: share.to_dict() for name, share in self.shares.items()}
        return {"name": self.name, "records": self.records, "shares": shares}


def parts(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Name of a part -> ``(record,)`` its members; ``table`` has the columns ``age`` and ``sex``."""
    age, sex = table["age"].to_numpy(dtype=np.float64), table["sex"].to_numpy(dtype=np.float64)
    ages = {name: np.asarray((age >= low) & (age < high)) for name, (low, high) in AGES.items()}
    return ages | {name: np.asarray(sex == code) for name, code in SEXES.items()}


def share_right(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float, measure: Measure, weights: NDArray[np.int16] | None
) -> tuple[int, Estimate]:
    """How many recordings a measure of one class is of, and its value; NaN of fewer than ``FEWEST_CASES``.

    Args:
        labels: ``(record,)`` of 0, 1 and NaN.
        probabilities: ``(record,)``, calibrated.
        threshold: at and above which the class is reported.
        measure: sensitivity or specificity.
        weights: ``(replicate, record)`` of ``patient_weights``; ``None``: no interval.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    those = y == (measure == "sensitivity")
    if those.sum() < FEWEST_CASES:
        return int(those.sum()), Estimate(math.nan)
    truth, of_class = y[those][:, np.newaxis], p[those][:, np.newaxis]

    def rate(drawn: NDArray[np.int16] | None) -> dict[str, Any]:
        return {measure: MetricInput(truth, of_class, [threshold], drawn).rates[measure][..., 0]}

    return int(those.sum()), estimates(rate, None if weights is None else weights[:, those])[measure]


def decisions_by_part(
    table: pd.DataFrame,
    labels: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    weights: NDArray[np.int16],
    *,
    thresholds: Sequence[float] | NDArray[np.float64],
) -> list[PartDecisions]:
    """Sensitivity and specificity of every class by age and by sex.

    Args:
        table: with the columns ``age`` and ``sex``.
        labels: ``(record, class)`` of 0, 1 and NaN.
        probabilities: same shape, calibrated.
        weights: ``(replicate, record)`` of ``patient_weights``.
        thresholds: one per class.
    """
    found = []
    for name, members in parts(table).items():
        shares = {}
        for k, superclass in enumerate(SUPERCLASSES):
            for measure in MEASURES:
                y, p = labels[members, k], probabilities[members, k]
                _, share = share_right(y, p, float(thresholds[k]), measure, weights[:, members])
                if np.isfinite(share.value):
                    shares[f"{measure}/{superclass}"] = share
        if members.any():
            found.append(PartDecisions(name, int(members.sum()), shares))
    return found
