"""Metrics where not every label is known: each class is measured on the recordings whose label for it is known.

The metrics are those of ``metric_registry``, of one class at a time, and beside them the line that would calibrate a
class (Cox 1958; Van Calster et al. 2019, BMC Medicine 17:230). A mean is over the classes that have enough recordings
with and without, and says which these are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import logit, sigmoid
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, centred, estimates
from leadwise.evaluation.metric_registry import CHOSEN, METRICS, all_metrics, metric_names
from leadwise.evaluation.metrics import Floats, MetricError, validate

FEWEST_KNOWN = 10
"""A class with fewer recordings that have it, or that are known not to, counts in no mean; its own figures stand."""

INTERCEPT, SLOPE, LOG_LOSS = "calibration_intercept", "calibration_slope", "log_loss"
TITLES: Mapping[str, str] = {
    **{(CHOSEN if metric.decides else "") + metric.name: metric.title for metric in METRICS.values()},
    INTERCEPT: "calibration intercept",
    SLOPE: "calibration slope",
    LOG_LOSS: "log loss",
}
"""What is measured of a class: ``NAME/CLASS`` -> title of NAME. Decisions are those of the served thresholds."""

STEEPEST, LARGEST_STEP, SMALL_STEP, MOST_STEPS = 20.0, 1.0, 1e-6, 50


@dataclass(frozen=True)
class KnownLabels:
    """How many recordings there are of a class.

    Attributes:
        present: that have it.
        absent: that are known not to have it.
        unknown: of which it is not known.
    """

    present: int
    absent: int
    unknown: int

    @property
    def is_enough(self) -> bool:
        """Whether the class may count in a mean."""
        return min(self.present, self.absent) >= FEWEST_KNOWN

    def __str__(self) -> str:
        return f"{self.present:,} / {self.absent:,} / {self.unknown:,}"


def known_labels(labels: ArrayLike, classes: Sequence[str] = SUPERCLASSES) -> dict[str, KnownLabels]:
    """Of every class how many recordings are known to have it, not to, and neither.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        classes: names of the classes.
    """
    y = np.asarray(labels, dtype=np.float64)
    return {
        name: KnownLabels(int((y[:, k] == 1).sum()), int((y[:, k] == 0).sum()), int(np.isnan(y[:, k]).sum()))
        for k, name in enumerate(classes)
    }


def cohort_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    thresholds: ArrayLike,
    classes: Sequence[str] = SUPERCLASSES,
) -> dict[str, Floats]:
    """Every metric of every class on the recordings whose label is known, each ``()`` or ``(replicate,)``.

    ``NAME/CLASS`` for the names in ``TITLES``; and for classes of which enough are known their mean, by the name that
    ``metric_registry`` has for it: ``macro_auroc``, ``ece``, ``chosen/macro_sensitivity``. A class of which nothing is
    known has no metric; one with one value only has NaN.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        probabilities: calibrated, same shape.
        weights: as in ``metrics``.
        thresholds: one per class, those that are served.
        classes: names of the classes.

    Raises:
        MetricError: a shape or value is not allowed.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    limits = np.asarray(thresholds, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape or y.shape[1] != len(classes) or limits.shape != (len(classes),):
        raise MetricError(
            f"labels, probabilities and thresholds: received shapes {y.shape}, {p.shape} and {limits.shape}; allowed: "
            f"(record, {len(classes)}) twice and ({len(classes)},)"
        )
    known = known_labels(y, classes)
    found: dict[str, Floats] = {}
    for k, name in enumerate(classes):
        rows = ~np.isnan(y[:, k])
        if rows.any():
            of_rows = None if weights is None else np.asarray(weights)[..., rows]
            found |= _of_class(y[rows, k], p[rows, k], of_rows, float(limits[k]), name)
    counted = [name for name in classes if known[name].is_enough]
    means = {
        (CHOSEN if metric.decides else "") + metric.name: (CHOSEN if metric.decides else "") + metric.mean
        for metric in METRICS.values()
        if metric.per_class
    } | {LOG_LOSS: LOG_LOSS}
    for of_class, mean in means.items() if counted else ():
        found[mean] = np.asarray(np.mean([found[f"{of_class}/{name}"] for name in counted], axis=0))
    return found


def _of_class(y: Floats, p: Floats, weights: NDArray[Any] | None, threshold: float, name: str) -> dict[str, Floats]:
    """Every metric of one class, ``(record,)`` labels and probabilities."""
    columns = y[:, np.newaxis], p[:, np.newaxis]
    found = all_metrics(*columns, weights, thresholds=[threshold], classes=[name])
    kept = {f"{metric}/{name}": found[f"{metric}/{name}"] for metric in TITLES if f"{metric}/{name}" in found}
    intercept, slope = calibration_line(y, p, weights)
    return kept | {f"{LOG_LOSS}/{name}": found["log_loss"], f"{INTERCEPT}/{name}": intercept, f"{SLOPE}/{name}": slope}


def calibration_line(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Intercept and slope of a class, each ``()`` or ``(replicate,)``; of perfect calibration 0 and 1.

    The intercept is calibration in the large, at a slope of 1: what has to be added to all logits so that as many are
    expected as there are. The slope is that of a logistic regression of the labels on the logits, below 1 where the
    model is too certain. NaN where one value only is there, or the labels are separated.

    Args:
        labels: ``(record,)`` of 0 and 1.
        probabilities: ``(record,)``.
        weights: as in ``metrics``.
    """
    column = np.asarray(labels, dtype=np.float64)[:, np.newaxis]
    y, p, w = validate(column, np.asarray(probabilities, dtype=np.float64)[:, np.newaxis], weights)
    z = logit(p)
    both = ((w * y).sum(axis=0) > 0) & ((w * (1 - y)).sum(axis=0) > 0)
    zero, one = np.zeros(w.shape[1]), np.ones(w.shape[1])
    intercept, _ = _newton(z, y, w, zero, one, free_slope=False)
    _, slope = _newton(z, y, w, intercept, one, free_slope=True)
    found = [
        np.where(both & np.isfinite(values) & (np.abs(values) < STEEPEST), values, np.nan)
        for values in (intercept, slope)
    ]
    replicated = weights is not None and np.ndim(weights) == 2
    return (found[0], found[1]) if replicated else (found[0][0], found[1][0])


def _newton(
    z: Floats, y: Floats, w: Floats, intercept: Floats, slope: Floats, *, free_slope: bool
) -> tuple[Floats, Floats]:
    """Largest likelihood, each replicate ``(replicate,)`` by itself; the slope moves only where it is free."""
    for _ in range(MOST_STEPS):
        p = sigmoid(z * slope + intercept)
        error, spread = w * (p - y), w * p * (1 - p)
        by_intercept, bb = error.sum(axis=0), spread.sum(axis=0) + SMALL_STEP**2
        if free_slope:
            by_slope, ab, aa = (z * error).sum(axis=0), (z * spread).sum(axis=0), (z**2 * spread).sum(axis=0)
            determinant = aa * bb - ab**2 + SMALL_STEP**2
            steps = np.stack([(aa * by_intercept - ab * by_slope), (bb * by_slope - ab * by_intercept)]) / determinant
        else:
            steps = np.stack([by_intercept / bb, np.zeros_like(by_intercept)])
        # A full step from far off may overshoot; within this length the curvature is about the same.
        steps *= np.minimum(1, LARGEST_STEP / np.maximum(np.abs(steps).max(axis=0), SMALL_STEP))
        intercept, slope = intercept - steps[0], slope - steps[1]
        if np.abs(steps).max() < SMALL_STEP:
            break
    return intercept, slope


def cohort_estimates(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: NDArray[np.int16] | None,
    *,
    thresholds: ArrayLike,
    classes: Sequence[str] = SUPERCLASSES,
) -> dict[str, Estimate]:
    """The same with what they are when patients are drawn anew.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        probabilities: calibrated, same shape.
        weights: what ``bootstrap.patient_weights`` drew; ``None``: values without intervals.
        thresholds: one per class, those that are served.
        classes: names of the classes.
    """
    found = estimates(partial(cohort_metrics, labels, probabilities, thresholds=thresholds, classes=classes), weights)
    names = metric_names(classes)
    return {name: centred(one) if name in names and names[name].metric.noisy else one for name, one in found.items()}
