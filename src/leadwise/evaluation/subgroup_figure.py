"""Macro AUROC of every subgroup with its interval, one below the other: a forest plot."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from leadwise.evaluation.bootstrap import Interval
from leadwise.evaluation.subgroups import SubgroupResult

METRIC = "macro_auroc"
ROW_IN = 0.22
_INK, _SOFT, _FAINT, _DOT, _BAND = "#222233", "#6B6B7B", "#EEEEF2", "#0072B2", "#DCE9F3"


def subgroup_figure(groups: Sequence[SubgroupResult], whole: float, interval: Interval, *, title: str = "") -> Figure:
    """A row per subgroup, below a heading per kind; those without a figure are named with the reason.

    Args:
        groups: in the order of the rows, those of one kind together.
        whole: macro AUROC of all records, drawn as a line.
        interval: of ``whole``, drawn as a band.
        title: above the figure.
    """
    kinds = [(kind, list(members)) for kind, members in groupby(groups, key=lambda group: group.kind)]
    rows = sum(len(members) + 1.35 for _, members in kinds)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(8.2, 1.15 + ROW_IN * rows), dpi=150, layout=layout, facecolor="white")
    axes = figure.subplots()
    axes.axvspan(interval.low, interval.high, color=_BAND, linewidth=0, zorder=0)
    axes.axvline(whole, color=_DOT, linewidth=1, zorder=1)
    ticks: dict[float, str] = {}
    place = 0.0
    for kind, members in kinds:
        place += 0.35
        ticks[place] = f"$\\bf{{{_bold(kind)}}}$"
        for group in members:
            place += 1
            ticks[place] = group.name
            _row(axes, place, group)
        place += 1
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=9, color=_INK)
    axes.set_ylim(place - 0.3, -0.4)
    axes.set_xlim(*_range(groups, interval))
    axes.set_xlabel("macro AUROC (line and band: all records)", fontsize=9.5, color=_INK)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9, colors=_INK, length=3)
    axes.grid(axis="x", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#9999A5")
    axes.set_title(title or "Subgroups", loc="left", fontsize=11, fontweight="bold", color=_INK)
    return figure


def _row(axes: Axes, place: float, group: SubgroupResult) -> None:
    right = axes.get_yaxis_transform()
    axes.text(1.015, place, f"{group.records:,}", transform=right, va="center", ha="left", fontsize=8.5, color=_SOFT)
    if METRIC not in group.values:
        axes.text(0.01, place, "too few to say", transform=right, va="center", fontsize=8, color=_SOFT, style="italic")
        return
    bounds = group.intervals[METRIC]
    axes.plot([bounds.low, bounds.high], [place, place], color=_DOT, linewidth=1.6, zorder=2)
    axes.plot(group.values[METRIC], place, "o", color=_DOT, markersize=5, zorder=3)


def _range(groups: Sequence[SubgroupResult], interval: Interval) -> tuple[float, float]:
    shown = [group.intervals[METRIC] for group in groups if METRIC in group.intervals]
    ends = np.array([interval.low, interval.high, *(one.low for one in shown), *(one.high for one in shown)])
    ends = ends[np.isfinite(ends)]
    if not len(ends):
        return 0.0, 1.0
    return float(ends.min()) - 0.01, min(float(ends.max()) + 0.01, 1.005)


def _bold(text: str) -> str:
    """For matplotlib's own small TeX."""
    return text.replace("_", r"\_").replace(" ", r"\ ")
