"""Figures of an evaluation. Each function returns a Figure of its own; nothing is shown, nothing global is touched."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.evaluation.metrics import (
    DEFAULT_THRESHOLD,
    Floats,
    auroc,
    average_precision,
    calibration_error,
    confusion_matrices,
)
from leadwise.evaluation.thresholds import RECORD, CoverageRisk, coverage_risk
from leadwise.policies import Band, is_uncertain
from leadwise.reports.figure_style import CLASS_COLOURS, FAINT, INK, blank, headline, tidy

_LINE_STYLES = ("solid", (0, (6, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (2, 1)), (0, (8, 1.5, 1, 1.5, 1, 1.5)))


def roc_figure(labels: ArrayLike, probabilities: ArrayLike, *, title: str = "") -> Figure:
    """ROC curves of the five classes, with the AUROC of each in the legend.

    Args:
        labels: ``(record, class)`` of 0 and 1; a class with one value only is named in the legend, without a curve.
        probabilities: same shape.
    """
    from sklearn.metrics import roc_curve

    y, p = np.asarray(labels), np.asarray(probabilities)
    figure, axes = _square(title or "ROC curves", "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
    for k, area in enumerate(auroc(y, p)):
        curve = (np.nan, np.nan) if np.isnan(area) else roc_curve(y[:, k], p[:, k])[:2]
        _class_line(axes, k, *curve, text=f"AUROC {area:.3f}")
    return _with_legend(figure, axes, "lower right")


def pr_figure(labels: ArrayLike, probabilities: ArrayLike, *, title: str = "") -> Figure:
    """Precision-recall curves of the five classes; a tick at the right edge marks the prevalence, the floor of each."""
    from sklearn.metrics import precision_recall_curve

    y, p = np.asarray(labels), np.asarray(probabilities)
    figure, axes = _square(title or "Precision-recall curves", "recall (sensitivity)", "precision")
    for k, area in enumerate(average_precision(y, p)):
        if np.isnan(area):
            _class_line(axes, k, np.nan, np.nan, text="")
        else:
            precision, recall, _ = precision_recall_curve(y[:, k], p[:, k])
            # scikit-learn ends the curve with a point at precision 1 that no threshold gives.
            precision = np.append(precision[:-1], precision[-2])
            _class_line(axes, k, recall, precision, text=f"AP {area:.3f}", steps=True)
        colour = CLASS_COLOURS[SUPERCLASSES[k]]
        axes.plot([1.0, 1.025], [y[:, k].mean()] * 2, color=colour, linewidth=2.5, clip_on=False, zorder=4)
    axes.text(1.04, 0.005, "prevalence", rotation=90, va="bottom", fontsize=8, color=INK)
    return _with_legend(figure, axes, "lower left")


def reliability_figure(
    labels: ArrayLike, raw: ArrayLike, calibrated: ArrayLike, *, bins: int = 10, title: str = ""
) -> Figure:
    """Observed share against predicted probability, all classes pooled, before and after temperature scaling.

    Bins hold equal numbers of pairs; bars are 95 % Wilson intervals. Below: how the probabilities are spread.
    """
    y = np.asarray(labels, dtype=float)
    figure = blank(6.0, 6.8)
    upper, lower = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    tidy(upper, "", "observed share", title=title or "Reliability")
    tidy(lower, "predicted probability", "pairs")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=1)
    for p, name, colour, marker in (
        (np.asarray(raw, dtype=float), "raw", "#999999", "s"),
        (np.asarray(calibrated, dtype=float), "calibrated", "#0072B2", "o"),
    ):
        predicted, observed, low, high = _reliability(y.ravel(), p.ravel(), bins)
        bars = np.abs(np.stack([low, high]) - observed)
        label = f"{name}, ECE {calibration_error(y, p).mean():.3f}"
        upper.errorbar(
            predicted, observed, bars, color=colour, marker=marker, markersize=5, linewidth=1.5, capsize=2, label=label
        )
        lower.hist(p.ravel(), bins=np.linspace(0, 1, 41).tolist(), histtype="step", color=colour, linewidth=1.4)
    lower.set_yscale("log")
    upper.legend(frameon=False, loc="upper left", fontsize=9, labelcolor=INK)
    return figure


def confusion_figure(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike = DEFAULT_THRESHOLD, *, title: str = ""
) -> Figure:
    """Five 2 x 2 confusion matrices: counts, and shares of each true class as shading."""
    matrices = confusion_matrices(labels, probabilities, thresholds)
    limits = np.broadcast_to(np.asarray(thresholds, dtype=float), len(SUPERCLASSES))
    figure = blank(12.5, 3.3)
    for k, axes in enumerate(figure.subplots(1, len(SUPERCLASSES))):
        _confusion(axes, matrices[k], SUPERCLASSES[k], limits[k], first=k == 0)
    headline(figure, title or "Confusion matrices")
    return figure


def _confusion(axes: Axes, matrix: NDArray[np.int64], name: str, threshold: float, *, first: bool) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for truth, said in np.ndindex(2, 2):
        colour = "white" if shares[truth, said] > 0.6 else INK
        axes.text(said, truth - 0.07, f"{matrix[truth, said]:,}", ha="center", va="center", fontsize=13, color=colour)
        axes.text(
            said, truth + 0.22, f"{shares[truth, said]:.1%}", ha="center", va="center", fontsize=8.5, color=colour
        )
    axes.set_xticks([0, 1], [f"no {name}", name], fontsize=9, color=INK)
    axes.set_yticks([0, 1], [f"no {name}", name], fontsize=9, color=INK, rotation=90, va="center")
    axes.set_xlabel(f"decision (at {threshold:.3f})", fontsize=9, color=INK)
    axes.set_ylabel("truth" if first else "", fontsize=9, color=INK)
    axes.set_title(f"{name}: {SUPERCLASS_NAMES[name]}", fontsize=9.5, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _reliability(y: Floats, p: Floats, bins: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean prediction and observed share of each bin, with the bounds of the 95 % Wilson interval."""
    groups = [group for group in np.array_split(np.argsort(p, kind="stable"), bins) if len(group)]
    n = np.array([len(group) for group in groups])
    predicted = np.array([p[group].mean() for group in groups])
    observed = np.array([y[group].mean() for group in groups])
    z = 1.96
    centre = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2))
    return predicted, observed, np.minimum(centre - half, observed), np.maximum(centre + half, observed)


def _class_line(axes: Axes, k: int, x: ArrayLike, y: ArrayLike, *, text: str, steps: bool = False) -> None:
    name = SUPERCLASSES[k]
    axes.plot(
        x,
        y,
        color=CLASS_COLOURS[name],
        linestyle=_LINE_STYLES[k],
        linewidth=1.8,
        drawstyle="steps-post" if steps else "default",
        label=f"{name}  {text}" if np.ndim(x) else f"{name}  undefined: one value only",
        zorder=3,
    )


def _square(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = blank(6.0, 6.0)
    axes = figure.subplots()
    tidy(axes, x_label, y_label, title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    return figure, axes


def _with_legend(figure: Figure, axes: Axes, corner: Literal["lower left", "lower right"]) -> Figure:
    axes.legend(
        loc=corner, fontsize=9, frameon=True, framealpha=0.92, edgecolor="none", labelcolor=INK, handlelength=3.2
    )
    return figure


LEAST_COVERAGE = 0.02
"""Curves start here: the risk of the surest few records jumps with every one of them."""


def coverage_risk_figure(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: Mapping[str, float],
    uncertain: Mapping[str, Band],
    *,
    title: str = "",
) -> Figure:
    """Share of wrong answers over the share of records answered, the surest first.

    A dot stands where the band leaves each class.
    Left the five classes one by one, right all five of a record together, which is wrong if any of them is.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: calibrated, same shape.
        thresholds: class -> threshold of the policy shown.
        uncertain: class -> band of that policy.
    """
    curves = coverage_risk(labels, probabilities, [thresholds[name] for name in SUPERCLASSES])
    unsure = is_uncertain(probabilities, [uncertain[name] for name in SUPERCLASSES])
    figure = blank(11, 5)
    left, right = figure.subplots(1, 2)
    for k, name in enumerate(SUPERCLASSES):
        _draw_class(left, name, _LINE_STYLES[k], curves[name], 1 - unsure[:, k].mean())
    left.plot(
        [], [], marker="o", markersize=6.5, color="#777788", linestyle="none", label="answered outside of the band"
    )
    together = curves[RECORD]
    _draw_curve(right, together, color=INK, linewidth=2, label=f"surest first, AURC {together.aurc:.3f}")
    at_random = f"at random, {_percent(together.full_risk)}"
    right.axhline(together.full_risk, color="#888899", linestyle=(0, (2, 2)), linewidth=1.2, label=at_random)
    _tidy_abstention(left, "one class")
    _tidy_abstention(right, "all five classes of a record")
    left.set_ylabel("share of these answers that is wrong (risk)", fontsize=10, color=INK)
    headline(figure, title or "Coverage and risk")
    return figure


def _draw_class(axes: Axes, name: str, style: Any, curve: CoverageRisk, answered: float) -> None:
    """The curve, and a dot at the share of records outside of the band."""
    colour = CLASS_COLOURS[name]
    text = f"{name}  {_percent(curve.full_risk)} of all answers wrong, AURC {curve.aurc:.3f}"
    _draw_curve(axes, curve, color=colour, linestyle=style, linewidth=1.8, label=text)
    at = min(int(np.searchsorted(curve.coverage, answered)), len(curve.risk) - 1)
    axes.plot(answered, curve.risk[at], marker="o", markersize=6.5, color=colour, markeredgecolor="white", zorder=5)


def _draw_curve(axes: Axes, curve: CoverageRisk, **line: Any) -> None:
    shown = curve.coverage >= LEAST_COVERAGE
    axes.plot(curve.coverage[shown], curve.risk[shown], **line)


def _tidy_abstention(axes: Axes, heading: str) -> None:
    tidy(axes, "share of records that get a yes or a no (coverage)")
    axes.set_title(heading, loc="left", fontsize=10, color=INK)
    axes.set(xlim=(0, 1.01), ylim=(0, None))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(loc="upper left", fontsize=8.5, frameon=True, framealpha=0.92, edgecolor="none", labelcolor=INK)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
