"""A study's course as figures: what was found when, which parameters mattered, and what accuracy costs."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leadwise.training.halving import cuts
from leadwise.training.study_importance import Importance
from leadwise.training.study_table import StudyTable, TrialRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN = "#009E73"
PALE = "#b4bcc6"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
METRIC_NAMES = {"val/macro_auroc": "macro AUROC, fold 9", "val/binary_accuracy": "mean binary accuracy, fold 9"}


def draw_history(table: StudyTable, beside: Sequence[StudyTable]) -> "Figure":
    """Every trial's score and the best so far, by number and by computing time; other samplers' studies beside it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    by_number, by_time = figure.subplots(1, 2, sharey=True)
    for axes, label in ((by_number, "trial"), (by_time, "minutes of computing, pruned and failed trials included")):
        for one, colour in zip((table, *beside), (BLUE, ORANGE, GREEN), strict=False):
            counted = [trial for trial in one.trials if trial.seconds]
            minutes = np.cumsum([trial.seconds / 60 for trial in counted])
            places = [float(trial.number) for trial in counted] if axes is by_number else minutes.tolist()
            _draw_scores(axes, counted, places, colour, one.sampler)
        axes.set_xlabel(label)
        axes.grid(alpha=0.25)
    by_number.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_number.set_ylabel(METRIC_NAMES.get(table.monitor, table.monitor))
    _see_completed(by_number, [trial for one in (table, *beside) for trial in one.completed])
    by_number.legend(frameon=False, loc="lower right")
    return figure


def _draw_scores(axes: "Axes", trials: Sequence[TrialRow], places: Sequence[float], colour: str, name: str) -> None:
    best, steps, scores = float("-inf"), [], []
    for place, trial in zip(places, trials, strict=True):
        if trial.state == "complete":
            best = max(best, trial.score)
            axes.plot(place, trial.score, marker="D" if trial.is_default else "o", color=colour, markersize=5, zorder=3)
        elif trial.state == "pruned":
            axes.plot(place, trial.score, marker="o", color="none", markeredgecolor=colour, alpha=0.45, markersize=4)
        if np.isfinite(best):
            steps.append(place)
            scores.append(best)
    axes.step(steps, scores, where="post", color=colour, linewidth=1.4, label=f"{name}: best so far")


def _see_completed(axes: "Axes", completed: Sequence[TrialRow]) -> None:
    """Trials that were pruned early may lie far below: the axis shows those that came to their end."""
    scores = [trial.score for trial in completed]
    if len(scores) > 1 and max(scores) > min(scores):
        room = 0.15 * (max(scores) - min(scores))
        axes.set_ylim(min(scores) - 3 * room, max(scores) + room)


def draw_courses(table: StudyTable) -> "Figure":
    """The monitored metric over the epochs of each trial, with the cuts at which trials were compared."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    best = table.best
    for trial in sorted(table.trials, key=lambda one: (one.state == "complete", one.is_default, one == best)):
        if not trial.course:
            continue
        colour = BLUE if trial == best else ORANGE if trial.is_default else GREY if trial.state == "complete" else PALE
        strong = trial == best or trial.is_default
        epochs = sorted(trial.course)
        axes.plot(
            epochs,
            [trial.course[epoch] for epoch in epochs],
            color=colour,
            linewidth=2 if strong else 0.9,
            marker="o",
            markersize=3,
            zorder=3 if strong else 2,
        )
    for cut in cuts(table.epochs):
        axes.axvline(cut, color=GREY, linewidth=0.8, linestyle=":")
    kinds = [(BLUE, "best"), (ORANGE, "configured"), (GREY, "completed"), (PALE, "pruned, failed, running")]
    for colour, name in kinds:
        axes.plot([], [], color=colour, label=name)
    axes.plot([], [], color=GREY, linestyle=":", label="half go on")
    axes.set_xlabel("epoch")
    axes.set_ylabel(METRIC_NAMES.get(table.monitor, table.monitor))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right", fontsize="small")
    return figure


def draw_importances(importances: Sequence[Importance]) -> "Figure":
    """One panel per question, the parameters sorted by their share in the first."""
    from matplotlib.figure import Figure

    names = sorted(importances[0].shares, key=lambda name: importances[0].shares[name])
    figure = Figure(figsize=(4.2 + 3 * len(importances), 0.8 + 0.28 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(importances), sharey=True, squeeze=False)[0]
    for axes, importance in zip(panels, importances, strict=True):
        shares = [importance.shares.get(name, 0.0) for name in names]
        axes.barh(names, shares, color=BLUE)
        for place, share in enumerate(shares):
            axes.text(share, place, f" {share:.2f}", va="center", fontsize="small")
        axes.set_xlim(0, max(shares) * 1.2)
        axes.set_xlabel("share of the importance")
        axes.set_title(importance.question, fontsize="medium")
        axes.grid(alpha=0.25, axis="x")
    return figure


def draw_front(table: StudyTable) -> "Figure":
    """Score against cost: the completed trials, and those that none beats without costing more."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    others = [trial for trial in table.completed if trial not in table.front]
    axes.scatter([one.cost for one in others], [one.score for one in others], color=PALE, label="completed")
    front = table.front
    axes.step(
        [one.cost for one in front],
        [one.score for one in front],
        where="post",
        color=BLUE,
        marker="o",
        label="Pareto front",
    )
    for one in front:
        axes.annotate(str(one.number), (one.cost, one.score), xytext=(4, -11), textcoords="offset points")
    if table.defaults is not None:
        axes.scatter(
            [table.defaults.cost], [table.defaults.score], color=ORANGE, marker="D", zorder=4, label="configured"
        )
    if len({one.cost for one in table.completed}) > 1:
        axes.set_xscale("log")
    axes.set_xlabel("million multiply-adds of one answer")
    axes.set_ylabel(METRIC_NAMES.get(table.monitor, table.monitor))
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)
    return figure


def svg_address(figure: "Figure") -> str:
    """A figure as a data address for a page that loads nothing."""
    image = io.BytesIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode('ascii')}"
