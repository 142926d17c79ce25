"""Where every strip of a 12-lead ECG lies on its paper, in mm: what is drawn, and what is measured on the drawing."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import LEADS, ECGRecord, LeadwiseError

SPEED_MM_S = 25.0
GAIN_MM_MV = 10.0
COLUMN_S = 2.5
STRIP_S = 10.0
LAYOUT: tuple[tuple[str, ...], ...] = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM_LEAD = "II"
LAYOUTS = ("3 x 4", "12 x 1")
"""Three rows of four leads and a rhythm strip, or every lead for 10 s."""
SPEEDS_MM_S = (25, 50)

BOX_MM = 5
"""Between two large lines of the grid."""
MARGIN_MM, HEADER_MM, FOOTER_MM = 6, 14, 8
"""Around the paper, and above and below it."""
TRACE_LEFT_MM = 15
"""From the paper's left edge; before it is the calibration pulse."""
_RIGHT_OF_TRACE_MM = 5
_ROW_MM = (25, 60)
_DENSE_ROW_MM = (20, 60)
"""Least and most distance of two rows, and where there are twelve; in between, rows make room for tall complexes."""
LABEL_MM = 7
"""The foot of every lead's name above its own baseline."""
_LABEL_TOP_MM = LABEL_MM + 3.5


@dataclass(frozen=True)
class Paper:
    """How a recording is laid out.

    Attributes:
        layout: one of ``LAYOUTS``.
        speed_mm_s: one of ``SPEEDS_MM_S``.
    """

    layout: str = LAYOUTS[0]
    speed_mm_s: float = SPEED_MM_S

    @property
    def width_mm(self) -> int:
        """Of the paper itself."""
        return round(TRACE_LEFT_MM + STRIP_S * self.speed_mm_s + _RIGHT_OF_TRACE_MM)

    @property
    def figure_mm(self) -> int:
        """Of the whole figure."""
        return self.width_mm + 2 * MARGIN_MM

    def strips(self, signal: NDArray[np.float64], fs_hz: float) -> "list[list[Strip]]":
        """The pieces of the leads, by row."""
        if self.layout == LAYOUTS[1]:
            return [[_strip(signal, fs_hz, lead, None, self.speed_mm_s)] for lead in LEADS]
        rows = [[_strip(signal, fs_hz, lead, k, self.speed_mm_s) for k, lead in enumerate(row)] for row in LAYOUT]
        return [*rows, [_strip(signal, fs_hz, RHYTHM_LEAD, None, self.speed_mm_s)]]


@dataclass(frozen=True)
class Strip:
    """A piece of one lead on the paper, in mm: ``x`` from the left edge, ``y`` from the lead's baseline.

    It shows the recording from sample ``start`` on, as many as ``x`` and ``y`` are long.
    """

    lead: str
    start: int
    left: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @property
    def up(self) -> float:
        return float(np.nanmax(self.y, initial=0.0))

    @property
    def down(self) -> float:
        return float(-np.nanmin(self.y, initial=0.0))


def ten_seconds(record: ECGRecord, start_s: float) -> ECGRecord:
    """What ``ecg_figure.draw_ecg`` shows of a recording from a time on."""
    first = round(start_s * record.fs_hz)
    return replace(record, signal_mv=record.signal_mv[first : first + round(STRIP_S * record.fs_hz)])


@dataclass(frozen=True)
class Layout:
    """Where everything of a figure is, in mm.

    Attributes:
        paper: how the recording is laid out.
        fs_hz: of the recording.
        rows: the pieces of the leads, by row.
        baselines: of each row, above the paper's lower edge.
        paper_height_mm: of the paper itself.
        below_paper_mm: what lies below the paper: panel, legend and small print.
    """

    paper: Paper
    fs_hz: float
    rows: list[list[Strip]]
    baselines: list[int]
    paper_height_mm: int
    below_paper_mm: float

    @property
    def width_mm(self) -> int:
        """Of the whole figure."""
        return self.paper.figure_mm

    @property
    def height_mm(self) -> float:
        """Of the whole figure."""
        return HEADER_MM + self.paper_height_mm + self.below_paper_mm

    def strips(self) -> list[tuple[int, Strip]]:
        """Every piece, with its baseline above the paper's lower edge."""
        return [(base, strip) for base, row in zip(self.baselines, self.rows, strict=True) for strip in row]

    def from_upper_left(self) -> dict[str, Any]:
        """The same as plain numbers, in mm from the upper left corner of the figure, for who measures on its picture.

        ``paper`` is left, top, right and bottom. Of each strip ``start_s`` is the time at ``left``, and the trace
        reaches ``up`` and ``down`` from ``baseline``; a row's strips have one baseline.
        """
        foot = HEADER_MM + self.paper_height_mm
        return {
            "width": self.width_mm,
            "height": self.height_mm,
            "mm_per_s": self.paper.speed_mm_s,
            "mm_per_mv": GAIN_MM_MV,
            "paper": [MARGIN_MM, HEADER_MM, MARGIN_MM + self.paper.width_mm, foot],
            "strips": [
                {
                    "lead": strip.lead,
                    "start_s": strip.start / self.fs_hz,
                    "left": MARGIN_MM + strip.left,
                    "right": MARGIN_MM + float(strip.x[-1]),
                    "baseline": foot - baseline,
                    "up": strip.up,
                    "down": strip.down,
                }
                for baseline, strip in self.strips()
            ],
        }


def lay_out(record: ECGRecord, *, on: Paper | None = None, below_mm: float = 0) -> Layout:
    """Where ``ecg_figure.draw_ecg`` draws what it draws.

    Args:
        record: signal ``(time, 12)`` in mV, any sampling rate.
        on: another layout or speed.
        below_mm: what else lies between the paper and the small print: bars of probabilities, a legend.

    Raises:
        LeadwiseError: the signal is empty or of another shape.
    """
    sheet = on or Paper()
    rows = sheet.strips(_checked(record), record.fs_hz)
    baselines, paper_height = _row_positions(rows)
    return Layout(sheet, record.fs_hz, rows, baselines, paper_height, FOOTER_MM + below_mm)


def _checked(record: ECGRecord) -> NDArray[np.float64]:
    """The first ten seconds as float64, infinite samples as missing, each lead centred on its median."""
    name = record.record_id or "recording"
    signal = np.asarray(record.signal_mv, dtype=np.float64)
    if signal.ndim != 2 or signal.shape[1] != len(LEADS) or len(signal) < 2:
        raise LeadwiseError(f"{name}: received a signal of shape {signal.shape}; allowed: (time, {len(LEADS)}) in mV")
    if not (np.isfinite(record.fs_hz) and record.fs_hz > 0):
        raise LeadwiseError(f"{name}: received fs_hz {record.fs_hz}; allowed: above 0")
    signal = signal[: round(STRIP_S * record.fs_hz) + 1]
    signal = np.where(np.isfinite(signal), signal, np.nan)
    medians = [np.nanmedian(lead) if np.isfinite(lead).any() else 0.0 for lead in signal.T]
    return signal - np.array(medians)


def _strip(signal: NDArray[np.float64], fs_hz: float, lead: str, column: int | None, speed: float) -> Strip:
    """Lead ``lead`` in one of the four columns, or over the whole width (``None``)."""
    span = round((STRIP_S if column is None else COLUMN_S) * fs_hz)
    start = min(round((column or 0) * COLUMN_S * fs_hz), max(len(signal) - 1 - span, 0))
    y = signal[start : start + span + 1, LEADS.index(lead)]
    left = TRACE_LEFT_MM + (column or 0) * COLUMN_S * speed
    return Strip(lead, start, left, left + np.arange(len(y)) / fs_hz * speed, y * GAIN_MM_MV)


def _row_positions(rows: list[list[Strip]]) -> tuple[list[int], int]:
    """Heights of the baselines above the paper's lower edge, on large lines, and the paper's height, in mm."""

    def boxes(room: float, least: int, most: int) -> int:
        return int(np.clip(np.ceil(room / BOX_MM) * BOX_MM, least, most))

    gaps = []
    for upper, lower in pairwise(rows):
        facing = zip(upper, lower * (len(upper) // len(lower)), strict=True)
        # A lead's name belongs to its own trace: the complexes of the row above stay clear of it.
        room = max(above.down + max(below.up, _LABEL_TOP_MM) for above, below in facing) + 2
        gaps.append(boxes(room, *(_ROW_MM if len(rows) < len(LEADS) else _DENSE_ROW_MM)))
    top = boxes(max(strip.up for strip in rows[0]) + 3, 20, 45)
    bottom = boxes(max(strip.down for strip in rows[-1]) + 5, 15, 45)
    baselines = [bottom + sum(gaps[k:]) for k in range(len(rows))]
    return baselines, baselines[0] + top
