"""The AUROC by subgroup, by statement, and of corrupted recordings."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from leadwise.datasets.releases import GROUPS
from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.robustness import MACRO, check_same_trials
from leadwise.evaluation.statements import ANSWERED_ELSEWHERE
from leadwise.evaluation.subgroups import SubgroupResult
from leadwise.reports.figures import BLUE, FAINT, GREEN, INK, ORANGE, PINK, SOFT, YELLOW, blank, headline, tidy

Entry = Mapping[str, Any]

METRIC = "macro_auroc"
ROW_IN = 0.22
_BAND = "#DCE9F3"


def subgroup_figure(groups: Sequence[SubgroupResult], whole: Estimate, *, title: str = "") -> Figure:
    """A row per subgroup, below a heading per kind; those without a figure are named with the reason.

    Args:
        groups: in the order of the rows, those of one kind together.
        whole: macro AUROC of all records, drawn as a line, and its interval as a band.
        title: above the figure.
    """
    kinds = [(kind, list(members)) for kind, members in groupby(groups, key=lambda group: group.kind)]
    rows = sum(len(members) + 1.35 for _, members in kinds)
    figure = blank(8.2, 1.15 + ROW_IN * rows)
    axes = figure.subplots()
    axes.axvspan(whole.interval.low, whole.interval.high, color=_BAND, linewidth=0, zorder=0)
    axes.axvline(whole.value, color=BLUE, linewidth=1, zorder=1)
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
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=9, color=INK)
    axes.set_ylim(place - 0.3, -0.4)
    axes.set_xlim(*_range([whole, *(group.found[METRIC] for group in groups if METRIC in group.found)]))
    tidy(axes, "macro AUROC (line and band: all records)", title=title or "Subgroups", grid="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _row(axes: Axes, place: float, group: SubgroupResult) -> None:
    right = axes.get_yaxis_transform()
    axes.text(1.015, place, f"{group.records:,}", transform=right, va="center", ha="left", fontsize=8.5, color=SOFT)
    if METRIC not in group.found:
        axes.text(0.01, place, "too few to say", transform=right, va="center", fontsize=8, color=SOFT, style="italic")
        return
    bounds = group.found[METRIC].interval
    axes.plot([bounds.low, bounds.high], [place, place], color=BLUE, linewidth=1.6, zorder=2)
    axes.plot(group.found[METRIC].value, place, "o", color=BLUE, markersize=5, zorder=3)


def _range(shown: Sequence[Estimate]) -> tuple[float, float]:
    ends = np.array([(estimate.interval.low, estimate.interval.high) for estimate in shown])
    if not np.isfinite(ends).any():
        return 0.0, 1.0
    return float(np.nanmin(ends)) - 0.01, min(float(np.nanmax(ends)) + 0.01, 1.005)


def _bold(text: str) -> str:
    """For matplotlib's own small TeX."""
    return text.replace("_", r"\_").replace(" ", r"\ ")


COLUMNS = 5
_STYLES = (
    (BLUE, "o", "solid"),
    (ORANGE, "s", (0, (5, 1.5))),
    (GREEN, "^", (0, (1.5, 1.2))),
    (PINK, "D", (0, (6, 1.5, 1, 1.5))),
)
"""Colours of Okabe and Ito (2008); marker and dash tell the lines apart without any colour."""
_SHIFT = 0.09
"""Lines stand side by side, so that their intervals do not hide each other."""


def robustness_figure(models: Mapping[str, Entry], *, title: str = "") -> Figure:
    """Macro AUROC against the strength of each corruption, from mild to severe, with 95 % intervals.

    Every panel has the same vertical axis. A dotted line marks what a model reaches clean. Levels that are no
    order, such as which electrodes are reversed, are not joined.

    Args:
        models: name -> ``Robustness.to_dict()``, or what ``robustness.json`` holds, measured on the same records with
            the same seed.

    Raises:
        LeadwiseError: they were not tried with the same corruptions of the same records.
    """
    check_same_trials(models)
    first = next(iter(models.values()))
    rows = -(-len(first["curves"]) // COLUMNS)
    figure = blank(14.0, 0.9 + 3.1 * rows, w_pad=0.06)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for place, (axes, curve) in enumerate(zip(panels, first["curves"], strict=False)):
        _panel(axes, {name: (content, content["curves"][place]) for name, content in models.items()})
        tidy(axes, curve["unit"], "macro AUROC" if place % COLUMNS == 0 else "", title=curve["title"])
    for axes in panels[len(first["curves"]) :]:
        axes.set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=SOFT, linestyle=":", linewidth=1.3))
    names.append("clean (shades and bars: 95 % intervals)")
    look: dict[str, Any] = {"frameon": False, "fontsize": 10, "labelcolor": INK}
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), **look)
    words = title or "Robustness: macro AUROC of corrupted recordings"
    headline(figure, f"{words}  ({first['records']:,} records)")
    return figure


def _panel(axes: Axes, models: Mapping[str, tuple[Entry, Entry]]) -> None:
    """One corruption: name of a model -> all that was measured of it, and its part of this corruption."""
    for k, (name, (content, curve)) in enumerate(models.items()):
        colour, marker, dash = _STYLES[k % len(_STYLES)]
        x = np.arange(len(curve["levels"])) + (k - (len(models) - 1) / 2) * 2 * _SHIFT
        # A level that the model refuses is a gap.
        points = [level["auroc"][MACRO] if "auroc" in level else _NOTHING for level in curve["levels"]]
        y = np.array([point["value"] for point in points], dtype=float)
        low, high = np.array([point["interval"] for point in points], dtype=float).T
        whole = np.array(content["undisturbed"][MACRO]["value"], dtype=float)
        axes.axhline(float(whole), color=colour, linestyle=":", linewidth=1.3, zorder=2)
        if curve.get("ordered", True):
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=1)
        else:
            axes.vlines(x, low, high, color=colour, linewidth=1.7, zorder=2)
        line = dash if curve.get("ordered", True) else "none"
        axes.plot(x, y, color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.7, label=name, zorder=3)
    levels = [level["level"] for level in curve["levels"]]
    axes.set_xticks(range(len(levels)), levels)
    axes.set_xlim(-0.4, len(levels) - 0.6)


_NOTHING: Entry = {"value": None, "interval": [None, None]}

GROUP_TITLES: Mapping[str, str] = {"diagnostic": "Diagnoses", "form": "Form of the waves", "rhythm": "Rhythm"}
GROUP_COLOURS: Mapping[str, str] = {"diagnostic": BLUE, "form": YELLOW, "rhythm": GREEN}
"""From the palette of Okabe and Ito (2008)."""

_ROW_INCHES, _NOTE_INCHES, _ABOVE_INCHES, _BELOW_INCHES, _WIDTH_INCHES = 0.235, 0.165, 0.85, 0.75, 9.5
_NOTE_LETTERS = 155
_LOWEST = 0.7
"""Where the axis begins at the latest; it never hides an interval."""


def statement_figure(content: Mapping[str, Any], *, title: str = "") -> Figure:
    """Trusted statements by group, best first, with AUROC, interval, AUPRC and positives; the silent ones by name.

    Args:
        content: ``StatementResults.to_dict()``, or what ``statements.json`` holds.
        title: above the figure.
    """
    lines, notes = _lines(content["statements"]), _notes(content["statements"])
    below = _BELOW_INCHES + _NOTE_INCHES * len(notes)
    rows = _ROW_INCHES * len(lines)
    height = _ABOVE_INCHES + rows + below
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=130)
    axes = figure.add_axes((0.36, below / height, 0.34, rows / height))
    lows = [entry["test"]["auroc"]["low"] for entry in lines if entry and "test" in entry]
    lowest = min((low for low in lows if low is not None), default=1.0)
    axes.set_xlim(min(np.floor(20 * (lowest - 0.01)) / 20, _LOWEST), 1.01)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    for at, entry in enumerate(lines):
        if "test" in entry:
            _draw_row(axes, at, entry)
        elif entry:
            _text(axes, -1.04, at, entry["heading"], weight="bold")
    _dress(axes, content["macro_auroc"]["all"])
    for number, note in enumerate(notes):
        y = (_NOTE_INCHES * (len(notes) - number) - 0.08) / height
        figure.text(0.007, y, note, fontsize=7.5, color=SOFT, va="center")
    figure.suptitle(title or "SCP-ECG statements", x=0.007, y=1 - 0.25 / height, ha="left", va="center", fontsize=12)
    return figure


def _lines(statements: Sequence[Entry]) -> list[Entry]:
    """What stands on each line, from above: a heading for each group, its trusted statements, an empty line."""
    lines: list[Entry] = []
    for group in GROUPS:
        members = [entry for entry in statements if entry["group"] == group]
        told = sorted((entry for entry in members if entry["trusted"]), key=_auroc, reverse=True)
        heading = f"{GROUP_TITLES[group]}: {len(told)} of {len(members)} reported"
        lines += [{"heading": heading}, *told, {}]
    return lines[:-1]


def _notes(statements: Sequence[Entry]) -> list[str]:
    """The silent statements by name, wrapped to lines."""
    notes = []
    for group in GROUPS:
        silent = [e for e in statements if e["group"] == group and not e["trusted"]]
        if names := [entry["name"] for entry in silent if entry["code"] not in ANSWERED_ELSEWHERE]:
            words = f"Not reported, {group}: {'; '.join(names)}."
            notes += textwrap.wrap(words, _NOTE_LETTERS, break_on_hyphens=False)
        answered = [entry for entry in silent if entry["code"] in ANSWERED_ELSEWHERE]
        notes += [f"Not reported, {group}: {entry['name']}, {entry['reason']}." for entry in answered]
    return notes


def _auroc(entry: Entry) -> float:
    value = entry["test"]["auroc"]["value"]
    return -1.0 if value is None else float(value)


def _draw_row(axes: Axes, at: int, entry: Entry) -> None:
    area, precision = entry["test"]["auroc"], entry["test"]["auprc"]["value"]
    _text(axes, -0.03, at, entry["name"], ha="right")
    _text(axes, 1.86, at, f"{entry['positives']['test']:,}", ha="right")
    if area["value"] is None:
        _text(axes, 1.03, at, "undefined", color=SOFT)
        return
    axes.axhline(at, color=FAINT, linewidth=0.6, zorder=0)
    colour = GROUP_COLOURS[entry["group"]]
    interval = ""
    if area["low"] is not None:
        axes.plot([area["low"], area["high"]], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
        interval = f" [{area['low']:.3f}, {area['high']:.3f}]"
    axes.plot(area["value"], at, "o", color=colour, markersize=5.5, markeredgecolor="white", zorder=3)
    _text(axes, 1.03, at, f"{area['value']:.3f}{interval}")
    _text(axes, 1.66, at, f"{precision:.2f}", ha="right")


def _text(axes: Axes, x: float, at: float, text: str, **style: Any) -> None:
    """Text beside a line; ``x`` in widths of the axes."""
    common: dict[str, Any] = {"fontsize": 8.5, "color": INK, "va": "center", "clip_on": False}
    axes.text(x, at, text, transform=axes.get_yaxis_transform(), **(common | style))


def _dress(axes: Axes, macro: Mapping[str, Any]) -> None:
    for x, words, ha in (
        (1.03, "AUROC [95 % interval]", "left"),
        (1.66, "AUPRC", "right"),
        (1.86, "positives", "right"),
    ):
        _text(axes, x, -0.9, words, ha=ha, fontsize=8, color=SOFT)
    tidy(axes, grid="x")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if macro["value"] is None:
        axes.set_xlabel("AUROC", fontsize=9)
        return
    axes.axvline(macro["value"], color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    words = f"AUROC; dashed: mean over all {macro['statements']} statements with a positive, {macro['value']:.3f}"
    if macro["low"] is not None:
        words += f" [{macro['low']:.3f}, {macro['high']:.3f}]"
    axes.set_xlabel(words, fontsize=8.5, color=INK)
