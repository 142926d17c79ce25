"""The figure of coverage and risk: what answering fewer records buys."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.abstention import RECORD, CoverageRisk, coverage_risk
from leadwise.evaluation.curve_figures import CLASS_COLOURS
from leadwise.policies import Band, is_uncertain

_INK = "#222233"
_LINE_STYLES = ("solid", (0, (6, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (2, 1)), (0, (8, 1.5, 1, 1.5, 1, 1.5)))
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
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.08)
    figure = Figure(figsize=(11, 5), dpi=150, facecolor="white", layout=layout)
    left, right = figure.subplots(1, 2)
    for k, name in enumerate(SUPERCLASSES):
        _draw_class(left, name, _LINE_STYLES[k], curves[name], 1 - unsure[:, k].mean())
    left.plot(
        [], [], marker="o", markersize=6.5, color="#777788", linestyle="none", label="answered outside of the band"
    )
    together = curves[RECORD]
    _draw_curve(right, together, color=_INK, linewidth=2, label=f"surest first, AURC {together.aurc:.3f}")
    at_random = f"at random, {_percent(together.full_risk)}"
    right.axhline(together.full_risk, color="#888899", linestyle=(0, (2, 2)), linewidth=1.2, label=at_random)
    _tidy(left, "one class")
    _tidy(right, "all five classes of a record")
    left.set_ylabel("share of these answers that is wrong (risk)", fontsize=10, color=_INK)
    figure.suptitle(title or "Coverage and risk", x=0.01, ha="left", fontsize=11, fontweight="bold", color=_INK)
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


def _tidy(axes: Axes, heading: str) -> None:
    axes.set_title(heading, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("share of records that get a yes or a no (coverage)", fontsize=10, color=_INK)
    axes.set(xlim=(0, 1.01), ylim=(0, None))
    axes.tick_params(labelsize=9, colors=_INK, length=3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(color="#EEEEF2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("#9999A5")
    axes.legend(loc="upper left", fontsize=8.5, frameon=True, framealpha=0.92, edgecolor="none", labelcolor=_INK)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
