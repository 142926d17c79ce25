"""95 % intervals by resampling patients: records of one patient are not independent, so they are drawn together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
REPLICATES_AT_ONCE = 250


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval (Efron and Tibshirani 1993).

    Attributes:
        low: lower bound; NaN if no replicate defines the metric.
        high: upper bound.
        replicates: replicates that define the metric; the others, where a class has lost its positives, are left out.
    """

    low: float
    high: float
    replicates: int

    def bounds(self) -> list[float | None]:
        """For JSON: low and high, each ``None`` where undefined."""
        return [value if np.isfinite(value) else None for value in (self.low, self.high)]


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


def bootstrap_replicates(
    metrics: Callable[[NDArray[np.int16]], Mapping[str, NDArray[np.float64]]], weights: NDArray[np.int16]
) -> dict[str, NDArray[np.float64]]:
    """Every metric on every replicate, name -> ``(replicate,)``; NaN where a replicate leaves it undefined.

    Args:
        metrics: weights -> name -> ``(replicate,)``, such as ``metric_registry.all_metrics`` on fixed rows.
        weights: what ``patient_weights`` drew.
    """
    blocks = [
        metrics(weights[start : start + REPLICATES_AT_ONCE]) for start in range(0, len(weights), REPLICATES_AT_ONCE)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def bootstrap_intervals(
    metrics: Callable[[NDArray[np.int16]], Mapping[str, NDArray[np.float64]]], weights: NDArray[np.int16]
) -> dict[str, Interval]:
    """Intervals of every metric; see ``bootstrap_replicates``."""
    return {name: percentile_interval(values) for name, values in bootstrap_replicates(metrics, weights).items()}


def centred(replicates: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Replicates shifted so that their mean is the value on all rows, none below 0.

    For a calibration error: it is a mean of absolute differences, so that chance alone raises it, and drawing records
    with replacement adds as much chance again. Unshifted, the interval lies above the very value that it is of.
    """
    if not np.isfinite(replicates).any():
        return replicates
    return np.maximum(replicates - np.nanmean(replicates) + value, 0.0)


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """The interval between the percentiles of ``(replicate,)`` values; NaN ones are left out."""
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        return Interval(np.nan, np.nan, 0)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(defined))
