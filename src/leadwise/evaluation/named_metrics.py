"""Every metric of ``metrics`` under its name in the tracking UI, and why one of them is undefined."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import (
    DEFAULT_THRESHOLD,
    Floats,
    all_zero_accuracy,
    binary_accuracy,
    brier,
    calibration_error,
    decision_rates,
    exact_match,
    f1,
    ranking,
    validate,
)

CHOSEN = "chosen/"
"""Prefix of what rests on the thresholds that were chosen on fold 9; without it decisions are at 0.5."""

_COUNTED = {"ppv": "no alarm", "npv": "no silence"}
"""What a predictive value lacks where it is undefined; everything else lacks positives or negatives."""


def all_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    thresholds: ArrayLike | None = None,
    classes: Sequence[str] = SUPERCLASSES,
) -> dict[str, Floats]:
    """Every metric by its name in the tracking UI, each ``()`` or ``(replicate,)``.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: same shape.
        weights: as in ``metrics``.
        thresholds: one per class, chosen elsewhere; decisions with them are reported as ``chosen/...`` beside those
            at 0.5.
        classes: their names.
    """
    area, precision = ranking(labels, probabilities, weights)
    found = {"macro_auroc": area.mean(axis=-1), "macro_auprc": precision.mean(axis=-1)}
    found |= _named("auroc", area, classes) | _named("auprc", precision, classes)
    for name, measure in (("brier", brier), ("ece", calibration_error)):
        per_class = measure(labels, probabilities, weights)
        found[name] = per_class.mean(axis=-1)
        found |= _named(name, per_class, classes)
    floor = all_zero_accuracy(labels, weights)
    found["floor/binary_accuracy"] = floor.mean(axis=-1)
    found |= _named("floor/binary_accuracy", floor, classes)
    found |= _decision_metrics("", labels, probabilities, DEFAULT_THRESHOLD, weights, classes)
    if thresholds is not None:
        found |= _decision_metrics(CHOSEN, labels, probabilities, thresholds, weights, classes)
    return found


def _decision_metrics(
    prefix: str,
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike,
    weights: ArrayLike | None,
    classes: Sequence[str],
) -> dict[str, Floats]:
    scores = f1(labels, probabilities, thresholds, weights)
    accuracies = binary_accuracy(labels, probabilities, thresholds, weights)
    found = {
        "binary_accuracy": accuracies.mean(axis=-1),
        "macro_f1": scores.mean(axis=-1),
        "exact_match": exact_match(labels, probabilities, thresholds, weights),
        **_named("binary_accuracy", accuracies, classes),
        **_named("f1", scores, classes),
    }
    for name, rate in decision_rates(labels, probabilities, thresholds, weights).items():
        found[f"macro_{name}"] = rate.mean(axis=-1)
        found |= _named(name, rate, classes)
    return {prefix + name: values for name, values in found.items()}


def undefined_metrics(
    labels: ArrayLike, found: Mapping[str, Floats], *, classes: Sequence[str] = SUPERCLASSES
) -> dict[str, str]:
    """Why a metric that ``all_metrics`` found is NaN: metric name -> reason; empty if all are defined.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        found: what ``all_metrics`` gave for them, without replicates.
        classes: names of the classes.
    """
    y, _, _ = validate(labels, labels)
    reasons: dict[str, str] = {}
    for k, label in enumerate(classes):
        for metric in (name for name, value in found.items() if name.endswith(f"/{label}") and np.isnan(value)):
            prefix, kind = metric.removesuffix(f"/{label}").rpartition("/")[::2]
            counted = _COUNTED.get(kind, f"{int(y[:, k].sum())} positives")
            macro = f"{prefix}/macro_{kind}".removeprefix("/")
            reasons[metric] = reasons[macro] = f"{label} has {counted} among {len(y)} records"
    return reasons


def _named(metric: str, per_class: Floats, classes: Sequence[str]) -> dict[str, Floats]:
    return {f"{metric}/{name}": per_class[..., k] for k, name in enumerate(classes)}
