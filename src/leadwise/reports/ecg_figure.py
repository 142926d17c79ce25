"""A 12-lead ECG as a clinician expects it: on paper, 25 mm/s and 10 mm/mV, with what the model says about it below.

The figure is true to scale: printed at 100 % from PDF or SVG, a small box is one millimetre. A PNG at ``PNG_DPI`` has
ten pixels a millimetre, so that the grid falls on whole pixels. Save it without ``bbox_inches="tight"``.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from leadwise.atomic import write_atomically
from leadwise.contract import DISCLAIMER, ECGRecord, LeadwiseError
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.explain import Explanation
from leadwise.reports.answer_figure import (
    FAINT,
    INK,
    LEGEND_MM,
    PANEL_HEIGHT_MM,
    PAPER,
    Shading,
    draw_probabilities,
    text_style,
)
from leadwise.reports.ecg_paper import (
    BOX_MM,
    FOOTER_MM,
    GAIN_MM_MV,
    HEADER_MM,
    LABEL_MM,
    MARGIN_MM,
    STRIP_S,
    TRACE_LEFT_MM,
    Paper,
    Strip,
    lay_out,
    ten_seconds,
)

PNG_DPI = 254
"""Ten pixels a millimetre."""

_MM_PER_INCH = 25.4

_TITLE_SIZE, _TITLE_MM, _FACTS_MM = 14, 3.0, 1.9
"""Size of the headline in points, how wide a letter of it is, and one of the facts beside it: a long one is smaller."""

_SMALL_LINE, _LARGE_LINE = "#F8DCD6", "#EDAFA5"

_TRACE: dict[str, Any] = {
    "color": INK,
    "linewidth": 0.85,
    "solid_joinstyle": "round",
    "solid_capstyle": "round",
    "zorder": 4,
}


def draw_ecg(
    record: ECGRecord,
    *,
    title: str = "",
    probabilities: Mapping[str, float] | None = None,
    thresholds: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[float, float]] | None = None,
    explanation: Explanation | None = None,
    room_mm: float = 0,
    disclaimer: str = DISCLAIMER,
    on: Paper | None = None,
) -> Figure:
    """Draw three rows of four leads, 2.5 s each, and lead II for 10 s, on paper at 25 mm/s and 10 mm/mV.

    Columns follow each other in time. A recording shorter than 10 s shows every lead: later columns then start
    earlier. Of a longer one, the first 10 s are drawn. Each lead is centred on its median, as ECG amplifiers pass no
    direct current. A lead without a single number is marked ``no signal``; missing samples leave gaps.

    Args:
        record: signal ``(time, 12)`` in mV, any sampling rate.
        title: the headline; the record's id if empty.
        probabilities: class -> calibrated probability, drawn as bars below the paper.
        thresholds: class -> probability at and above which the class is reported, marked on the bars.
        bands: class -> from and to of "uncertain", hatched on the bars.
        explanation: of the same recording, at any sampling rate, drawn behind the traces.
        room_mm: left free between the explanation's legend and the bars, for the caller.
        disclaimer: the small print.
        on: another layout or speed.

    Raises:
        LeadwiseError: the signal is empty or of another shape, the explanation does not last as long, or a class or
            probability is not allowed.
    """
    sheet = on or Paper()
    panel = PANEL_HEIGHT_MM if probabilities else 0
    below_legend = panel + room_mm
    placed = lay_out(record, on=sheet, below_mm=below_legend + (LEGEND_MM if explanation else 0))
    shading = _shading(record, explanation) if explanation else None
    width, height, paper_height = placed.width_mm, placed.height_mm, placed.paper_height_mm

    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=PNG_DPI, facecolor="white")
    page = _axes_in_mm(figure, "page", 0, 0, width, height)
    paper = _axes_in_mm(figure, "paper", MARGIN_MM, placed.below_paper_mm, sheet.width_mm, paper_height)
    _draw_grid(paper, sheet.width_mm, paper_height)
    for row, baseline in zip(placed.rows, placed.baselines, strict=True):
        _draw_calibration_pulse(paper, baseline)
        for strip in row:
            if shading:
                shading.draw_strip(paper, strip, baseline)
            _draw_strip(paper, strip, baseline)
    scale = f"{sheet.speed_mm_s:g} mm/s   {GAIN_MM_MV:g} mm/mV"
    paper.text(sheet.width_mm - 2, 1.6, scale, ha="right", **text_style(8, halo=True))
    if any(b + s.up > paper_height or s.down > b for b, s in placed.strips()):
        paper.text(2, 1.6, "cut off at the paper's edge", **text_style(8, halo=True))
    _draw_header(page, record, title, height - HEADER_MM, sheet.width_mm)
    if probabilities:
        draw_probabilities(page, probabilities, thresholds or {}, MARGIN_MM, FOOTER_MM, sheet.width_mm, bands)
    if shading:
        shading.draw_legend(page, MARGIN_MM, FOOTER_MM + below_legend, sheet.width_mm)
    page.text(MARGIN_MM, 3, disclaimer, **text_style(7.5, FAINT))
    return figure


def _shading(record: ECGRecord, explanation: Explanation) -> Shading:
    lasts, explained = len(record.signal_mv) / record.fs_hz, len(explanation.attribution) / explanation.fs_hz
    if abs(lasts - explained) > 1 / min(record.fs_hz, explanation.fs_hz) + 1e-9:
        raise LeadwiseError(
            f"{record.record_id or 'recording'}: received an explanation of {explained:g} s for {lasts:g} s; allowed: "
            "one of the same recording"
        )
    return Shading(explanation, record.fs_hz)


def _axes_in_mm(figure: Figure, label: str, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes without decoration whose data unit is one millimetre of the figure."""
    page_width, page_height = figure.get_size_inches() * _MM_PER_INCH
    box = (left / page_width, bottom / page_height, width / page_width, height / page_height)
    axes = figure.add_axes(box, label=label)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def _draw_grid(paper: Axes, width: int, height: int) -> None:
    paper.fill([0, width, width, 0], [0, 0, height, height], color=PAPER, linewidth=0, zorder=0)
    for colour, line_width, large in ((_SMALL_LINE, 0.35, False), (_LARGE_LINE, 0.6, True)):
        across = [[(x, 0), (x, height)] for x in range(width + 1) if (x % BOX_MM == 0) == large]
        along = [[(0, y), (width, y)] for y in range(height + 1) if (y % BOX_MM == 0) == large]
        lines = LineCollection(across + along, colors=colour, linewidths=line_width, zorder=1 + large, snap=True)
        lines.set_clip_on(False)
        paper.add_collection(lines, autolim=False)


def _draw_calibration_pulse(paper: Axes, baseline: float) -> None:
    """1 mV for 0.2 s."""
    x = [TRACE_LEFT_MM - 10, TRACE_LEFT_MM - 7.5, TRACE_LEFT_MM - 7.5, TRACE_LEFT_MM - 2.5, TRACE_LEFT_MM - 2.5]
    y = np.array([0, 0, GAIN_MM_MV, GAIN_MM_MV, 0, 0]) + baseline
    paper.plot([*x, TRACE_LEFT_MM], y, gid="calibration", **_TRACE)


def _draw_strip(paper: Axes, strip: Strip, baseline: float) -> None:
    if np.isfinite(strip.y).any():
        paper.plot(strip.x, strip.y + baseline, gid=f"lead-{strip.lead}", **_TRACE)
    else:
        paper.text(
            strip.left + 4, baseline, "no signal", va="center", **text_style(9, FAINT, halo=True, style="italic")
        )
    if strip.left > TRACE_LEFT_MM:
        for side in (-1, 1):
            paper.plot([strip.left] * 2, [baseline + 2.5 * side, baseline + 5 * side], color=INK, linewidth=0.7)
    name = text_style(10, halo=True, fontweight="bold")
    paper.text(strip.left + 1.5, baseline + LABEL_MM, strip.lead, gid=f"name-{strip.lead}", **name)


def _draw_header(page: Axes, record: ECGRecord, title: str, bottom: float, width: float) -> None:
    duration = len(record.signal_mv) / record.fs_hz
    facts = [*_patient_facts(record.patient), f"{record.fs_hz:g} Hz", f"{duration:.3g} s"]
    if duration > STRIP_S + 1 / record.fs_hz:
        facts[-1] += f", first {STRIP_S:g} s shown"
    right = MARGIN_MM + width
    beside = "  ·  ".join(facts)
    page.text(right, bottom + 4, beside, ha="right", **text_style(9.5, FAINT))
    headline = title or record.record_id or "12-lead ECG"
    room = width - len(beside) * _FACTS_MM - 5
    size = min(_TITLE_SIZE, _TITLE_SIZE * room / (len(headline) * _TITLE_MM))
    page.text(MARGIN_MM, bottom + 4, headline, **text_style(size, fontweight="bold"))


def _patient_facts(patient: Mapping[str, float | None]) -> list[str]:
    age, sex = patient.get("age"), patient.get("sex")
    facts = []
    if age is not None and np.isfinite(age):
        facts.append("over 89 years" if age > 89 else f"{age:.0f} years")
    if sex in (0, 1):
        facts.append("female" if sex else "male")
    return facts


ENDINGS = (".png", ".pdf", ".svg")


def plot_file(source: Path, figure_file: Path, *, start_s: float = 0.0, hints: Mapping[str, Any] | None = None) -> Path:
    """Draw ten seconds of a recording.

    Args:
        source: a file that ``leadwise.ecg.formats`` reads; of WFDB the header.
        figure_file: PNG, PDF or SVG, by its ending.
        start_s: the first of the ten seconds.
        hints: what the file does not say, as ``read_ecg`` takes it.

    Returns:
        ``figure_file``.

    Raises:
        LeadwiseError: the figure's name has another ending, it cannot be written, it ends before ``start_s``,
            or the file cannot be read or does not say what is needed.
    """
    if figure_file.suffix.casefold() not in ENDINGS:
        raise LeadwiseError(f"--output: received {figure_file.name}; a name that ends with {', '.join(ENDINGS)}")
    read = read_ecg(source, **(hints or {}))
    for question in read.questions:
        likely = f" (likely: {question.suggestion})" if question.suggestion is not None else ""
        # Which of several recordings is meant stands in the name of the file.
        option = f" Answer with --{question.field.replace('_', '-')}" if question.field != "record" else ""
        raise ReaderError(read.file, question.field, f"{question.text}{likely}{option}")
    recording = read.recording(record_id=read.file)
    record = recording.record
    lasts = len(record.signal_mv) / record.fs_hz
    if not 0 <= start_s < lasts - 1:
        raise LeadwiseError(f"--start: received {start_s:g}; 0 to {max(lasts - 1, 0):g} s is allowed")
    title = f"{read.file}, from {start_s:g} s" if start_s else read.file
    if any(recording.ends_cut):
        title += ", without its empty ends"
    figure = draw_ecg(ten_seconds(record, start_s) if start_s else record, title=title)
    save_figure(figure, figure_file, "--output")
    return figure_file


def save_figure(figure: Figure, file: Path, option: str) -> None:
    """Write a figure whole, as PNG, PDF or SVG, by the ending of its file.

    Raises:
        LeadwiseError: the file that the option names cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].casefold())
    try:
        write_atomically(file, drawn.getvalue())
    except OSError as error:
        raise LeadwiseError(f"{option}: {file}: cannot be written: {error.strerror}") from None
