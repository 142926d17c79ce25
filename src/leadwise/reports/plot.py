"""An ECG file drawn on paper, to a file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.contract import LeadwiseError
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.reports.ecg_figure import draw_ecg, ten_seconds

ENDINGS = (".png", ".pdf", ".svg")


class PlotError(LeadwiseError):
    """A figure cannot be written; the message names the option."""


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
        PlotError: the figure's name has another ending, it cannot be written, or the recording ends before ``start_s``.
        ReaderError: the file cannot be read, or does not say what is needed.
    """
    if figure_file.suffix.casefold() not in ENDINGS:
        raise PlotError(f"--output: received {figure_file.name}; a name that ends with {', '.join(ENDINGS)}")
    read = read_ecg(source, **(hints or {}))
    for question in read.questions:
        likely = f" (likely: {question.suggestion})" if question.suggestion is not None else ""
        option = f"--{question.field.replace('_', '-')}"
        raise ReaderError(read.file, question.field, f"{question.text}{likely} Answer with {option}")
    recording = read.recording(record_id=read.file)
    record = recording.record
    lasts = len(record.signal_mv) / record.fs_hz
    if not 0 <= start_s < lasts - 1:
        raise PlotError(f"--start: received {start_s:g}; 0 to {max(lasts - 1, 0):g} s is allowed")
    title = f"{read.file}, from {start_s:g} s" if start_s else read.file
    if any(recording.ends_cut):
        title += ", without its empty ends"
    drawn = io.BytesIO()
    figure = draw_ecg(ten_seconds(record, start_s) if start_s else record, title=title)
    figure.savefig(drawn, format=figure_file.suffix[1:].casefold())
    try:
        write_atomically(figure_file, drawn.getvalue())
    except OSError as error:
        raise PlotError(f"--output: {figure_file}: cannot be written: {error.strerror}") from None
    return figure_file
