"""All metrics: what each is called, its direction and range, whether each class has one, and why it may be undefined.

Whoever needs all metrics iterates over ``METRICS``: one that is registered there is computed, given an interval, logged
and shown in the reports, and the promotion gate asks for it where it has limits. The functions are those of
``metrics``, with its shapes.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.base import GateLimits
from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.metrics import Floats, MetricError, MetricInput, log_loss, validate

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

    def reason(self, positives: int, records: int) -> str:
        """Why the value of a class with so many positives is NaN."""
        return f"{self.undefined or f'{positives} positives'} among {records} records"


METRICS: dict[str, Metric] = {}


def register(*metrics: Metric) -> None:
    """Add to ``METRICS``.

    Raises:
        MetricError: a name is taken.
    """
    for metric in metrics:
        if metric.name in METRICS:
            raise MetricError(
                f"metric: received a second {metric.name}; allowed: names other than {', '.join(METRICS)}"
            )
        METRICS[metric.name] = metric


def _rate(name: str, title: str, **more: Any) -> Metric:
    common: dict[str, Any] = {"decides": True, "headline": False, "classes_logged": "test"}
    return Metric(name, title, lambda rows: rows.rates[name], f"macro_{name}", **(common | more))


def _error(name: str, title: str, measure: Callable[[MetricInput], Floats], **more: Any) -> Metric:
    common: dict[str, Any] = {"higher_is_better": False, "uncalibrated": True, "classes_logged": "test"}
    return Metric(name, title, measure, name, **(common | more))


def _log_loss(rows: MetricInput) -> Floats:
    return rows.mean(log_loss(rows.y, rows.p).mean(axis=1))


CHOSEN, RAW, FLOOR = "chosen/", "raw/", "floor/binary_accuracy"
_ACCURACY: dict[str, Any] = {"mean": "binary_accuracy", "decides": True, "classes_logged": "never"}
_FLOOR: dict[str, Any] = {"mean": FLOOR, "higher_is_better": None, "headline": False, "classes_logged": "never"}
register(
    Metric("auroc", "AUROC", lambda rows: rows.ranking[0], "macro_auroc"),
    Metric("auprc", "AUPRC", lambda rows: rows.ranking[1], "macro_auprc"),
    _error("brier", "Brier score", lambda rows: rows.mean(np.square(rows.p - rows.y))),
    _error("ece", "calibration error", lambda rows: rows.calibration_error, noisy=True),
    _error("log_loss", "log loss", _log_loss, range=(0.0, math.inf), per_class=False, headline=False),
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
        """For the head of a table."""
        title, mean = self.metric.title, "macro" if self.metric.mean.startswith("macro_") else "mean"
        text = f"{mean} {title}" if self.metric.per_class and not self.label else title
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
        prefix + (f"{metric.name}/{label}" if label else metric.mean): Named(metric, prefix, label)
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
) -> dict[str, Floats]:
    """Every metric by its name in the tracking UI, each ``()`` or ``(replicate,)``.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: same shape.
        weights: see the module.
        thresholds: one per class, chosen elsewhere; decisions with them are reported as ``chosen/...`` beside those
            at 0.5.
        raw: uncalibrated probabilities; what calibration changes is reported of them as ``raw/...``.
        classes: their names.
    """
    rows = {"": MetricInput(labels, probabilities, weights=weights)}
    if thresholds is not None:
        rows[CHOSEN] = MetricInput(labels, probabilities, thresholds, weights)
    if raw is not None:
        rows[RAW] = MetricInput(labels, raw, weights=weights)
    found: dict[str, Floats] = {}
    for metric in METRICS.values():
        for prefix in (one for one in metric.prefixes if one in rows):
            values = metric.measure(rows[prefix])
            found[prefix + metric.mean] = values.mean(axis=-1) if metric.per_class else values
            if metric.per_class:
                found |= {f"{prefix}{metric.name}/{label}": values[..., k] for k, label in enumerate(classes)}
    return found


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


def logged_metrics(names: Iterable[str]) -> list[str]:
    """Those of the names ``val/...``, ``test/...`` and ``test/labelled/...`` of metrics that go to the tracking UI."""
    known = metric_names()
    kept = []
    for name in names:
        rows = next(prefix for prefix in ("test/labelled/", "test/", "val/") if name.startswith(prefix))
        if known[name.removeprefix(rows)].is_logged(rows):
            kept.append(name)
    return kept
