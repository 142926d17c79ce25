"""Multilabel metrics, validated once and then computed.

Labels are ``(record, class)`` of 0 and 1, probabilities have the same shape. ``weights`` says how often each record
counts: ``None`` (once each), ``(record,)``, or ``(replicate, record)``, as a bootstrap draws them. The result then has
a leading replicate axis, so a point estimate and its 1000 replicates are one code path.

A record is positive for a class when its probability is at or above the threshold. A metric that is undefined, such as
the AUROC of a class without positives, is NaN. ``metric_registry`` holds all of them by name, and the reason of a NaN.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import SMALLEST_PROBABILITY
from leadwise.contract import LeadwiseError

Floats = NDArray[np.float64]

DEFAULT_THRESHOLD = 0.5
CALIBRATION_BINS = 15
"""Bins of equal width behind the calibration error, as in Guo et al. 2017."""


class MetricError(LeadwiseError):
    """Labels, probabilities, thresholds or weights cannot be compared; the message says what was received."""


def validate(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None, *, unknown: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Check the three arrays and return them as float64, the weights turned to ``(record, replicate)``.

    With ``unknown`` a label may also be NaN: not known.

    Raises:
        MetricError: a shape or value is not allowed.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape or y.size == 0:
        raise MetricError(
            f"labels and probabilities: received shapes {y.shape} and {p.shape}; allowed: the same (record, class)"
        )
    allowed = np.isin(y, (0, 1)) | (unknown & np.isnan(y))
    if not allowed.all():
        raise MetricError(f"labels: received {y[~allowed][0]}; allowed: 0 and 1{', NaN where not known' * unknown}")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise MetricError(f"probabilities: received {p[bad][0]} at row {np.argwhere(bad)[0][0]}; allowed: 0 to 1")
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.ndim not in (1, 2) or w.shape[-1] != len(y):
        raise MetricError(f"weights: received shape {w.shape}; allowed: (..., {len(y)})")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise MetricError("weights: received a negative or non-finite value; allowed: 0 or more")
    return y, p, np.ascontiguousarray(np.atleast_2d(w).T)


class MetricInput:
    """What metrics are computed from, and the metrics that are more than a mean over records.

    Attributes:
        y: labels, ``(record, class)``.
        p: probabilities, same shape.
        said: 1 where a class is reported, else 0, same shape.
        w: weights, ``(record, replicate)``.
    """

    def __init__(
        self,
        labels: ArrayLike,
        probabilities: ArrayLike,
        thresholds: ArrayLike = DEFAULT_THRESHOLD,
        weights: ArrayLike | None = None,
    ) -> None:
        """See the module for shapes.

        Raises:
            MetricError: a shape or value is not allowed.
        """
        self.y, self.p, self.w = validate(labels, probabilities, weights)
        self.said = decide(self.p, thresholds)
        self._replicated = weights is not None and np.ndim(weights) == 2

    def mean(self, values: NDArray[Any]) -> Floats:
        """Weighted mean over records of ``(record,)`` or ``(record, column)``: ``(...)`` or ``(..., column)``."""
        total = self.total(values)
        return self.ratio(total, self.total(np.ones(len(values))) if total.ndim == 1 else self.records)

    def total(self, values: NDArray[Any]) -> Floats:
        """Weighted sum over records, ``(replicate, ...)``."""
        return self.w.T @ values.astype(np.float64)

    @property
    def records(self) -> Floats:
        """Weighted number of records, ``(replicate, 1)``."""
        return self.w.sum(axis=0)[:, np.newaxis]

    def ratio(self, part: Floats, whole: Floats, undefined: float = np.nan) -> Floats:
        """One total by another, without a replicate axis unless the caller's weights have one."""
        return self._shaped(_ratio(part, whole, undefined))

    def _shaped(self, replicates: Floats) -> Floats:
        return replicates if self._replicated else replicates[0]

    @cached_property
    def ranking(self) -> tuple[Floats, Floats]:
        """AUROC and average precision per class from one sort, each ``(..., class)``.

        Ties count half in the AUROC (Mann-Whitney); average precision is the area under the PR curve without
        interpolation.
        """
        ranked = [_rank_class(self.y[:, k] == 1, self.p[:, k], self.w) for k in range(self.y.shape[1])]
        areas, precisions = (self._shaped(np.stack(found, axis=1)) for found in zip(*ranked, strict=True))
        return areas, precisions

    @cached_property
    def rates(self) -> dict[str, Floats]:
        """How good decisions are, as clinicians count it: name -> ``(..., class)``.

        ``sensitivity``: of the records that have the class, the share that is reported; ``specificity``: of those that
        do not, the share that is not; ``ppv`` and ``npv``: of the reports and of the negatives, the share that is
        right; ``predicted_positive``: the share of all records that is reported. NaN where there is nothing to take a
        share of.
        """
        true, reported, positives = self.total(self.said * self.y), self.total(self.said), self.total(self.y)
        spared = self.records - positives - (reported - true)
        return {
            "sensitivity": self.ratio(true, positives),
            "specificity": self.ratio(spared, self.records - positives),
            "ppv": self.ratio(true, reported),
            "npv": self.ratio(spared, self.records - reported),
            "predicted_positive": self.ratio(reported, self.records),
        }

    @property
    def f1(self) -> Floats:
        """Per class, ``(..., class)``; 0 where a class has no positive and no report, as in scikit-learn."""
        return self.ratio(2 * self.total(self.said * self.y), self.total(self.said + self.y), undefined=0.0)

    @property
    def calibration_error(self) -> Floats:
        """Expected calibration error per class, ``(..., class)``, over bins of equal width (Guo et al. 2017)."""
        bins = np.minimum((self.p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        member = bins[:, :, np.newaxis] == np.arange(CALIBRATION_BINS)
        gaps = self.mean((member * (self.p - self.y)[:, :, np.newaxis]).reshape(len(self.y), -1))
        return np.asarray(np.abs(gaps).reshape(*gaps.shape[:-1], -1, CALIBRATION_BINS).sum(axis=-1))


def auroc(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve per class, ``(..., class)``; ties count half (Mann-Whitney)."""
    return MetricInput(labels, probabilities, weights=weights).ranking[0]


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Binary cross-entropy of every record and class, ``(record, class)``; finite."""
    y, p, _ = validate(labels, probabilities)
    p = np.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def decide(probabilities: ArrayLike, thresholds: ArrayLike = DEFAULT_THRESHOLD) -> Floats:
    """1 where the probability is at or above the threshold (one, or one per class), else 0."""
    limits = np.asarray(thresholds, dtype=np.float64)
    p = np.asarray(probabilities, dtype=np.float64)
    if limits.shape not in ((), p.shape[-1:]) or not ((limits >= 0) & (limits <= 1)).all():
        raise MetricError(f"thresholds: received {limits.tolist()}; allowed: one, or {p.shape[-1]}, from 0 to 1")
    return (p >= limits).astype(np.float64)


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


def _ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)
