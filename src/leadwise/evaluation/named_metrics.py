"""Every metric of ``metrics`` under its name in the tracking UI, and why one of them is undefined."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


_CLASS = "|".join(SUPERCLASSES)
_RATES = "sensitivity|specificity|ppv|npv"
_LEFT_OUT = tuple(
    re.compile(pattern)
    for pattern in (
        # Rates at 0.5, and shares of alarms: what is used are the chosen thresholds.
        rf"(val|test|test/labelled)/(macro_)?({_RATES}|alarms)(/.*)?",
        r"test/(labelled/)?chosen/(macro_)?alarms(/.*)?",
        rf"test/labelled/chosen/({_RATES})/.*",
        rf".*(binary_accuracy|raw/brier|raw/ece)/({_CLASS})",
        rf"(val|test/labelled)/(brier|ece)/({_CLASS})",
        # Every policy is in policies.json; charts get what the target costs, and one number for "uncertain".
        rf"test/decision/(?!target_sensitivity/({_RATES})/)(?!\w+/aurc/record).*",
        r"test/subgroup/.*/records",
        r"val/statements/.*",
        r"test/statements/(entering|auprc)/.*",
    )
)


def logged(names: Iterable[str]) -> list[str]:
    """Those of the names that go to the tracking UI."""
    return [name for name in names if not any(pattern.fullmatch(name) for pattern in _LEFT_OUT)]


FOLD_10_ROWS: Mapping[str, tuple[int, ...]] = {"1.0.1": (2203, 2198), "1.0.2": (2198,), "1.0.3": (2198,)}
"""Rows of fold 10 by release, all of them; release 1.0.1 without the records that 1.0.2 dropped as well."""


@dataclass(frozen=True)
class Published:
    """One published macro AUROC over the five superclasses on fold 10.

    Attributes:
        macro_auroc: as published.
        model: what it is of.
    """

    macro_auroc: float
    model: str


MACRO_AUROC: tuple[Published, ...] = (
    Published(0.9347, "ECGFounder, pretrained on ten million ECGs and fine-tuned"),
    Published(0.9336, "ECG-CPC, pretrained and fine-tuned"),
    Published(0.9320, "S4, from scratch"),
    Published(0.930, "resnet1d_wang, from scratch (Strodthoff et al. 2021, doi:10.1109/JBHI.2020.3022989)"),
    Published(0.928, "xresnet1d101, from scratch (the same)"),
)
"""Figures with checkpoints or thresholds picked on fold 10 itself, or on a part of its rows, are left out."""

STATEMENTS_MACRO_AUROC = (0.925, 0.942)
"""Over all 71 statements."""


def comparable(manifest: Mapping[str, Any], rows: Mapping[str, int]) -> bool:
    """Whether an evaluation is on all rows of fold 10 of a release of PTB-XL."""
    return not manifest["simulated"] and rows["test"] in FOLD_10_ROWS.get(manifest["release"], ())


def published_line() -> str:
    """The published figures in one sentence."""
    figures = "; ".join(f"{one.macro_auroc:g} {one.model}" for one in MACRO_AUROC)
    return f"Published on fold 10, macro AUROC: {figures}."
