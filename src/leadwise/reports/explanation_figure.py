"""An explanation behind the 12-lead trace: orange what speaks for a class, blue and hatched what speaks against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from leadwise.contract import LEADS, SUPERCLASS_NAMES, ECGRecord, LeadwiseError
from leadwise.explain import Explanation
from leadwise.reports.ecg_figure import FAINT, draw_ecg, percent, text_style
from leadwise.reports.ecg_paper import Paper, Strip

FOR_COLOUR, AGAINST_COLOUR = "#E66100", "#1A66B8"
"""An orange and a blue that readers with any colour vision tell apart; hatching tells them apart without colour."""
HATCH_COLOUR = "#0B3C73"

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


def draw_explanation(
    record: ECGRecord,
    explanation: Explanation,
    *,
    probability: float | None = None,
    probabilities: Mapping[str, float] | None = None,
    thresholds: Mapping[str, float] | None = None,
    title: str = "",
    on: Paper | None = None,
) -> Figure:
    """The ECG figure of ``ecg_figure.draw_ecg`` with an explanation behind its traces, the rhythm strip included.

    Args:
        record: the recording that was explained, at any sampling rate.
        explanation: of one class.
        probability: of that class, calibrated; ``None``: the explanation's own.
        probabilities: class -> calibrated probability, drawn as bars below the paper.
        thresholds: class -> probability at and above which the class is reported.
        title: goes before the class, such as the record's name.
        on: another layout or speed.

    Raises:
        LeadwiseError: the explanation does not last as long as the recording.
    """
    lasts, explained = len(record.signal_mv) / record.fs_hz, len(explanation.attribution) / explanation.fs_hz
    if abs(lasts - explained) > 1 / min(record.fs_hz, explanation.fs_hz) + 1e-9:
        raise LeadwiseError(
            f"{record.record_id or 'recording'}: received an explanation of {explained:g} s for {lasts:g} s; allowed: "
            "one of the same recording"
        )
    shown = explanation.probability if probability is None else probability
    name = SUPERCLASS_NAMES.get(explanation.superclass, "")
    headline = f"Why {explanation.superclass} ({name}) {percent(shown)}"
    return draw_ecg(
        record,
        title=f"{title or record.record_id}  ·  {headline}" if title or record.record_id else headline,
        probabilities=probabilities,
        thresholds=thresholds,
        underlay=Shading(explanation, record.fs_hz),
        on=on,
    )


@dataclass(frozen=True)
class Shading:
    """An ``ecg_figure.Underlay``: what ``draw_explanation`` puts behind the traces of a recording, and its legend.

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

    @property
    def legend_height_mm(self) -> float:
        return LEGEND_MM

    def draw_strip(self, paper: Axes, strip: Strip, baseline: float) -> None:
        """One column of colour per sample, as high as the row."""
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
            paper.add_patch(_hatched(left, baseline - _DOWN_MM, right - left, _DOWN_MM + _UP_MM))

    def draw_legend(self, page: Axes, left: float, bottom: float, width: float) -> None:
        """A colour bar with words, and the waves that spoke most."""
        name = self.explanation.superclass
        bar_left, bar_width, bar_bottom, bar_height = left + 40, 44.0, bottom + 6.3, 3.4
        ramp = _colours(np.linspace(-1, 1, 101))[np.newaxis]
        limits = page.get_xlim(), page.get_ylim()
        box = (bar_left, bar_left + bar_width, bar_bottom, bar_bottom + bar_height)
        page.imshow(ramp, extent=box, aspect="auto", interpolation="bilinear", zorder=3)
        page.set(xlim=limits[0], ylim=limits[1])
        page.add_patch(_hatched(bar_left, bar_bottom, bar_width / 2 * (1 - HATCHED_FROM), bar_height))
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


def _hatched(left: float, bottom: float, width: float, height: float) -> Rectangle:
    area = Rectangle((left, bottom), width, height, fill=False, edgecolor=HATCH_COLOUR, linewidth=0, zorder=2.6)
    area.set_hatch("////")
    area.set_hatch_linewidth(0.45)
    return area


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
