"""Two columns of text below the paper of an ECG figure, or on a page of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from leadwise.reports.ecg_figure import Strip, Underlay

LINE_MM = 3.7
GAP_MM = 4.0
_INK = "#1B1B2B"

Columns = tuple[Sequence[str], Sequence[str]]


def notes_height_mm(columns: Columns) -> float:
    """How high two columns are."""
    return max(map(len, columns)) * LINE_MM + GAP_MM


def draw_notes(page: Axes, columns: Columns, left: float, bottom: float, width: float) -> None:
    """Draw two columns; the data unit of ``page`` is one millimetre."""
    top = bottom + notes_height_mm(columns) - GAP_MM / 2
    for k, lines in enumerate(columns):
        for number, line in enumerate(lines):
            y = top - (number + 1) * LINE_MM + 1
            # A text of somebody else's may hold dollars, which mean no formula here.
            page.text(left + k * width / 2, y, line, fontsize=8, color=_INK, family="DejaVu Sans", parse_math=False)


@dataclass(frozen=True)
class NotesBelow:
    """An ``ecg_figure.Underlay`` that adds two columns of text below the legend of another one."""

    columns: Columns
    inner: Underlay | None = None

    @property
    def legend_height_mm(self) -> float:
        return notes_height_mm(self.columns) + (self.inner.legend_height_mm if self.inner else 0)

    def draw_strip(self, paper: Axes, strip: Strip, baseline: float) -> None:
        """What the other one draws."""
        if self.inner:
            self.inner.draw_strip(paper, strip, baseline)

    def draw_legend(self, page: Axes, left: float, bottom: float, width: float) -> None:
        """The other one's legend, and the text below it."""
        if self.inner:
            self.inner.draw_legend(page, left, bottom + notes_height_mm(self.columns), width)
        draw_notes(page, self.columns, left, bottom, width)
