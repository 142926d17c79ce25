"""Robustness of models as small multiples: one panel per disturbance, one line per model."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from leadwise.evaluation.robustness import MACRO, Robustness, check_same_trials
from leadwise.evaluation.robustness_levels import Curve

COLUMNS = 5
_STYLES = (
    ("#0072B2", "o", "solid"),
    ("#D55E00", "s", (0, (5, 1.5))),
    ("#009E73", "^", (0, (1.5, 1.2))),
    ("#CC79A7", "D", (0, (6, 1.5, 1, 1.5))),
)
"""Colours of Okabe and Ito (2008); marker and dash tell the lines apart without any colour."""
_SHIFT = 0.09
"""Lines stand side by side, so that their intervals do not hide each other."""
_INK, _FAINT = "#222233", "#EEEEF2"


def robustness_figure(models: Mapping[str, Robustness], *, title: str = "") -> Figure:
    """Macro AUROC against the strength of each disturbance, from mild to severe, with 95 % intervals.

    Every panel has the same vertical axis. A dotted line marks what a model reaches undisturbed. Levels that are no
    order, such as which electrodes are exchanged, are not joined.

    Args:
        models: name -> what was measured, on the same records with the same seed.

    Raises:
        RobustnessError: there is no model, or they were not tried with the same disturbances of the same records.
    """
    check_same_trials(models)
    curves = next(iter(models.values())).curves
    rows = -(-len(curves) // COLUMNS)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(14.0, 0.9 + 3.1 * rows), dpi=150, layout=layout, facecolor="white")
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for place, (axes, curve) in enumerate(zip(panels, curves, strict=False)):
        _panel(axes, curve, models)
        axes.set_ylabel("macro AUROC" if place % COLUMNS == 0 else "", fontsize=10, color=_INK)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color="#666670", linestyle=":", linewidth=1.3))
    names.append("undisturbed (shades and bars: 95 % intervals)")
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=10, labelcolor=_INK
    )
    records = next(iter(models.values())).records
    headline = title or "Robustness: macro AUROC of disturbed recordings"
    figure.suptitle(
        f"{headline}  ({records:,} records)", x=0.005, ha="left", fontsize=12, fontweight="bold", color=_INK
    )
    return figure


def _panel(axes: Axes, curve: Curve, models: Mapping[str, Robustness]) -> None:
    places = np.arange(len(curve.labels), dtype=float)
    for k, (name, one) in enumerate(models.items()):
        colour, marker, dash = _STYLES[k % len(_STYLES)]
        x = places + (k - (len(models) - 1) / 2) * 2 * _SHIFT
        points = [one.points[curve.name].get(level) for level in curve.labels]
        y = np.array([point[MACRO].value if point else np.nan for point in points])
        bounds = [point[MACRO].interval if point else None for point in points]
        low = np.array([bound.low if bound else np.nan for bound in bounds])
        high = np.array([bound.high if bound else np.nan for bound in bounds])
        axes.axhline(one.undisturbed[MACRO].value, color=colour, linestyle=":", linewidth=1.3, zorder=2)
        if curve.ordered:
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=1)
        else:
            axes.vlines(x, low, high, color=colour, linewidth=1.7, zorder=2)
        line = dash if curve.ordered else "none"
        axes.plot(x, y, color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.7, label=name, zorder=3)
    axes.set_xticks(places, curve.labels)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_title(curve.title, loc="left", fontsize=10.5, fontweight="bold", color=_INK)
    axes.set_xlabel(curve.unit, fontsize=9.5, color=_INK)
    axes.tick_params(labelsize=9, colors=_INK, length=3)
    axes.grid(color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("#9999A5")
