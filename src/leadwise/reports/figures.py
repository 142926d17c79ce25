"""What all figures of reports have in common; the course of a training, and the curves of an evaluation.

Every function returns a Figure of its own; nothing is shown, nothing global is touched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.decision import Band, is_uncertain
from leadwise.evaluation.decisions import RECORD, CoverageRisk, coverage_risk
from leadwise.evaluation.metrics import DEFAULT_THRESHOLD, Floats, MetricInput, decide

INK, SOFT, GRID, FAINT, SPINE = "#222233", "#6B6B7B", "#EEEEF2", "#D9D9E0", "#9999A5"
BLUE, ORANGE, GREEN, PINK, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
"""From the palette of Okabe and Ito (2008), which readers with any colour vision tell apart."""
CLASS_COLOURS: Mapping[str, str] = {"NORM": GREEN, "MI": ORANGE, "STTC": BLUE, "CD": PINK, "HYP": YELLOW}


def blank(width_in: float, height_in: float, *, w_pad: float = 0.12) -> Figure:
    """An empty figure of 150 dots per inch; its panels are ``w_pad`` inches apart."""
    engine = ConstrainedLayoutEngine(w_pad=w_pad, h_pad=0.08)
    return Figure(figsize=(width_in, height_in), dpi=150, layout=engine, facecolor="white")


def tidy(axes: Axes, x_label: str = "", y_label: str = "", *, title: str = "", grid: Any = "both") -> None:
    """Labels, small ticks, a pale grid behind what is drawn, and no frame."""
    axes.set_xlabel(x_label, fontsize=9.5, color=INK)
    axes.set_ylabel(y_label, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=3)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(SPINE)
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)


def headline(figure: Figure, text: str) -> None:
    """A title over all panels."""
    figure.suptitle(text, x=0.005, ha="left", fontsize=11, fontweight="bold", color=INK)


def history_figure(history: Sequence[Mapping[str, float]], best_epoch: int, title: str) -> Figure:
    """Loss on the left, validation metrics on the right, the chosen epoch marked.

    Args:
        history: one row of metrics per epoch, as in ``history.csv``.
        best_epoch: the epoch whose weights were kept, counted from 1.
        title: what was trained.
    """
    figure = blank(9, 3.4)
    epochs = range(1, len(history) + 1)
    marker = "o" if len(history) < 40 else None
    losses = ("binary cross-entropy", {"training": "train/loss", "validation": "val/loss"})
    scores = (
        "validation (fold 9)",
        {"mean binary accuracy": "val/binary_accuracy", "macro AUROC": "val/macro_auroc"},
    )
    for axes, (label, series) in zip(figure.subplots(1, 2), (losses, scores), strict=True):
        for (name, key), colour in zip(series.items(), (ORANGE, BLUE), strict=True):
            axes.plot(epochs, [row[key] for row in history], color=colour, marker=marker, markersize=3, label=name)
        axes.axvline(best_epoch, color=SOFT, linewidth=1, linestyle="--", label=f"kept: epoch {best_epoch}")
        tidy(axes, "epoch", label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    headline(figure, title)
    return figure


BINS = 10
"""Of the reliability, with equal numbers of pairs."""
_LINE_STYLES = ("solid", (0, (6, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (2, 1)), (0, (8, 1.5, 1, 1.5, 1, 1.5)))


def roc_figure(labels: ArrayLike, probabilities: ArrayLike, *, title: str = "") -> Figure:
    """ROC curves of all classes, with the AUROC of each in the legend.

    Args:
        labels: ``(record, class)`` of 0 and 1; a class with one value only is named in the legend, without a curve.
        probabilities: same shape.
    """
    from sklearn.metrics import roc_curve

    rows = MetricInput(labels, probabilities)
    figure, axes = _square(title or "ROC curves", "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
    for k, name in enumerate(SUPERCLASSES):
        area = rows.ranking[0][k]
        curve = (np.nan, np.nan) if np.isnan(area) else roc_curve(rows.y[:, k], rows.p[:, k])[:2]
        _class_line(axes, name, k, *curve, text=f"AUROC {area:.3f}")
    axes.legend(loc="lower right", fontsize=9, handlelength=3.2, **_LEGEND)
    return figure


def pr_figure(labels: ArrayLike, probabilities: ArrayLike, *, title: str = "") -> Figure:
    """Precision-recall curves of all classes; a tick at the right edge marks the prevalence, the floor of each."""
    from sklearn.metrics import precision_recall_curve

    rows = MetricInput(labels, probabilities)
    figure, axes = _square(title or "Precision-recall curves", "recall (sensitivity)", "precision")
    for k, name in enumerate(SUPERCLASSES):
        area = rows.ranking[1][k]
        if np.isnan(area):
            _class_line(axes, name, k, np.nan, np.nan, text="")
        else:
            precision, recall, _ = precision_recall_curve(rows.y[:, k], rows.p[:, k])
            # scikit-learn ends the curve with a point at precision 1 that no threshold gives.
            precision = np.append(precision[:-1], precision[-2])
            _class_line(axes, name, k, recall, precision, text=f"AP {area:.3f}", steps=True)
        share = [rows.y[:, k].mean()] * 2
        axes.plot([1.0, 1.025], share, color=CLASS_COLOURS[name], linewidth=2.5, clip_on=False, zorder=4)
    axes.text(1.04, 0.005, "prevalence", rotation=90, va="bottom", fontsize=8, color=INK)
    axes.legend(loc="lower left", fontsize=9, handlelength=3.2, **_LEGEND)
    return figure


def reliability_figure(labels: ArrayLike, raw: ArrayLike, calibrated: ArrayLike, *, title: str = "") -> Figure:
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
        (np.asarray(calibrated, dtype=float), "calibrated", BLUE, "o"),
    ):
        predicted, observed, low, high = _reliability(y.ravel(), p.ravel())
        bars = np.abs(np.stack([low, high]) - observed)
        label = f"{name}, ECE {MetricInput(y, p).calibration_error.mean():.3f}"
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
    """A 2 x 2 confusion matrix for each class: counts, and shares of each true class as shading."""
    from sklearn.metrics import multilabel_confusion_matrix

    matrices = multilabel_confusion_matrix(np.asarray(labels, dtype=int), decide(probabilities, thresholds))
    limits = np.broadcast_to(np.asarray(thresholds, dtype=float), len(SUPERCLASSES))
    figure = blank(2.5 * len(SUPERCLASSES), 3.3)
    for k, axes in enumerate(figure.subplots(1, len(SUPERCLASSES))):
        _confusion(axes, matrices[k], SUPERCLASSES[k], limits[k], first=k == 0)
    headline(figure, title or "Confusion matrices")
    return figure


def _confusion(axes: Axes, matrix: NDArray[np.int64], name: str, threshold: float, *, first: bool) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for truth, said in np.ndindex(2, 2):
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        style["color"] = "white" if shares[truth, said] > 0.6 else INK
        axes.text(said, truth - 0.07, f"{matrix[truth, said]:,}", fontsize=13, **style)
        axes.text(said, truth + 0.22, f"{shares[truth, said]:.1%}", fontsize=8.5, **style)
    ticks = [f"no {name}", name]
    axes.set_xticks([0, 1], ticks, fontsize=9, color=INK)
    axes.set_yticks([0, 1], ticks, fontsize=9, color=INK, rotation=90, va="center")
    axes.set_xlabel(f"decision (at {threshold:.3f})", fontsize=9, color=INK)
    axes.set_ylabel("truth" if first else "", fontsize=9, color=INK)
    axes.set_title(f"{name}: {SUPERCLASS_NAMES[name]}", fontsize=9.5, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _reliability(y: Floats, p: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean prediction and observed share of each bin, with the bounds of the 95 % Wilson interval."""
    groups = [group for group in np.array_split(np.argsort(p, kind="stable"), BINS) if len(group)]
    n = np.array([len(group) for group in groups])
    predicted = np.array([p[group].mean() for group in groups])
    observed = np.array([y[group].mean() for group in groups])
    z = 1.96
    centre = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2))
    return predicted, observed, np.minimum(centre - half, observed), np.maximum(centre + half, observed)


def _class_line(axes: Axes, name: str, k: int, x: ArrayLike, y: ArrayLike, *, text: str, steps: bool = False) -> None:
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


_LEGEND: dict[str, Any] = {"frameon": True, "framealpha": 0.92, "edgecolor": "none", "labelcolor": INK}

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
    Left the classes one by one, right all of a record together, which is wrong if any of them is.

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
        curve, answered, colour = curves[name], 1 - unsure[:, k].mean(), CLASS_COLOURS[name]
        text = f"{name}  {100 * curve.full_risk:.1f} % of all answers wrong, AURC {curve.aurc:.3f}"
        _draw_curve(left, curve, color=colour, linestyle=_LINE_STYLES[k], linewidth=1.8, label=text)
        at = min(int(np.searchsorted(curve.coverage, answered)), len(curve.risk) - 1)
        left.plot(answered, curve.risk[at], marker="o", markersize=6.5, color=colour, markeredgecolor="white", zorder=5)
    dot: dict[str, Any] = {"marker": "o", "markersize": 6.5, "color": "#777788", "linestyle": "none"}
    left.plot([], [], label="answered outside of the band", **dot)
    together = curves[RECORD]
    _draw_curve(right, together, color=INK, linewidth=2, label=f"surest first, AURC {together.aurc:.3f}")
    at_random = f"at random, {100 * together.full_risk:.1f} %"
    right.axhline(together.full_risk, color="#888899", linestyle=(0, (2, 2)), linewidth=1.2, label=at_random)
    for axes, heading in ((left, "one class"), (right, "all classes of a record")):
        tidy(axes, "share of records that get a yes or a no (coverage)")
        axes.set_title(heading, loc="left", fontsize=10, color=INK)
        axes.set(xlim=(0, 1.01), ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.legend(loc="upper left", fontsize=8.5, **_LEGEND)
    left.set_ylabel("share of these answers that is wrong (risk)", fontsize=10, color=INK)
    headline(figure, title or "Coverage and risk")
    return figure


def _draw_curve(axes: Axes, curve: CoverageRisk, **line: Any) -> None:
    shown = curve.coverage >= LEAST_COVERAGE
    axes.plot(curve.coverage[shown], curve.risk[shown], **line)
