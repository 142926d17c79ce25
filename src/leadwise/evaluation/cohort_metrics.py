"""Metrics where not every label is known: each class is measured on the recordings whose label for it is known.

The metrics are those of ``metrics``, of one class at a time, and beside them the line that would calibrate a
class (Cox 1958; Van Calster et al. 2019, BMC Medicine 17:230). A mean is over the classes that have enough recordings
with and without, and says which these are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.decision import Policy, logit
from leadwise.evaluation.bootstrap import Estimate, patient_weights
from leadwise.evaluation.calibration import newton_lines
from leadwise.evaluation.metrics import CHOSEN, METRICS, Floats, all_metrics, metric_estimates, validate

FEWEST_KNOWN = 10
"""A class with fewer recordings that have it, or that are known not to, counts in no mean; its own figures stand."""

INTERCEPT, SLOPE, LOG_LOSS = "calibration_intercept", "calibration_slope", "log_loss"
_PREFIXES = {metric.name: CHOSEN if metric.decides else "" for metric in METRICS.values()}
MEANS: Mapping[str, str] = {
    _PREFIXES[name] + name: _PREFIXES[name] + metric.mean for name, metric in METRICS.items() if metric.per_class
} | {LOG_LOSS: LOG_LOSS}
"""Of what is measured of a class the name of the mean."""
TITLES: Mapping[str, str] = {_PREFIXES[name] + name: metric.title for name, metric in METRICS.items()} | {
    INTERCEPT: "calibration intercept",
    SLOPE: "calibration slope",
}
"""What is measured of a class: ``NAME/CLASS`` -> title of NAME. Decisions are those of the served thresholds."""

STEEPEST = 20.0
"""A slope or an intercept beyond this is none: labels are all but separated."""
HELD = 1e12
"""Weight of a prior that keeps a slope where it is."""


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


def known_labels(labels: ArrayLike) -> dict[str, KnownLabels]:
    """Of every class how many recordings ``(record, class)`` are known to have it, not to (0), and neither (NaN)."""
    y = np.asarray(labels, dtype=np.float64)
    counts = zip(*((found.sum(axis=0).tolist()) for found in (y == 1, y == 0, np.isnan(y))), strict=True)
    return {name: KnownLabels(*count) for name, count in zip(SUPERCLASSES, counts, strict=True)}


def cohort_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    thresholds: ArrayLike,
) -> dict[str, Floats]:
    """Every metric of every class on the recordings whose label is known, each ``()`` or ``(replicate,)``.

    ``NAME/CLASS`` for the names in ``TITLES``; and for classes of which enough are known their mean, by the name that
    ``metrics`` has for it: ``macro_auroc``, ``ece``, ``chosen/macro_sensitivity``. A class of which nothing is
    known has no metric; one with one value only has NaN.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        probabilities: calibrated, same shape.
        weights: as in ``metrics``.
        thresholds: one per class, those that are served.

    Raises:
        LeadwiseError: a shape or value is not allowed.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    limits = np.asarray(thresholds, dtype=np.float64)
    classes = len(SUPERCLASSES)
    if y.ndim != 2 or y.shape != p.shape or y.shape[1] != classes or limits.shape != (classes,):
        raise LeadwiseError(
            f"labels, probabilities and thresholds: received shapes {y.shape}, {p.shape} and {limits.shape}; allowed: "
            f"(record, {classes}) twice and ({classes},)"
        )
    found: dict[str, Floats] = {}
    for k, name in enumerate(SUPERCLASSES):
        rows = ~np.isnan(y[:, k])
        if rows.any():
            of_rows = None if weights is None else np.asarray(weights)[..., rows]
            found |= _of_class(y[rows, k], p[rows, k], of_rows, float(limits[k]), name)
    counted = [name for name, known in known_labels(y).items() if known.is_enough]
    for of_class, mean in MEANS.items() if counted else ():
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
    y, p, w = validate(np.reshape(labels, (-1, 1)), np.reshape(probabilities, (-1, 1)), weights)
    both = ((w * y).sum(axis=0) > 0) & ((w * (1 - y)).sum(axis=0) > 0)
    _, intercept, of_intercept = newton_lines(y, logit(p), w, slope_weight=HELD)
    slope, _, of_slope = newton_lines(y, logit(p), w, start=np.where(of_intercept, 0, intercept))
    found = [
        np.where(both & ~moving & (np.abs(values) < STEEPEST), values, np.nan)
        for values, moving in ((intercept, of_intercept), (slope, of_slope))
    ]
    replicated = weights is not None and np.ndim(weights) == 2
    return (found[0], found[1]) if replicated else (found[0][0], found[1][0])


def cohort_estimates(
    labels: ArrayLike, probabilities: ArrayLike, weights: NDArray[np.int16] | None, *, thresholds: ArrayLike
) -> dict[str, Estimate]:
    """``cohort_metrics`` with what they are when patients are drawn anew.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        probabilities: calibrated, same shape.
        weights: what ``bootstrap.patient_weights`` drew; ``None``: values without intervals.
        thresholds: one per class, those that are served.
    """
    return metric_estimates(partial(cohort_metrics, labels, probabilities, thresholds=thresholds), weights)


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        probabilities: ``(record, class)``.
        policies: by name; the other side has the same names.
    """

    probabilities: Floats
    policies: Mapping[str, Policy]


@dataclass(frozen=True)
class Compared:
    """Figures of both; replicates are of the same patients.

    Attributes:
        before: policy -> what ``cohort_metrics`` measures with its thresholds.
        after: the same.
        known: class -> how many labels are known.
    """

    before: Mapping[str, Mapping[str, Estimate]]
    after: Mapping[str, Mapping[str, Estimate]]
    known: Mapping[str, KnownLabels]

    @property
    def measured(self) -> list[str]:
        """Classes of which enough labels are known."""
        return [name for name, labels in self.known.items() if labels.is_enough]

    def pair(self, name: str, policy: str = "") -> tuple[Estimate, Estimate]:
        """Before and after; where thresholds do not matter, of any policy."""
        chosen = policy or next(iter(self.before))
        return self.before[chosen][name], self.after[chosen][name]

    def difference(self, name: str) -> Estimate:
        """After minus before."""
        before, after = self.pair(name)
        return after - before

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        sides = {"before": self.before, "after": self.after}
        return {
            side: {policy: {name: one.to_dict() for name, one in found.items()} for policy, found in figures.items()}
            for side, figures in sides.items()
        }


def compare(
    labels: ArrayLike, before: Side, after: Side, patients: ArrayLike, *, replicates: int, seed: int
) -> Compared:
    """Every figure of both with every policy, bootstrapped by patient.

    Args:
        labels: ``(record, class)`` of 0, 1 and NaN where it is not known.
        before: one.
        after: the other.
        patients: ``(record,)``, drawn together.
        replicates: of the bootstrap; 0: values alone.
        seed: of it.

    Raises:
        LeadwiseError: a shape or value is not allowed.
    """
    weights = patient_weights(patients, replicates, seed) if replicates else None

    def figures(side: Side) -> dict[str, dict[str, Estimate]]:
        return {
            name: cohort_estimates(labels, side.probabilities, weights, thresholds=policy.limits())
            for name, policy in side.policies.items()
        }

    return Compared(figures(before), figures(after), known_labels(labels))
