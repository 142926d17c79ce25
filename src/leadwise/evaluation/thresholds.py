"""Rules that choose one class's threshold from its labels and calibrated probabilities, on fold 9.

A record is reported when its probability is at or above the threshold. A threshold stands halfway between two
neighbouring probabilities, so that rounding elsewhere flips no decision. A class that has no positives or no negatives
on the choosing rows keeps 0.5: nothing can be chosen there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.evaluation.metrics import DEFAULT_THRESHOLD

Floats = NDArray[np.float64]
Measure = Literal["sensitivity", "specificity"]


class ThresholdError(LeadwiseError):
    """A target cannot be aimed at; the message says what was received."""


@dataclass(frozen=True)
class Target:
    """What a threshold is to reach on new records.

    Attributes:
        measure: ``sensitivity``: of the records that have the class, the share that is reported; ``specificity``: of
            those that do not, the share that is not.
        value: above 0, below 1.
    """

    measure: Measure
    value: float

    def __post_init__(self) -> None:
        if self.measure not in ("sensitivity", "specificity") or not 0 < self.value < 1:
            raise ThresholdError(
                f"target: received {self.measure} {self.value}; allowed: sensitivity or specificity, above 0, below 1"
            )


TARGETS: Mapping[str, Target] = {
    name: Target("sensitivity", 0.95 if name == "MI" else 0.90) for name in SUPERCLASSES if name != "NORM"
} | {"NORM": Target("specificity", 0.95)}
"""An infarction that is missed costs most. For NORM the error that costs is an ill heart called normal, so its target
is the share of not-normal recordings that are not called normal."""

CONFIDENCE = 0.9
"""How sure it is, by the number of records that the threshold was chosen on, that new records reach the target."""


def best_f1(y: Floats, p: Floats) -> float:
    """The threshold with the highest F1 that calibrated probabilities let expect (Lipton et al. 2014).

    Counting each record by its probability instead of its label takes the luck of single records near the threshold
    out of the choice. Chosen on one half of PTB-XL's fold 9, the five classes have on the other half a mean F1 that is
    0.007 higher than with the threshold of highest observed F1.

    Args:
        y: ``(record,)`` of 0 and 1; they only say whether there is something to choose.
        p: ``(record,)`` calibrated probabilities.
    """
    if len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    true, false, thresholds = _ranked(p, p)
    return _at_best(2 * true / (true + false + p.sum()), thresholds)


def youden(y: Floats, p: Floats) -> float:
    """The threshold with the highest sensitivity + specificity - 1 (Youden 1950); ``y`` and ``p`` ``(record,)``."""
    if len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    true, false, thresholds = _ranked(y, p)
    return _at_best(true / y.sum() - false / (y == 0).sum(), thresholds)


def reaching(y: Floats, p: Floats, target: Target, confidence: float = CONFIDENCE) -> float:
    """The threshold that reaches a target on new records with the given confidence, at the least cost.

    The plain quantile of fold 9 would fall short on new records every second time, as its estimate errs to both sides.
    So fewer misses are allowed than the target names: a one-sided tolerance limit (Wilks 1941), see
    ``misses_allowed``. It takes records for independent; patients with two records of the same class are few.

    Raises:
        ThresholdError: the confidence is not from 0 up to, but without, 1.
    """
    aimed = p[y == 1] if target.measure == "sensitivity" else -p[y == 0]
    if len(aimed) == 0 or len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    ordered = np.sort(aimed)
    last_found = ordered[min(misses_allowed(len(ordered), target.value, confidence), len(ordered) - 1)]
    if target.measure == "sensitivity":
        return _halfway(float(np.max(p[p < last_found], initial=0.0)), float(last_found))
    return _halfway(float(-last_found), float(np.min(p[p > -last_found], initial=1.0)))


def misses_allowed(count: int, target: float, confidence: float) -> int:
    """The most records, of ``count`` to be found, that may be missed.

    The largest m with P(Binomial(count, 1 - target) <= m) <= 1 - confidence: were the true share of misses as large as
    the target allows, so few would be seen with probability 1 - confidence at most. 0 if even no miss proves nothing
    (fewer than 22 records at 90 % with 90 % confidence, 45 at 95 %): then all are to be found, and no more can be said.

    Raises:
        ThresholdError: the confidence is not from 0 up to, but without, 1.
    """
    from scipy.stats import binom

    if not 0 <= confidence < 1:
        raise ThresholdError(f"confidence: received {confidence}; allowed: 0 to below 1")
    proven = binom.cdf(np.arange(count + 1), count, 1 - target) <= 1 - confidence
    return max(int(proven.sum()) - 1, 0)


def _ranked(truth: Floats, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Records found, false alarms, and the threshold, if alarms are the 1, 2, ... records of highest probability.

    ``truth`` is a label, or the chance of it. The threshold is NaN inside a run of equal probabilities, which no
    threshold can part.
    """
    order = np.argsort(-p, kind="stable")
    ranked, true = p[order], np.cumsum(truth[order])
    thresholds = (ranked + np.append(ranked[1:], 0.0)) / 2
    thresholds[:-1][ranked[:-1] == ranked[1:]] = np.nan
    return true, np.arange(1, len(p) + 1) - true, thresholds


def _at_best(scores: Floats, thresholds: Floats) -> float:
    return float(thresholds[np.argmax(np.where(np.isnan(thresholds), -np.inf, scores))])


def _halfway(below: float, above: float) -> float:
    middle = (below + above) / 2
    # Of two neighbouring floats the middle may be the lower one, which must stay below the threshold.
    return middle if middle > below else above
