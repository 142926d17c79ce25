"""The one-page report: the ECG to scale, the answer in words, and the probabilities, on A4 across."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.figure import Figure

from leadwise.app.case import Facts
from leadwise.app.figure import explained_part, part_title
from leadwise.app.report_notes import NotesBelow, draw_notes, notes_height_mm
from leadwise.app.words import (
    NOT_COVERED,
    SIGNS,
    VERDICT_WORDS,
    facts_words,
    flag_sentence,
    headline,
    reason,
    verdict,
    warning_sentence,
)
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, ECGRecord
from leadwise.explain import Explanation
from leadwise.reports.ecg_figure import PANEL_HEIGHT_MM, PNG_DPI, draw_ecg, draw_probabilities, percent, ten_seconds
from leadwise.reports.explanation_figure import explanation_underlay

COLUMN_CHARACTERS = 86
A4_MM = (297.0, 210.0)
_MM_PER_INCH = 25.4
_MARGIN_MM, _HEADER_MM, _FOOTER_MM = 12.0, 24.0, 16.0


def report_figure(
    record: ECGRecord | None,
    facts: Facts,
    title: str,
    answer: Mapping[str, Any],
    metadata_answer: Mapping[str, Any] | None,
    *,
    explanation: Explanation | None = None,
    start_s: float = 0.0,
) -> Figure:
    """The report of one answer; printed at 100 %, the ECG is true to scale.

    A recording so tall that it does not fit A4 with all that is said of it gets a higher page.

    Args:
        record: the recording; ``None`` where there is none.
        facts: about the patient, as they were asked with.
        title: the headline.
        answer: as ``docs/serving.md`` describes it.
        metadata_answer: to the facts alone; ``None`` where there are none, or where that is ``answer``.
        explanation: drawn behind the traces.
        start_s: the first of the ten seconds that are drawn.
    """
    columns = _answer_lines(answer), _other_lines(answer, facts, metadata_answer)
    if record is None:
        return _without_ecg(title, answer, columns)
    inner = explanation_underlay(explained_part(explanation, start_s), record.fs_hz) if explanation else None
    figure = draw_ecg(
        ten_seconds(record, start_s),
        title=part_title(record, title, start_s),
        probabilities=answer["probabilities"],
        thresholds=answer["thresholds"],
        underlay=NotesBelow(columns, inner),
    )
    return _on_a4(figure)


def _on_a4(figure: Figure) -> Figure:
    """The same millimetres in the middle of a page, from its upper edge where it is higher."""
    width, height = (float(inches) * _MM_PER_INCH for inches in figure.get_size_inches())
    page_width, page_height = max(A4_MM[0], width), max(A4_MM[1], height)
    left, bottom = (page_width - width) / 2, (page_height - height) / 2
    for axes in figure.axes:
        box = axes.get_position(original=True)
        axes.set_position(
            (
                (left + box.x0 * width) / page_width,
                (bottom + box.y0 * height) / page_height,
                box.width * width / page_width,
                box.height * height / page_height,
            )
        )
    figure.set_size_inches(page_width / _MM_PER_INCH, page_height / _MM_PER_INCH)
    return figure


def _without_ecg(title: str, answer: Mapping[str, Any], columns: tuple[list[str], list[str]]) -> Figure:
    """The probabilities and the words alone."""
    width, height = A4_MM
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=PNG_DPI, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set(xlim=(0, width), ylim=(0, height))
    page.set_axis_off()
    inside = width - 2 * _MARGIN_MM
    top = height - _HEADER_MM
    page.text(_MARGIN_MM, top + 6, title, fontsize=14, fontweight="bold", family="DejaVu Sans")
    panel = top - PANEL_HEIGHT_MM - 4
    draw_probabilities(page, answer["probabilities"], answer["thresholds"], _MARGIN_MM, panel, inside)
    draw_notes(page, columns, _MARGIN_MM, panel - notes_height_mm(columns) - 6, inside)
    page.text(_MARGIN_MM, _FOOTER_MM / 2, DISCLAIMER, fontsize=7.5, color="#70707E", family="DejaVu Sans")
    return figure


def _answer_lines(answer: Mapping[str, Any]) -> list[str]:
    lines = [f"Answer: {headline(answer)}"]
    for name in SUPERCLASSES:
        kind = verdict(answer, name)
        lines.append(f"{SIGNS[kind]} {SUPERCLASS_NAMES[name]}: {VERDICT_WORDS[kind].lower()}; {reason(answer, name)}")
    if answer["findings"]:
        told = ", ".join(f"{one['description']} {percent(one['probability'])}" for one in answer["findings"][:6])
        lines.append(f"Statements: {told}")
    return _wrapped(lines)


def _other_lines(answer: Mapping[str, Any], facts: Facts, metadata_answer: Mapping[str, Any] | None) -> list[str]:
    lines = [f"Quality: {flag_sentence(flag)}" for flag in answer["quality"]]
    if not lines and answer["model"] != "metadata":
        lines = ["Quality: nothing wrong was found."]
    lines.append(f"Patient: {facts_words(facts) or 'nothing is known'}.")
    version = f"{answer['registered_model']} version {answer['version']}, " if answer.get("version") else ""
    lines.append(f"Model: {version}{answer['model']}; policy {answer['policy']}.")
    if metadata_answer:
        told = ", ".join(f"{name} {percent(metadata_answer['probabilities'][name])}" for name in SUPERCLASSES)
        lines.append(f"From the facts about the patient alone: {told}.")
    lines += [warning_sentence(warning) for warning in answer["warnings"]]
    lines.append(NOT_COVERED)
    return _wrapped(lines)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [piece for line in lines for piece in textwrap.wrap(line, COLUMN_CHARACTERS, subsequent_indent="   ")]


def as_file(figure: Figure, kind: Literal["pdf", "png"]) -> bytes:
    """The figure as the bytes of a file, without the time of day."""
    target = io.BytesIO()
    figure.savefig(target, format=kind, metadata={"CreationDate": None} if kind == "pdf" else {"Software": None})
    return target.getvalue()
