"""Saying "uncertain": where a probability is too near its threshold for a yes or a no, and what that buys.

How far a probability has gone from its threshold is measured as a share of the way: 0 at the threshold, 1 at certainty
(a probability of 0 or 1). A threshold t says that a miss costs as much as (1 - t) / t false alarms; under these costs a
record's expected cost falls with that share, so leaving out the smallest shares is Chow's rule (Chow 1970). On fold 9
of PTB-XL, its area under the coverage and risk curve is 3 to 54 % smaller than that of distances between logits, and
most so where thresholds are low; distances between probabilities are worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.evaluation.metrics import decide, validate
from leadwise.policies import Band

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Share of records that get a yes or a no, per class, where the band was chosen."""

RECORD = "record"
"""The name under which all classes of a record together are reported: wrong if any class is."""


class AbstentionError(LeadwiseError):
    """A band cannot be chosen; the message says what was received."""


def margin(probabilities: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of the way from the threshold to certainty, from 0 to 1: ``(record, class)``, thresholds ``(class,)``."""
    p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    way = np.where(p >= t, 1 - t, t)
    return np.divide(np.abs(p - t), way, out=np.ones(np.broadcast_shapes(p.shape, t.shape)), where=way > 0)


def choose_band(probabilities: ArrayLike, threshold: float, coverage: float = COVERAGE) -> Band:
    """The interval of calibrated probability, both ends included, in which one class's answer is "uncertain".

    Args:
        probabilities: ``(record,)`` of the class on fold 9.
        threshold: of the class.
        coverage: share of these records that the interval leaves out; 1 makes it the threshold alone.

    Raises:
        AbstentionError: the coverage is not above 0 and up to 1, or there are no records.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not 0 < coverage <= 1 or p.ndim != 1 or p.size == 0:
        raise AbstentionError(
            f"band: received coverage {coverage} of {p.shape} probabilities; allowed: above 0, up to 1, of (record,)"
        )
    ordered = np.sort(margin(p, threshold))
    left_out = int((1 - coverage) * len(ordered) + 1e-9)
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
        best_aurc: the area if every wrong answer were less sure than every right one: what no order can beat.
    """

    coverage: Floats
    risk: Floats
    aurc: float
    best_aurc: float

    @property
    def full_risk(self) -> float:
        """Share of wrong answers if every record is answered."""
        return float(self.risk[-1])


def coverage_risk(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike, classes: Sequence[str] = SUPERCLASSES
) -> dict[str, CoverageRisk]:
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
    for name, (wrong, sure) in _answers(labels, probabilities, thresholds, classes).items():
        coverage, risk = _curves(wrong, sure, once)
        _, best = _curves(wrong, -wrong.astype(np.float64), once)
        found[name] = CoverageRisk(coverage[:, 0], risk[:, 0], float(risk.mean()), float(best.mean()))
    return found


def aurc(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike,
    weights: ArrayLike | None = None,
    classes: Sequence[str] = SUPERCLASSES,
) -> dict[str, Floats]:
    """The area of each curve of ``coverage_risk``: class or ``record`` -> ``()`` or ``(replicate,)``.

    Args:
        weights: ``None``, or ``(replicate, record)`` as a bootstrap draws them.
    """
    _, _, w = validate(labels, probabilities, weights)
    found = {}
    for name, (wrong, sure) in _answers(labels, probabilities, thresholds, classes).items():
        coverage, risk = _curves(wrong, sure, w)
        area = (np.diff(coverage, axis=0, prepend=0) * risk).sum(axis=0)
        found[name] = area if weights is not None and np.ndim(weights) == 2 else area[0]
    return found


def _answers(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike, classes: Sequence[str]
) -> dict[str, tuple[NDArray[np.bool_], Floats]]:
    """Which answers are wrong, and how sure each is; of a whole record, the chance that every decision is right."""
    y, p, _ = validate(labels, probabilities)
    decided, sure = decide(p, thresholds), margin(p, thresholds)
    wrong = decided != y
    found = {name: (wrong[:, k], sure[:, k]) for k, name in enumerate(classes)}
    return found | {RECORD: (wrong.any(axis=1), np.where(decided == 1, p, 1 - p).prod(axis=1))}


def _curves(wrong: NDArray[np.bool_], sure: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Coverage and risk, ``(record, replicate)``, with the surest first; ``w`` has the same shape."""
    order = np.argsort(-sure, kind="stable")
    counted = w[order]
    answered = np.cumsum(counted, axis=0)
    risk = np.cumsum(counted * wrong[order, np.newaxis], axis=0) / np.maximum(answered, 1)
    return answered / answered[-1], risk
