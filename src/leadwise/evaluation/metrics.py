"""Multilabel metrics as pure functions: validate, then compute.

Every function takes labels ``(record, class)`` of 0 and 1 and probabilities of the same shape. ``weights`` says how
often each record counts: ``None`` (once each), ``(record,)``, or ``(replicate, record)``, as a bootstrap draws them.
The result then has a leading replicate axis, so a point estimate and its 1000 replicates are one code path.

A record is positive for a class when its probability is at or above the threshold. A metric that is undefined, such as
the AUROC of a class without positives, is NaN. ``metric_registry`` holds all of them by name, and the reason of a NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import SMALLEST_PROBABILITY
from leadwise.contract import LeadwiseError
from leadwise.evaluation.bootstrap import Interval, percentile_interval

Floats = NDArray[np.float64]

DEFAULT_THRESHOLD = 0.5
CALIBRATION_BINS = 15
"""Bins of equal width behind the calibration error, as in Guo et al. 2017."""


class MetricError(LeadwiseError):
    """Labels, probabilities, thresholds or weights cannot be compared; the message says what was received."""


def validate(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Check the three arrays and return them as float64, the weights turned to ``(record, replicate)``.

    Raises:
        MetricError: a shape or value is not allowed.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape or y.size == 0:
        raise MetricError(
            f"labels and probabilities: received shapes {y.shape} and {p.shape}; allowed: the same (record, class)"
        )
    if not np.isin(y, (0, 1)).all():
        raise MetricError(f"labels: received {y[~np.isin(y, (0, 1))][0]}; allowed: 0 and 1")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise MetricError(f"probabilities: received {p[bad][0]} at row {np.argwhere(bad)[0][0]}; allowed: 0 to 1")
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.ndim not in (1, 2) or w.shape[-1] != len(y):
        raise MetricError(f"weights: received shape {w.shape}; allowed: (..., {len(y)})")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise MetricError("weights: received a negative or non-finite value; allowed: 0 or more")
    return y, p, np.ascontiguousarray(np.atleast_2d(w).T)


def auroc(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve per class, ``(..., class)``; ties count half (Mann-Whitney)."""
    return ranking(labels, probabilities, weights)[0]


def average_precision(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Average precision per class, ``(..., class)``: the area under the PR curve without interpolation."""
    return ranking(labels, probabilities, weights)[1]


def ranking(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """AUROC and average precision per class from one sort, each ``(..., class)``."""
    y, p, w = validate(labels, probabilities, weights)
    areas, precisions = zip(*(_rank_class(y[:, k] == 1, p[:, k], w) for k in range(y.shape[1])), strict=True)
    return _shaped(np.stack(areas, axis=1), weights), _shaped(np.stack(precisions, axis=1), weights)


def _rank_class(positive: NDArray[np.bool_], p: Floats, w: Floats) -> tuple[Floats, Floats]:
    """One class: ``positive`` and ``p`` ``(record,)``, ``w`` ``(record, replicate)`` -> two ``(replicate,)``."""
    order = np.argsort(-p, kind="stable")
    ranked, positive = p[order], positive[order]
    counted = w[order]
    negatives = np.cumsum(np.where(positive[:, None], 0.0, counted), axis=0)
    at = np.flatnonzero(positive)
    first = np.searchsorted(-ranked, -ranked[at], side="left")
    last = np.searchsorted(-ranked, -ranked[at], side="right") - 1
    weight = counted[at]
    true_above = np.cumsum(weight, axis=0)[np.searchsorted(at, last, side="right") - 1] if len(at) else weight
    false_above = negatives[last]
    false_before = np.where((first > 0)[:, None], negatives[first - 1], 0.0)
    total_positive, total_negative = weight.sum(axis=0), negatives[-1]
    discordant = (weight * (false_before + false_above)).sum(axis=0) / 2
    precision = _ratio(true_above, true_above + false_above, undefined=0.0)
    area = 1 - _ratio(discordant, total_positive * total_negative)
    return area, _ratio((weight * precision).sum(axis=0), total_positive)


def brier(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Brier score per class, ``(..., class)``: the mean squared distance of probability and label."""
    y, p, w = validate(labels, probabilities, weights)
    return _shaped(_mean(np.square(p - y), w), weights)


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Binary cross-entropy of every record and class, ``(record, class)``; finite."""
    y, p, _ = validate(labels, probabilities)
    p = np.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def mean_log_loss(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """``log_loss`` over records and classes, ``(...)``."""
    y, p, w = validate(labels, probabilities, weights)
    return _shaped(_mean(log_loss(y, p).mean(axis=1)[:, None], w)[:, 0], weights)


def calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None, *, bins: int = CALIBRATION_BINS
) -> Floats:
    """Expected calibration error per class, ``(..., class)``, over bins of equal width (Guo et al. 2017)."""
    y, p, w = validate(labels, probabilities, weights)
    member = np.minimum((p * bins).astype(int), bins - 1)[:, :, None] == np.arange(bins)
    gaps = _mean((member * (p - y)[:, :, None]).reshape(len(y), -1), w)
    return _shaped(np.abs(gaps).reshape(-1, y.shape[1], bins).sum(axis=-1), weights)


def binary_accuracy(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike = DEFAULT_THRESHOLD,
    weights: ArrayLike | None = None,
) -> Floats:
    """Share of right decisions per class, ``(..., class)``. Compare with ``all_zero_accuracy``."""
    y, p, w = validate(labels, probabilities, weights)
    return _shaped(_mean(decide(p, thresholds) == y, w), weights)


def all_zero_accuracy(labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Accuracy per class of never predicting anything, ``(..., class)``: the floor of ``binary_accuracy``."""
    y, _, w = validate(labels, labels, weights)
    return _shaped(_mean(y == 0, w), weights)


def f1(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike = DEFAULT_THRESHOLD,
    weights: ArrayLike | None = None,
) -> Floats:
    """F1 per class, ``(..., class)``; 0 where a class has no positive and no alarm, as in scikit-learn."""
    y, p, w = validate(labels, probabilities, weights)
    decided = decide(p, thresholds)
    true = w.T @ (decided * y)
    return _shaped(_ratio(2 * true, w.T @ (decided + y), undefined=0.0), weights)


def exact_match(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike = DEFAULT_THRESHOLD,
    weights: ArrayLike | None = None,
) -> Floats:
    """Share of records with all classes right, ``(...)``."""
    y, p, w = validate(labels, probabilities, weights)
    return _shaped(_mean((decide(p, thresholds) == y).all(axis=1)[:, None], w)[:, 0], weights)


def decision_rates(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike = DEFAULT_THRESHOLD,
    weights: ArrayLike | None = None,
) -> dict[str, Floats]:
    """How good decisions are, as clinicians count it: name -> ``(..., class)``.

    ``sensitivity``: of the records that have the class, the share that is reported; ``specificity``: of those that do
    not, the share that is not; ``ppv`` and ``npv``: of the alarms and of the silences, the share that is right;
    ``alarms``: the share of all records that is reported. NaN where there is nothing to take a share of.
    """
    y, p, w = validate(labels, probabilities, weights)
    said = decide(p, thresholds)
    true, alarms, positives, records = w.T @ (said * y), w.T @ said, w.T @ y, w.sum(axis=0)[:, None]
    spared = records - positives - (alarms - true)
    parts = {
        "sensitivity": (true, positives),
        "specificity": (spared, records - positives),
        "ppv": (true, alarms),
        "npv": (spared, records - alarms),
        "alarms": (alarms, records),
    }
    return {name: _shaped(_ratio(part, whole), weights) for name, (part, whole) in parts.items()}


def confusion_matrices(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike = DEFAULT_THRESHOLD
) -> NDArray[np.int64]:
    """Counts ``(class, 2, 2)``: truth down, decision across, negative first, as scikit-learn lays them out."""
    y, p, _ = validate(labels, probabilities)
    decided = decide(p, thresholds)
    cells = [[((y == truth) & (decided == said)).sum(axis=0) for said in (0, 1)] for truth in (0, 1)]
    return np.moveaxis(np.asarray(cells), -1, 0)


def decide(probabilities: ArrayLike, thresholds: ArrayLike = DEFAULT_THRESHOLD) -> Floats:
    """1 where the probability is at or above the threshold (one, or one per class), else 0."""
    limits = np.asarray(thresholds, dtype=np.float64)
    p = np.asarray(probabilities, dtype=np.float64)
    if limits.shape not in ((), p.shape[-1:]) or not ((limits >= 0) & (limits <= 1)).all():
        raise MetricError(f"thresholds: received {limits.tolist()}; allowed: one, or {p.shape[-1]}, from 0 to 1")
    return (p >= limits).astype(np.float64)


def _mean(values: NDArray[Any], w: Floats) -> Floats:
    """Weighted mean over records: ``(record, column)`` and ``(record, replicate)`` -> ``(replicate, column)``."""
    return _ratio(w.T @ values.astype(np.float64), w.sum(axis=0)[:, None])


def _ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)


def _shaped(replicates: Floats, weights: ArrayLike | None) -> Floats:
    """Without a replicate axis unless the caller's weights have one."""
    return replicates if weights is not None and np.ndim(weights) == 2 else replicates[0]


@dataclass(frozen=True)
class Estimate:
    """A number and what it is when patients are drawn anew.

    Attributes:
        value: on all records once each; NaN where undefined.
        replicates: ``(replicate,)``, in the order of ``bootstrap.patient_weights``; empty where nothing was drawn.
    """

    value: float
    replicates: NDArray[np.float64] = field(repr=False)

    @property
    def interval(self) -> Interval:
        """The 95 % percentile interval; NaN without replicates."""
        return percentile_interval(self.replicates)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.replicates - other.replicates)

    def to_dict(self) -> dict[str, Any]:
        """``value`` and ``interval``; ``null`` where undefined."""
        return {"value": self.value if math.isfinite(self.value) else None, "interval": self.interval.bounds()}


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of at least one estimate, replicate by replicate."""
    values = float(np.mean([one.value for one in estimates]))
    return Estimate(values, np.mean([one.replicates for one in estimates], axis=0))
