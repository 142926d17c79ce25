"""The statements as a forest plot: AUROC on fold 10 with its interval, those told to a user; the others by name."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leadwise.data.statements import GROUPS
from leadwise.evaluation.statement_choice import ANSWERED_ELSEWHERE

GROUP_TITLES: Mapping[str, str] = {"diagnostic": "Diagnoses", "form": "Form of the waves", "rhythm": "Rhythm"}
GROUP_COLOURS: Mapping[str, str] = {"diagnostic": "#0072B2", "form": "#E69F00", "rhythm": "#009E73"}
"""From the palette of Okabe and Ito (2008)."""

_INK, _FAINT, _GREY = "#222233", "#D9D9E0", "#77777F"
_ROW_INCHES, _NOTE_INCHES, _ABOVE_INCHES, _BELOW_INCHES, _WIDTH_INCHES = 0.235, 0.165, 0.85, 0.75, 9.5
_NOTE_LETTERS = 155
_LOWEST = 0.7
"""Where the axis begins at the latest; it never hides an interval."""

Entry = Mapping[str, Any]


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
        figure.text(0.007, y, note, fontsize=7.5, color=_GREY, va="center")
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
        _text(axes, 1.03, at, "undefined", color=_GREY)
        return
    axes.axhline(at, color=_FAINT, linewidth=0.6, zorder=0)
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
    common: dict[str, Any] = {"fontsize": 8.5, "color": _INK, "va": "center", "clip_on": False}
    axes.text(x, at, text, transform=axes.get_yaxis_transform(), **(common | style))


def _dress(axes: Axes, macro: Mapping[str, Any]) -> None:
    for x, words, ha in (
        (1.03, "AUROC [95 % interval]", "left"),
        (1.66, "AUPRC", "right"),
        (1.86, "positives", "right"),
    ):
        _text(axes, x, -0.9, words, ha=ha, fontsize=8, color=_GREY)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=_INK, length=3)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    if macro["value"] is None:
        axes.set_xlabel("AUROC", fontsize=9)
        return
    axes.axvline(macro["value"], color=_INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    words = f"AUROC; dashed: mean over all {macro['statements']} statements with a positive, {macro['value']:.3f}"
    if macro["low"] is not None:
        words += f" [{macro['low']:.3f}, {macro['high']:.3f}]"
    axes.set_xlabel(words, fontsize=8.5, color=_INK)
