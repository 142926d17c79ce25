"""A small histogram as inline SVG, for a page that loads nothing and needs no plotting library."""

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, FLOOR = 300, 120, 96
"""Pixels; the bars stand on ``FLOOR``."""
BINS = 40
MOST_LIMITS = 120
"""A value of more limits than that stands in the last bar."""
INSIDE, OUTSIDE, TEXT = "#7a9cc0", "#b3261e", "#5b6673"


def histogram_svg(values: np.ndarray, limits: Sequence[float], unit: str, caption: str) -> str:
    """Counts on a logarithmic scale; the upper limit lies between two bars, and those beyond it are red.

    Args:
        values: ``(record,)`` finite numbers from 0, at least one.
        limits: one limit from above, or one from below and one from above; above 0.
        unit: of the values.
        caption: text below the figure.
    """
    highest, largest = max(limits), float(values.max())
    end = min(max(largest, 1.25 * highest), MOST_LIMITS * highest)
    width = highest / max(1, round(BINS * highest / end))
    edges = np.arange(int(np.ceil(end / width - 1e-9)) + 1) * width
    # A value at the limit is allowed: it belongs to the bar before it, while numpy's bins begin with their edge.
    placed = np.where(values <= highest, np.minimum(values, highest - width / 2), values)
    counts, _ = np.histogram(np.clip(placed, 0, edges[-1]), bins=edges)
    heights = (FLOOR - 14) * np.log10(counts + 1) / np.log10(counts.max() + 1)
    step = WIDTH / len(counts)
    bars = "".join(
        f"<rect x='{number * step:.1f}' y='{FLOOR - height:.1f}' width='{max(step - 1, 1):.1f}' height='{height:.1f}' "
        f"fill='{INSIDE if edges[number] < highest - 1e-9 else OUTSIDE}'/>"
        for number, height in enumerate(heights)
        if height > 0
    )
    marks = "".join(_limit(limit, limit / edges[-1] * WIDTH, unit if limit == highest else "") for limit in limits)
    axis = (
        f"<line x1='0' x2='{WIDTH}' y1='{FLOOR}' y2='{FLOOR}' stroke='{TEXT}'/>"
        f"<text x='0' y='{FLOOR + 14}'>0</text>"
        f"<text x='{WIDTH}' y='{FLOOR + 14}' text-anchor='end'>{_short(edges[-1])} {unit}</text>"
    )
    return (
        f"<figure><svg viewBox='0 0 {WIDTH} {HEIGHT}' width='100%' role='img' aria-label='{escape(caption)}' "
        f"font-size='10' fill='{TEXT}'>{bars}{marks}{axis}</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _limit(limit: float, place: float, unit: str) -> str:
    """A dashed line, and what it means beside it."""
    at_end = place > WIDTH * 0.7
    return (
        f"<line x1='{place:.1f}' x2='{place:.1f}' y1='0' y2='{FLOOR}' stroke='{OUTSIDE}' stroke-dasharray='3 2'/>"
        f"<text x='{place + (-4 if at_end else 4):.1f}' y='10' text-anchor='{'end' if at_end else 'start'}'>"
        f"{_short(limit)} {unit}</text>"
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
