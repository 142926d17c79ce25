"""What all figures of reports have in common, and the course of a training.

Every function returns a Figure of its own; nothing is shown, nothing global is touched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

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
