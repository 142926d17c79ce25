"""What a model says of a recording, on the figure of it: a bar for each class, and an explanation behind the traces.

Orange is what speaks for a class, blue and hatched what speaks against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from leadwise.contract import LEADS, SUPERCLASS_NAMES, SUPERCLASSES, LeadwiseError
from leadwise.explain import Explanation
from leadwise.reports.ecg_paper import Strip

INK, FAINT, PAPER = "#1B1B2B", "#70707E", "#FFFAF8"

PANEL_HEIGHT_MM = 25
_GAP_MM = 7.0
_BAR_MM = 3.2
_TRACK, _BELOW = "#ECECF1", "#A9A9B8"
_REPORTED, _REPORTED_NORMAL = "#D55E00", "#0072B2"


def draw_probabilities(
    page: Axes,
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    left: float,
    bottom: float,
    width: float,
    bands: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Draw one bar per class, in the order of ``SUPERCLASSES``; a class at or above its threshold stands out.

    Args:
        page: axes whose data unit is one millimetre.
        probabilities: class -> probability.
        thresholds: class -> threshold; a class without one is never emphasised.
        left, bottom, width: where the panel goes, in mm; it is ``PANEL_HEIGHT_MM`` high.
        bands: class -> from and to of "uncertain", hatched on its bar.

    Raises:
        LeadwiseError: an unknown class, or a number outside 0 to 1.
    """
    for kind, values in (("probabilities", probabilities), ("thresholds", thresholds)):
        for name, value in values.items():
            if name not in SUPERCLASSES:
                raise LeadwiseError(f"{kind}: received class {name!r}; allowed: {', '.join(SUPERCLASSES)}")
            if not 0 <= value <= 1:
                raise LeadwiseError(f"{kind}: received {value} for {name}; allowed: 0 to 1")
    shown = [name for name in SUPERCLASSES if name in probabilities]
    column = (width + _GAP_MM) / len(shown) if shown else width
    for k, name in enumerate(shown):
        _draw_class(
            page,
            name,
            probabilities[name],
            thresholds.get(name),
            (bands or {}).get(name),
            (left + k * column, bottom, column - _GAP_MM),
        )


def _draw_class(
    page: Axes,
    name: str,
    probability: float,
    threshold: float | None,
    band: tuple[float, float] | None,
    place: tuple[float, float, float],
) -> None:
    left, bottom, width = place
    unsure = band is not None and band[0] <= probability <= band[1]
    reported = threshold is not None and probability >= threshold and not unsure
    ink, weight = (INK, "bold") if reported else (FAINT, "normal")
    page.text(left, bottom + 15.5, name, **text_style(12, ink, fontweight=weight))
    page.text(left + width, bottom + 15.5, percent(probability), **text_style(12, ink, fontweight=weight, ha="right"))
    page.text(left, bottom + 11.2, SUPERCLASS_NAMES[name], **text_style(8.5, ink))
    bar = bottom + 5.8
    colour = (_REPORTED_NORMAL if name == "NORM" else _REPORTED) if reported else _BELOW
    _draw_bar(page, left, bar, width, _TRACK)
    if probability > 0:
        _draw_bar(page, left, bar, max(width * probability, _BAR_MM / 2), colour)
    if band is not None:
        page.add_patch(
            _hatched(
                left + width * band[0],
                bar,
                width * (band[1] - band[0]),
                _BAR_MM,
                edgecolor=INK,
                linewidth=0.5,
                zorder=4,
            )
        )
    if threshold is not None:
        mark = left + width * threshold
        page.plot([mark, mark], [bar - 1.1, bar + _BAR_MM + 1.1], color=INK, linewidth=1.3, zorder=5)
        inside = min(max(mark, left + 9), left + width - 9)
        words = f"threshold {percent(threshold)}"
        if band is not None:
            words = f"{'uncertain: ' if unsure else 'uncertain '}{percent(band[0])} to {percent(band[1])}"
        page.text(inside, bar - 1.9, words, **text_style(7.5, FAINT, ha="center", va="top"))


def _draw_bar(page: Axes, left: float, bottom: float, width: float, colour: str) -> None:
    radius = min(_BAR_MM, width) / 2
    style = f"round,pad=0,rounding_size={radius}"
    page.add_patch(FancyBboxPatch((left, bottom), width, _BAR_MM, boxstyle=style, facecolor=colour, edgecolor="none"))


def percent(probability: float) -> str:
    """A probability as people say it: ``<1 %``, ``37 %``, ``>99 %``."""
    if 0 < probability < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < probability < 1 else f"{100 * probability:.0f} %"


def text_style(size: float, colour: str = INK, *, halo: bool = False, **more: str) -> dict[str, Any]:
    """Properties of text, its size in points; a halo in the paper's colour keeps it legible on grid and trace."""
    effects = [withStroke(linewidth=2.2, foreground=PAPER)] if halo else []
    # A title may be the name of a file, in which dollars mean no formula.
    plain = {"fontsize": size, "color": colour, "family": "DejaVu Sans", "parse_math": False}
    return {**plain, "path_effects": effects, "zorder": 6, **more}


FOR_COLOUR, AGAINST_COLOUR = "#E66100", "#1A66B8"
"""An orange and a blue that readers with any colour vision tell apart; hatching tells them apart without colour."""
_AGAINST: dict[str, Any] = {"edgecolor": "#0B3C73", "linewidth": 0, "zorder": 2.6}

STRONGEST_SHARE = 0.995
"""Attributions at and above this quantile have the full colour, so that a single sample does not fade the rest."""
FAINTEST = 0.08
"""What is weaker than this share of the full colour is left blank."""
HATCHED_FROM = 0.2
"""Hatching says "against" where there is no colour; on what is weaker it would only be noise."""
NAMED_FROM = 0.1
"""What is weaker than this share of the strongest wave is not put into words."""
SMOOTHING_S = 0.06
MOST_OPAQUE = 0.78

_UP_MM, _DOWN_MM = 10.5, 10.5
LEGEND_MM = 13.0


def explained_title(title: str, explanation: Explanation | None) -> str:
    """A headline, and after it whose probability is explained."""
    if explanation is None:
        return title
    name = SUPERCLASS_NAMES[explanation.superclass]
    headline = f"Why {explanation.superclass} ({name}) {percent(explanation.probability)}"
    return f"{title}  ·  {headline}" if title else headline


@dataclass(frozen=True)
class Shading:
    """An explanation behind the traces of a recording, and its legend.

    Attributes:
        explanation: of one class.
        fs_hz: sampling rate of the recording.
    """

    explanation: Explanation
    fs_hz: float

    @cached_property
    def strength(self) -> NDArray[np.float64]:
        """Attribution from -1 to 1, ``(time, 12)``, smoothed a little along time."""
        from scipy.ndimage import gaussian_filter1d

        sigma = SMOOTHING_S * self.explanation.fs_hz / 2
        smooth = gaussian_filter1d(self.explanation.attribution.astype(np.float64), sigma, axis=0)
        full = np.quantile(np.abs(smooth), STRONGEST_SHARE)
        return np.clip(smooth / full, -1, 1) if full > 0 else smooth

    def draw_strip(self, paper: Axes, strip: Strip, baseline: float) -> None:
        """One column of colour per sample, as high as the row; the grid has zorder up to 2, the trace 4."""
        time_s = (strip.start + np.arange(len(strip.y))) / self.fs_hz
        own = np.minimum(np.round(time_s * self.explanation.fs_hz).astype(int), len(self.strength) - 1)
        strength = self.strength[own, LEADS.index(strip.lead)]
        strength = np.where(np.abs(strength) < FAINTEST, 0, strength)
        half = (strip.x[1] - strip.x[0]) / 2
        box = (strip.x[0] - half, strip.x[-1] + half, baseline - _DOWN_MM, baseline + _UP_MM)
        paper.imshow(_colours(strength)[np.newaxis], extent=box, aspect="auto", interpolation="nearest", zorder=2.5)
        paper.set(xlim=(0, paper.get_xlim()[1]), ylim=(0, paper.get_ylim()[1]))
        for first, last in _runs(strength < -HATCHED_FROM):
            left, right = strip.x[first] - half, strip.x[last] + half
            paper.add_patch(_hatched(left, baseline - _DOWN_MM, right - left, _DOWN_MM + _UP_MM, **_AGAINST))

    def draw_legend(self, page: Axes, left: float, bottom: float, width: float) -> None:
        """A colour bar with words, and the waves that spoke most, ``LEGEND_MM`` high."""
        name = self.explanation.superclass
        bar_left, bar_width, bar_bottom, bar_height = left + 40, 44.0, bottom + 6.3, 3.4
        ramp = _colours(np.linspace(-1, 1, 101))[np.newaxis]
        limits = page.get_xlim(), page.get_ylim()
        box = (bar_left, bar_left + bar_width, bar_bottom, bar_bottom + bar_height)
        page.imshow(ramp, extent=box, aspect="auto", interpolation="bilinear", zorder=3)
        page.set(xlim=limits[0], ylim=limits[1])
        page.add_patch(_hatched(bar_left, bar_bottom, bar_width / 2 * (1 - HATCHED_FROM), bar_height, **_AGAINST))
        middle = bar_bottom + bar_height / 2
        page.text(bar_left - 2, middle, f"speaks against {name}", ha="right", va="center", **text_style(9))
        page.text(bar_left + bar_width + 2, middle, f"speaks for {name}", ha="left", va="center", **text_style(9))
        words = bar_left + bar_width + 42
        page.text(words, middle + 2.2, f"For: {_in_words(self.explanation)}", va="center", **text_style(8.5))
        against = f"Against: {_in_words(self.explanation, against=True)}"
        page.text(words, middle - 2.6, against, va="center", **text_style(8.5))
        caution = "What the network used (Shapley values of waves); it is no proof of a cause."
        page.text(left, bottom + 1.6, caution, **text_style(7.5, FAINT))


def _in_words(explanation: Explanation, *, against: bool = False) -> str:
    """``QRS complex in V1, V2; T wave in V1``, the strongest first, without what is weak beside it."""
    largest = max(
        (abs(piece[2]) for side in (False, True) for piece in explanation.strongest(1, against=side)), default=0
    )
    by_wave: dict[str, list[str]] = {}
    for wave, lead, effect in explanation.strongest(5, against=against):
        if abs(effect) >= NAMED_FROM * largest:
            by_wave.setdefault(wave, []).append(lead)
    return "; ".join(f"{wave} in {', '.join(leads)}" for wave, leads in by_wave.items()) or "little"


def _colours(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGBA of ``(sample,)`` strengths from -1 to 1; the paper shows through weak ones."""
    sides = np.array([to_rgb(AGAINST_COLOUR), to_rgb(FOR_COLOUR)])
    return np.column_stack([sides[(strength > 0).astype(int)], MOST_OPAQUE * np.abs(strength)])


def _hatched(left: float, bottom: float, width: float, height: float, **style: Any) -> Rectangle:
    area = Rectangle((left, bottom), width, height, fill=False, **style)
    area.set_hatch("////")
    area.set_hatch_linewidth(0.45)
    return area


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
