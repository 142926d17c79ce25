"""Multilabel metrics: how they are computed, and the registry of them all.

Labels are ``(record, class)`` of 0 and 1, probabilities have the same shape. ``weights`` says how often each record
counts: ``None`` (once each), ``(record,)``, or ``(replicate, record)``, as a bootstrap draws them. The result then has
a leading replicate axis, so a point estimate and its 1000 replicates are one code path.

A record is positive for a class when its probability is at or above the threshold. A metric that is undefined, such as
the AUROC of a class without positives, is NaN.

Whoever needs all metrics iterates over ``METRICS``: one that is registered there is computed, given an interval, logged
and shown in the reports, and the promotion gate asks for it where it has limits.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import GateLimits
from leadwise.decision import SMALLEST_PROBABILITY
from leadwise.evaluation.bootstrap import Compute, Estimate, centred, estimates

Floats = NDArray[np.float64]

DEFAULT_THRESHOLD = 0.5
CALIBRATION_BINS = 15
"""Bins of equal width behind the calibration error, as in Guo et al. 2017."""


def validate(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None, *, unknown: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Check the three arrays and return them as float64, the weights turned to ``(record, replicate)``.

    With ``unknown`` a label may also be NaN: not known.

    Raises:
        LeadwiseError: a shape or value is not allowed.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape or y.size == 0:
        raise LeadwiseError(
            f"labels and probabilities: received shapes {y.shape} and {p.shape}; allowed: the same (record, class)"
        )
    allowed = np.isin(y, (0, 1)) | (unknown & np.isnan(y))
    if not allowed.all():
        raise LeadwiseError(f"labels: received {y[~allowed][0]}; allowed: 0 and 1{', NaN where not known' * unknown}")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise LeadwiseError(f"probabilities: received {p[bad][0]} at row {np.argwhere(bad)[0][0]}; allowed: 0 to 1")
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.ndim not in (1, 2) or w.shape[-1] != len(y):
        raise LeadwiseError(f"weights: received shape {w.shape}; allowed: (..., {len(y)})")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise LeadwiseError("weights: received a negative or non-finite value; allowed: 0 or more")
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
            LeadwiseError: a shape or value is not allowed.
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
        raise LeadwiseError(f"thresholds: received {limits.tolist()}; allowed: one, or {p.shape[-1]}, from 0 to 1")
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


NO_LIMITS = GateLimits()


@dataclass(frozen=True)
class Metric:
    """What is known of one metric.

    Attributes:
        name: that of a class is logged as ``NAME/CLASS``.
        title: for people.
        measure: ``(..., class)``, or ``(...)`` if it is not one of each class.
        mean: name of the mean over the classes, or of the metric itself if it has none.
        higher_is_better: its direction; ``None``: it has none.
        range: least and largest value.
        per_class: whether each class has one.
        decides: whether it rests on thresholds; it is then reported at 0.5, and as ``chosen/...`` at those of fold 9.
        uncalibrated: whether calibration changes it; it is then reported as ``raw/...`` for the network's own, too.
        headline: stands in the tables of reports and is logged with its interval; rates are logged as chosen only.
        noisy: whether chance alone raises it, so that replicates are shifted to the value (``bootstrap.centred``).
        undefined: what a class lacks where it is NaN; empty: it has positives only, or none.
        classes_logged: where the tracking UI gets the value of each class.
        gate: what the promotion gate asks of it where a dataset says nothing else.
    """

    name: str
    title: str
    measure: Callable[[MetricInput], Floats]
    mean: str
    higher_is_better: bool | None = True
    range: tuple[float, float] = (0.0, 1.0)
    per_class: bool = True
    decides: bool = False
    uncalibrated: bool = False
    headline: bool = True
    noisy: bool = False
    undefined: str = ""
    classes_logged: Literal["always", "test", "never"] = "always"
    gate: GateLimits = NO_LIMITS

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Of its names: at 0.5 or without thresholds, with the chosen ones, and for uncalibrated probabilities."""
        return ("", *((CHOSEN,) if self.decides else ()), *((RAW,) if self.uncalibrated else ()))

    def key(self, label: str = "") -> str:
        """The name of its value for a class, or of the mean over them, without a prefix."""
        return f"{self.name}/{label}" if label else self.mean

    def reason(self, positives: int, records: int) -> str:
        """Why the value of a class with so many positives is NaN."""
        return f"{self.undefined or f'{positives} positives'} among {records} records"


METRICS: dict[str, Metric] = {}


def register(*metrics: Metric) -> None:
    """Add to ``METRICS``.

    Raises:
        LeadwiseError: a name is taken.
    """
    for metric in metrics:
        if metric.name in METRICS:
            raise LeadwiseError(
                f"metric: received a second {metric.name}; allowed: names other than {', '.join(METRICS)}"
            )
        METRICS[metric.name] = metric


def _rate(name: str, title: str, **more: Any) -> Metric:
    common: dict[str, Any] = {"decides": True, "headline": False, "classes_logged": "test"}
    return Metric(name, title, lambda rows: rows.rates[name], f"macro_{name}", **(common | more))


def _error(name: str, title: str, measure: Callable[[MetricInput], Floats], **more: Any) -> Metric:
    common: dict[str, Any] = {"higher_is_better": False, "uncalibrated": True, "classes_logged": "test"}
    return Metric(name, title, measure, name, **(common | more))


CHOSEN, RAW, FLOOR = "chosen/", "raw/", "floor/binary_accuracy"
_ACCURACY: dict[str, Any] = {"mean": "binary_accuracy", "decides": True, "classes_logged": "never"}
_FLOOR: dict[str, Any] = {"mean": FLOOR, "higher_is_better": None, "headline": False, "classes_logged": "never"}
register(
    Metric("auroc", "AUROC", lambda rows: rows.ranking[0], "macro_auroc"),
    Metric("auprc", "AUPRC", lambda rows: rows.ranking[1], "macro_auprc"),
    _error("brier", "Brier score", lambda rows: rows.mean(np.square(rows.p - rows.y))),
    _error("ece", "calibration error", lambda rows: rows.calibration_error, noisy=True),
    _error(
        "log_loss",
        "log loss",
        lambda rows: rows.mean(log_loss(rows.y, rows.p).mean(axis=1)),
        range=(0.0, math.inf),
        per_class=False,
        headline=False,
    ),
    Metric(FLOOR, "no-information rate", lambda rows: rows.mean(rows.y == 0), **_FLOOR),
    Metric("binary_accuracy", "accuracy", lambda rows: rows.mean(rows.said == rows.y), **_ACCURACY),
    Metric("f1", "F1", lambda rows: rows.f1, "macro_f1", decides=True),
    Metric(
        "subset_accuracy",
        "subset accuracy",
        lambda rows: rows.mean((rows.said == rows.y).all(axis=1)),
        "subset_accuracy",
        per_class=False,
        decides=True,
    ),
    _rate("sensitivity", "sensitivity"),
    _rate("specificity", "specificity"),
    _rate("ppv", "positive pred. value", undefined="none reported"),
    _rate("npv", "negative pred. value", undefined="all reported"),
    _rate("predicted_positive", "predicted-positive rate", higher_is_better=None, classes_logged="never"),
)


@dataclass(frozen=True)
class Named:
    """What a name of ``all_metrics`` stands for: a metric, a prefix, and a class, or none for the mean over them."""

    metric: Metric
    prefix: str
    label: str

    @property
    def title(self) -> str:
        """For the head of a table: ``macro F1, chosen``, ``AUROC, MI``."""
        text, mean = self.metric.title, "macro" if self.metric.mean.startswith("macro_") else "mean"
        if self.metric.per_class:
            text = f"{text}, {self.label}" if self.label else f"{mean} {text}"
        return f"{text}, {'chosen' if self.prefix else 'at 0.5'}" if self.metric.decides else text

    def is_logged(self, rows: str) -> bool:
        """Whether the tracking UI gets it for ``val/``, ``test/`` or ``test/labelled/``."""
        if self.metric.decides and not self.metric.headline and self.prefix != CHOSEN:
            return False
        if not self.label:
            return self.metric.higher_is_better is not None or self.metric.name == FLOOR
        wanted = self.metric.classes_logged
        return wanted == "always" or (wanted == "test" and rows == "test/" and self.prefix != RAW)


def metric_names(classes: Sequence[str] = SUPERCLASSES) -> dict[str, Named]:
    """Every name that ``all_metrics`` may give."""
    return {
        prefix + metric.key(label): Named(metric, prefix, label)
        for metric in METRICS.values()
        for prefix in metric.prefixes
        for label in ("", *(classes if metric.per_class else ()))
    }


def headline_names() -> dict[str, Named]:
    """The means that stand in the tables of reports."""
    return {name: of for name, of in metric_names(()).items() if of.metric.headline and of.prefix != RAW}


def all_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    thresholds: ArrayLike | None = None,
    raw: ArrayLike | None = None,
    classes: Sequence[str] = SUPERCLASSES,
    metrics: Iterable[Metric] | None = None,
) -> dict[str, Floats]:
    """Metrics by their names in the tracking UI, each ``()`` or ``(replicate,)``.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: same shape.
        weights: see the module.
        thresholds: one per class, chosen elsewhere; decisions with them are reported as ``chosen/...`` beside those
            at 0.5.
        raw: uncalibrated probabilities; what calibration changes is reported of them as ``raw/...``.
        classes: their names.
        metrics: which; all where they are not named.
    """
    rows = {"": MetricInput(labels, probabilities, weights=weights)}
    if thresholds is not None:
        rows[CHOSEN] = MetricInput(labels, probabilities, thresholds, weights)
    if raw is not None:
        rows[RAW] = MetricInput(labels, raw, weights=weights)
    found: dict[str, Floats] = {}
    for metric in METRICS.values() if metrics is None else metrics:
        for prefix in (one for one in metric.prefixes if one in rows):
            values = metric.measure(rows[prefix])
            found[prefix + metric.key()] = values.mean(axis=-1) if metric.per_class else values
            if metric.per_class:
                found |= {prefix + metric.key(label): values[..., k] for k, label in enumerate(classes)}
    return found


def metric_estimates(compute: Compute, weights: NDArray[np.int16] | None) -> dict[str, Estimate]:
    """What ``bootstrap.estimates`` gives; those that chance alone raises are centred."""
    names = metric_names()
    found = estimates(compute, weights)
    return {name: centred(one) if name in names and names[name].metric.noisy else one for name, one in found.items()}


def undefined_metrics(labels: ArrayLike, found: Mapping[str, Estimate]) -> dict[str, str]:
    """Why a metric that ``all_metrics`` found is NaN: metric name -> reason; empty if all are defined.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        found: estimates of what ``all_metrics`` gives for them.
    """
    y, _, _ = validate(labels, labels)
    positives = dict(zip(SUPERCLASSES, y.sum(axis=0).astype(int).tolist(), strict=True))
    reasons: dict[str, str] = {}
    for name, of in metric_names().items():
        if of.label and name in found and np.isnan(found[name].value):
            reason = f"{of.label} has {of.metric.reason(positives[of.label], len(y))}"
            reasons[name] = reasons[of.prefix + of.metric.mean] = reason
    return reasons
