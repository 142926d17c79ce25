"""95 % intervals by resampling patients: records of one patient are not independent, so they are drawn together."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
REPLICATES_AT_ONCE = 250

Compute = Callable[[NDArray[np.int16] | None], Mapping[str, NDArray[np.float64]]]
"""Weights to metrics by name: of weights ``(replicate, record)`` each ``(replicate,)``, of none each ``()``."""


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval (Efron and Tibshirani 1993).

    Attributes:
        low: lower bound; NaN if no replicate defines the metric.
        high: upper bound.
    """

    low: float
    high: float

    def bounds(self) -> list[float | None]:
        """For JSON: low and high, each ``None`` where undefined."""
        return [value if np.isfinite(value) else None for value in (self.low, self.high)]


@dataclass(frozen=True)
class Estimate:
    """A number and what it is when patients are drawn anew.

    Attributes:
        value: on all records once each; NaN where undefined.
        replicates: ``(replicate,)``, in the order of ``patient_weights``; empty where nothing was drawn.
    """

    value: float
    replicates: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)

    @cached_property
    def interval(self) -> Interval:
        """The 95 % percentile interval; NaN without replicates."""
        return percentile_interval(self.replicates)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.replicates - other.replicates)

    def to_dict(self) -> dict[str, Any]:
        """``value`` and ``interval``; ``null`` where undefined."""
        return {"value": finite(self.value), "interval": self.interval.bounds()}


def finite(value: float) -> float | None:
    """A number for JSON; ``None`` where it is undefined."""
    return float(value) if math.isfinite(value) else None


def values_and_intervals(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """For JSON: values under ``metrics``, and under ``intervals`` those of what has replicates."""
    intervals = {name: one.interval.bounds() for name, one in found.items() if len(one.replicates)}
    return {"metrics": {name: finite(one.value) for name, one in found.items()}, "intervals": intervals}


def with_bounds(found: Mapping[str, Estimate], names: Iterable[str]) -> dict[str, float]:
    """For a tracking server: ``NAME_low`` and ``NAME_high`` of the names that are there, ends of their intervals."""
    return {
        f"{name}_{end}": getattr(found[name].interval, end)
        for name in names
        if name in found
        for end in ("low", "high")
    }


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of at least one estimate, replicate by replicate."""
    values = float(np.mean([estimate.value for estimate in estimates]))
    return Estimate(values, np.mean([estimate.replicates for estimate in estimates], axis=0))


def patient_weights(patients: ArrayLike, replicates: int, seed: int) -> NDArray[np.int16]:
    """Draw as many patients as there are, with replacement, once per replicate.

    The draw depends on the patients and the seed only, so two models on the same rows are compared replicate by
    replicate.

    Args:
        patients: ``(record,)``, the patient of each record.

    Returns:
        ``(replicates, record)``: how often each record counts.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    count = int(patient.max()) + 1
    generator = np.random.default_rng(seed)
    weights = np.empty((replicates, len(patient)), dtype=np.int16)
    for replicate in range(replicates):
        weights[replicate] = np.bincount(generator.integers(count, size=count), minlength=count)[patient]
    return weights


def estimates(compute: Compute, weights: NDArray[np.int16] | None) -> dict[str, Estimate]:
    """Every metric with its replicates; NaN where a replicate leaves it undefined.

    Args:
        compute: such as ``metrics.all_metrics`` on fixed rows.
        weights: what ``patient_weights`` drew; ``None``: values without replicates.
    """
    values = {name: float(value) for name, value in compute(None).items()}
    if weights is None:
        return {name: Estimate(value) for name, value in values.items()}
    starts = range(0, len(weights), REPLICATES_AT_ONCE)
    blocks = [compute(weights[start : start + REPLICATES_AT_ONCE]) for start in starts]
    return {name: Estimate(value, np.concatenate([block[name] for block in blocks])) for name, value in values.items()}


def centred(estimate: Estimate) -> Estimate:
    """Replicates shifted so that their mean is the value on all rows, none below 0.

    For a calibration error: it is a mean of absolute differences, so that chance alone raises it, and drawing records
    with replacement adds as much chance again. Unshifted, the interval lies above the very value that it is of.
    """
    if not np.isfinite(estimate.replicates).any():
        return estimate
    shift = estimate.value - np.nanmean(estimate.replicates)
    return Estimate(estimate.value, np.maximum(estimate.replicates + shift, 0.0))


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """The interval between the percentiles of ``(replicate,)`` values; NaN ones, without positives, are left out."""
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
