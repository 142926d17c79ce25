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


def bootstrap_intervals(
    metrics: Callable[[NDArray[np.int16]], Mapping[str, NDArray[np.float64]]], weights: NDArray[np.int16]
) -> dict[str, Interval]:
    """Intervals of every metric that ``metrics`` computes from ``(replicate, record)`` weights.

    Args:
        metrics: weights -> name -> ``(replicate,)``, such as ``metrics.all_metrics`` on fixed rows.
        weights: what ``patient_weights`` drew.
    """
    blocks = [
        metrics(weights[start : start + REPLICATES_AT_ONCE]) for start in range(0, len(weights), REPLICATES_AT_ONCE)
    ]
    return {name: _interval(np.concatenate([block[name] for block in blocks])) for name in blocks[0]}


def _interval(values: NDArray[np.float64]) -> Interval:
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        return Interval(np.nan, np.nan, 0)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(defined))
