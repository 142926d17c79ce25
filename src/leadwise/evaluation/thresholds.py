"""Rules that choose one class's threshold, and the band around it that is "uncertain", on fold 9.

A record is reported when its probability is at or above the threshold. A threshold stands halfway between two
neighbouring probabilities, so that rounding elsewhere flips no decision. A class that has no positives or no negatives
on the choosing rows keeps 0.5: nothing can be chosen there.

"Uncertain" is said where a probability is too near its threshold for a yes or a no. How far it has gone is measured as
a share of the way: 0 at the threshold, 1 at certainty (a probability of 0 or 1). A threshold t says that a miss costs
as much as (1 - t) / t false alarms; under these costs a record's expected cost falls with that share, so leaving out
the smallest shares is Chow's rule (Chow 1970). On fold 9 of PTB-XL, its area under the coverage and risk curve is 3 to
54 % smaller than that of distances between logits, and most so where thresholds are low; distances between
probabilities are worse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import DEFAULT_THRESHOLD, Floats, decide, validate
from leadwise.policies import Band

Measure = Literal["sensitivity", "specificity"]


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


def reaching(y: Floats, p: Floats, target: Target) -> float:
    """The threshold that reaches a target on new records with ``CONFIDENCE``, at the least cost.

    The plain quantile of fold 9 would fall short on new records every second time, as its estimate errs to both sides.
    So fewer misses are allowed than the target names: a one-sided tolerance limit (Wilks 1941), see
    ``misses_allowed``. It takes records for independent; patients with two records of the same class are few.
    """
    aimed = p[y == 1] if target.measure == "sensitivity" else -p[y == 0]
    if len(aimed) == 0 or len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    ordered = np.sort(aimed)
    last_found = ordered[min(misses_allowed(len(ordered), target.value), len(ordered) - 1)]
    if target.measure == "sensitivity":
        return _halfway(float(np.max(p[p < last_found], initial=0.0)), float(last_found))
    return _halfway(float(-last_found), float(np.min(p[p > -last_found], initial=1.0)))


def misses_allowed(count: int, target: float) -> int:
    """The most records, of ``count`` to be found, that may be missed.

    The largest m with P(Binomial(count, 1 - target) <= m) <= 1 - CONFIDENCE: were the true share of misses as large as
    the target allows, so few would be seen with probability 1 - CONFIDENCE at most. 0 if even no miss proves nothing
    (fewer than 22 records at 90 % with 90 % confidence, 45 at 95 %): then all are to be found, and no more can be said.
    """
    from scipy.stats import binom

    proven = binom.cdf(np.arange(count + 1), count, 1 - target) <= 1 - CONFIDENCE
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


COVERAGE = 0.9
"""Share of records that get a yes or a no, per class, where the band was chosen."""

RECORD = "record"
"""The name under which all classes of a record together are reported: wrong if any class is."""


def margin(probabilities: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of the way from the threshold to certainty, from 0 to 1: ``(record, class)``, thresholds ``(class,)``."""
    p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    way = np.where(p >= t, 1 - t, t)
    return np.divide(np.abs(p - t), way, out=np.ones(np.broadcast_shapes(p.shape, t.shape)), where=way > 0)


def choose_band(probabilities: ArrayLike, threshold: float) -> Band:
    """The interval of calibrated probability, both ends included, in which one class's answer is "uncertain".

    Args:
        probabilities: ``(record,)`` of the class on fold 9.
        threshold: of the class.
    """
    ordered = np.sort(margin(probabilities, threshold))
    left_out = int((1 - COVERAGE) * len(ordered) + 1e-9)
    # Halfway between two records, so that rounding elsewhere turns no answer.
    width = float(ordered[left_out - 1 : left_out + 1].mean()) if left_out else 0.0
    return threshold * (1 - width), threshold + width * (1 - threshold)


@dataclass(frozen=True)
class CoverageRisk:
    """How often an answer is wrong if only the surest are given (Geifman and El-Yaniv 2017).

    Attributes:
        coverage: ``(record,)`` rising share of records that are answered, the surest first.
        risk: ``(record,)`` share of wrong answers among them.
        aurc: area under that curve, the mean risk over all coverages: lower is better, and leaving out records at
            random has the area ``full_risk``.
    """

    coverage: Floats
    risk: Floats
    aurc: float

    @property
    def full_risk(self) -> float:
        """Share of wrong answers if every record is answered."""
        return float(self.risk[-1])


def coverage_risk(labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike) -> dict[str, CoverageRisk]:
    """The curve of each class, and under ``record`` that of all classes together.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: calibrated, same shape.
        thresholds: ``(class,)``.

    Raises:
        MetricError: the arrays cannot be compared.
    """
    once = np.ones((len(np.asarray(labels)), 1))
    found = {}
    for name, (wrong, sure) in _answers(labels, probabilities, thresholds).items():
        coverage, risk = _curves(wrong, sure, once)
        found[name] = CoverageRisk(coverage[:, 0], risk[:, 0], float(risk.mean()))
    return found


def aurc(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, Floats]:
    """The area of each curve of ``coverage_risk``: class or ``record`` -> ``()`` or ``(replicate,)``.

    Args:
        weights: ``None``, or ``(replicate, record)`` as a bootstrap draws them.
    """
    _, _, w = validate(labels, probabilities, weights)
    found = {}
    for name, (wrong, sure) in _answers(labels, probabilities, thresholds).items():
        coverage, risk = _curves(wrong, sure, w)
        area = (np.diff(coverage, axis=0, prepend=0) * risk).sum(axis=0)
        found[name] = area if weights is not None and np.ndim(weights) == 2 else area[0]
    return found


def _answers(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike
) -> dict[str, tuple[NDArray[np.bool_], Floats]]:
    """Which answers are wrong, and how sure each is; of a whole record, the chance that every decision is right."""
    y, p, _ = validate(labels, probabilities)
    decided, sure = decide(p, thresholds), margin(p, thresholds)
    wrong = decided != y
    found = {name: (wrong[:, k], sure[:, k]) for k, name in enumerate(SUPERCLASSES)}
    return found | {RECORD: (wrong.any(axis=1), np.where(decided == 1, p, 1 - p).prod(axis=1))}


def _curves(wrong: NDArray[np.bool_], sure: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Coverage and risk, ``(record, replicate)``, with the surest first; ``w`` has the same shape."""
    order = np.argsort(-sure, kind="stable")
    counted = w[order]
    answered = np.cumsum(counted, axis=0)
    risk = np.cumsum(counted * wrong[order, np.newaxis], axis=0) / np.maximum(answered, 1)
    return answered / answered[-1], risk
