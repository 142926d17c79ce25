"""A study's trials by the values that they drew: one parameter at a time, and all of them at once."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.training.study_figures import BLUE, METRIC_NAMES, ORANGE, PALE
from leadwise.training.study_table import StudyTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4


def draw_slices(table: StudyTable) -> "Figure":
    """Each parameter against the score: completed trials filled, pruned ones, where they were stopped, hollow."""
    from matplotlib.figure import Figure

    names = _searched(table)
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(11, 2.4 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
    low, high = _span(table)
    for axes, name in zip(panels, names, strict=False):
        _draw_slice(axes, table, name)
        axes.set_xlabel(name)
        axes.set_ylim(low, high)
        axes.grid(alpha=0.25)
    for axes in list(figure.axes)[len(names) :]:
        axes.set_visible(False)
    figure.supylabel(METRIC_NAMES.get(table.monitor, table.monitor), fontsize="medium")
    return figure


def _draw_slice(axes: "Axes", table: StudyTable, name: str) -> None:
    scale = _Scale(table, name)
    best = table.best
    for trial in table.trials:
        if name not in trial.values:
            continue
        place = trial.values[name] if scale.logarithmic else scale.place(trial.values[name])
        if trial.state == "pruned":
            axes.plot(place, trial.score, "o", color="none", markeredgecolor=PALE, markersize=4, zorder=1)
        elif trial.state == "complete":
            colour = ORANGE if trial.is_default else BLUE
            mark = "*" if trial == best else "D" if trial.is_default else "o"
            axes.plot(place, trial.score, mark, color=colour, markersize=10 if mark == "*" else 5, zorder=2)
    if scale.logarithmic:
        axes.set_xscale("log")
        ticks = [10**place for place in scale.marks()]
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.set_xticks([], minor=True)
    elif scale.names:
        axes.set_xticks(range(len(scale.names)), scale.names, fontsize="small", rotation=15)
        axes.set_xlim(-0.5, len(scale.names) - 0.5)


def draw_parallel(table: StudyTable) -> "Figure":
    """One line per trial through all its values to its score; the better, the darker, and the best on top."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    names = _searched(table)
    scales = [_Scale(table, name) for name in names]
    figure = Figure(figsize=(max(1.05 * (len(names) + 1), 6), 4.6), layout="constrained")
    axes = figure.subplots()
    low, high = _span(table)
    span, shading = Normalize(low, high), colormaps["Blues"]
    for trial in sorted(table.completed, key=lambda one: one.score):
        places = [
            scale.share(trial.values[name]) if name in trial.values else math.nan
            for name, scale in zip(names, scales, strict=True)
        ]
        places.append((trial.score - low) / (high - low))
        colour = ORANGE if trial.is_default else shading(span(trial.score))
        strong = trial == table.best or trial.is_default
        axes.plot(range(len(places)), places, color=colour, linewidth=2.4 if strong else 1.1, zorder=3 if strong else 2)
    for place, scale in enumerate(scales):
        _draw_axis(axes, place, scale.ticks())
    _draw_axis(axes, len(names), [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")])
    labels = [*names, METRIC_NAMES.get(table.monitor, table.monitor)]
    axes.set_xticks(
        range(len(labels)), [label.replace("-", "-\n").replace(", ", ",\n") for label in labels], fontsize="small"
    )
    axes.set_yticks([])
    axes.set_xlim(-0.3, len(names) + 0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def _draw_axis(axes: "Axes", place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.axvline(place, color="#888888", linewidth=0.8, zorder=1)
    for height, text in ticks:
        axes.annotate(
            text,
            (place, height),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize="x-small",
            va="center",
            zorder=4,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )


class _Scale:
    """Where the values of a parameter lie on an axis."""

    def __init__(self, table: StudyTable, name: str) -> None:
        values = [trial.values[name] for trial in table.trials if name in trial.values]
        self.names: list[str] = sorted({str(value) for value in values}) if isinstance(values[0], str) else []
        self.logarithmic = not self.names and "logarithmic" in table.ranges[name] and min(values) > 0
        places = [self.place(value) for value in values]
        self._low, self._high = min(places), max(places)
        self._whole = all(isinstance(value, int) for value in values)

    def place(self, value: Any) -> float:
        """On the axis in its own units."""
        if self.names:
            return float(self.names.index(str(value)))
        return math.log10(value) if self.logarithmic else float(value)

    def share(self, value: Any) -> float:
        """On the axis from 0 to 1."""
        return (self.place(value) - self._low) / (self._high - self._low) if self._high > self._low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Share of the axis and what stands there."""
        if self.names:
            return [(self.share(name), name) for name in self.names]
        shares = (0.0, 0.5, 1.0) if self._high > self._low else (0.5,)
        values = [10**place if self.logarithmic else place for place in self.marks()]
        texts = [f"{value:.0f}" if self._whole else f"{value:.2g}" for value in values]
        return list(zip(shares, texts, strict=True))

    def marks(self) -> list[float]:
        """The lowest, the middle and the highest place."""
        return [self._low, (self._low + self._high) / 2, self._high] if self._high > self._low else [self._low]


def _searched(table: StudyTable) -> list[str]:
    """The parameters that some trial has drawn."""
    return [name for name in table.ranges if any(name in trial.values for trial in table.trials)]


def _span(table: StudyTable) -> tuple[float, float]:
    """Of the completed scores, with room around them."""
    scores = np.array([trial.score for trial in table.completed])
    room = max(0.08 * float(np.ptp(scores)), 1e-3)
    return float(scores.min()) - room, float(scores.max()) + room
