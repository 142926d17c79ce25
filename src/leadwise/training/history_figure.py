"""The course of a training as a figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"


def draw_history(history: "Sequence[dict[str, float]]", best_epoch: int, title: str) -> "Figure":
    """Loss on the left, validation metrics on the right, the chosen epoch marked.

    Args:
        history: one row of metrics per epoch, as in ``history.csv``.
        best_epoch: the epoch whose weights were kept, counted from 1.
        title: what was trained.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    marker = "o" if len(history) < 40 else None
    for axes, series, label in (
        (losses, (("train/loss", "training", ORANGE), ("val/loss", "validation", BLUE)), "binary cross-entropy"),
        (
            scores,
            (("val/macro_auroc", "macro AUROC", BLUE), ("val/binary_accuracy", "mean binary accuracy", ORANGE)),
            "validation (fold 9)",
        ),
    ):
        for key, name, colour in series:
            axes.plot(epochs, [row[key] for row in history], color=colour, marker=marker, markersize=3, label=name)
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle="--", label=f"kept: epoch {best_epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.suptitle(title)
    return figure
