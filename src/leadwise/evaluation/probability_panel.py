"""The five probabilities as a strip of bars with threshold marks, for the foot of an ECG figure."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES

PANEL_HEIGHT_MM = 25

_GAP_MM = 7.0
_BAR_MM = 3.2
_INK, _FAINT, _TRACK, _BELOW = "#1B1B2B", "#70707E", "#ECECF1", "#A9A9B8"
_REPORTED, _REPORTED_NORMAL = "#D55E00", "#0072B2"


def draw_probabilities(
    page: Axes,
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    left: float,
    bottom: float,
    width: float,
) -> None:
    """Draw one bar per class, in the order of ``SUPERCLASSES``; a class at or above its threshold stands out.

    Args:
        page: axes whose data unit is one millimetre.
        probabilities: class -> probability.
        thresholds: class -> threshold; a class without one is never emphasised.
        left, bottom, width: where the panel goes, in mm; it is ``PANEL_HEIGHT_MM`` high.

    Raises:
        ValueError: an unknown class, or a number outside 0 to 1.
    """
    for kind, values in (("probabilities", probabilities), ("thresholds", thresholds)):
        for name, value in values.items():
            if name not in SUPERCLASSES:
                raise ValueError(f"{kind}: received class {name!r}; allowed: {', '.join(SUPERCLASSES)}")
            if not 0 <= value <= 1:
                raise ValueError(f"{kind}: received {value} for {name}; allowed: 0 to 1")
    shown = [name for name in SUPERCLASSES if name in probabilities]
    column = (width + _GAP_MM) / len(shown) if shown else width
    for k, name in enumerate(shown):
        _draw_class(page, name, probabilities[name], thresholds.get(name), left + k * column, bottom, column - _GAP_MM)


def _draw_class(
    page: Axes, name: str, probability: float, threshold: float | None, left: float, bottom: float, width: float
) -> None:
    reported = threshold is not None and probability >= threshold
    text: dict[str, Any] = {"color": _INK if reported else _FAINT, "family": "DejaVu Sans"}
    weight = "bold" if reported else "normal"
    page.text(left, bottom + 15.5, name, fontsize=12, fontweight=weight, **text)
    page.text(left + width, bottom + 15.5, percent(probability), ha="right", fontsize=12, fontweight=weight, **text)
    page.text(left, bottom + 11.2, SUPERCLASS_NAMES[name], fontsize=8.5, **text)
    bar = bottom + 5.8
    colour = (_REPORTED_NORMAL if name == "NORM" else _REPORTED) if reported else _BELOW
    _draw_bar(page, left, bar, width, _TRACK)
    if probability > 0:
        _draw_bar(page, left, bar, max(width * probability, _BAR_MM / 2), colour)
    if threshold is not None:
        mark = left + width * threshold
        page.plot([mark, mark], [bar - 1.1, bar + _BAR_MM + 1.1], color=_INK, linewidth=1.3, zorder=5)
        page.text(
            min(max(mark, left + 9), left + width - 9),
            bar - 1.9,
            f"threshold {percent(threshold)}",
            ha="center",
            va="top",
            fontsize=7.5,
            color=_FAINT,
            family="DejaVu Sans",
        )


def _draw_bar(page: Axes, left: float, bottom: float, width: float, colour: str) -> None:
    radius = min(_BAR_MM, width) / 2
    style = f"round,pad=0,rounding_size={radius}"
    page.add_patch(FancyBboxPatch((left, bottom), width, _BAR_MM, boxstyle=style, facecolor=colour, edgecolor="none"))


def percent(probability: float) -> str:
    """A probability as people say it: ``<1 %``, ``37 %``, ``>99 %``."""
    if 0 < probability < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < probability < 1 else f"{100 * probability:.0f} %"
