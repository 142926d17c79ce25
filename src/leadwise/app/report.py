"""The one-page report: the ECG to scale, the probabilities, and below them the answer in words."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leadwise.app.figure import explained_part, shown_part
from leadwise.app.words import NOT_COVERED, SIGNS, VERDICT_WORDS, flag_sentence, headline, reason, verdict
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, ECGRecord
from leadwise.evaluation.ecg_figure import Strip, Underlay, draw_ecg
from leadwise.evaluation.explanation import Explanation
from leadwise.evaluation.explanation_figure import explanation_underlay
from leadwise.evaluation.probability_panel import percent

COLUMN_CHARACTERS = 92
LINE_MM = 3.7
GAP_MM = 4.0
_INK = "#1B1B2B"


@dataclass(frozen=True)
class NotesBelow:
    """An ``ecg_figure.Underlay`` that adds two columns of text below the legend of another one."""

    columns: tuple[Sequence[str], Sequence[str]]
    inner: Underlay | None = None

    @property
    def _text_mm(self) -> float:
        return max(map(len, self.columns)) * LINE_MM + GAP_MM

    @property
    def legend_height_mm(self) -> float:
        return self._text_mm + (self.inner.legend_height_mm if self.inner else 0)

    def draw_strip(self, paper: Axes, strip: Strip, baseline: float) -> None:
        """What the other one draws."""
        if self.inner:
            self.inner.draw_strip(paper, strip, baseline)

    def draw_legend(self, page: Axes, left: float, bottom: float, width: float) -> None:
        """The other one's legend, and the text below it."""
        if self.inner:
            self.inner.draw_legend(page, left, bottom + self._text_mm, width)
        for k, lines in enumerate(self.columns):
            for number, line in enumerate(lines):
                y = bottom + self._text_mm - GAP_MM / 2 - (number + 1) * LINE_MM + 1
                page.text(left + k * width / 2, y, line, fontsize=8, color=_INK, family="DejaVu Sans")


def report_figure(
    record: ECGRecord,
    title: str,
    answer: Mapping[str, Any],
    metadata_answer: Mapping[str, Any] | None,
    *,
    explanation: Explanation | None = None,
    start_s: float = 0.0,
) -> Figure:
    """The report of one answer; printed at 100 %, the ECG is true to scale.

    Args:
        record: the recording.
        title: the headline.
        answer: to the recording, as ``docs/serving.md`` describes it.
        metadata_answer: to the facts alone; ``None`` where there are none.
        explanation: drawn behind the traces.
        start_s: the first of the ten seconds that are drawn.
    """
    part = shown_part(record, start_s)
    inner = explanation_underlay(explained_part(explanation, start_s), record.fs_hz) if explanation else None
    return draw_ecg(
        part,
        title=title,
        probabilities=answer["probabilities"],
        thresholds=answer["thresholds"],
        underlay=NotesBelow((_answer_lines(answer), _other_lines(answer, metadata_answer)), inner),
    )


def _answer_lines(answer: Mapping[str, Any]) -> list[str]:
    lines = [f"Answer: {headline(answer)}"]
    for name in SUPERCLASSES:
        kind = verdict(answer, name)
        lines.append(f"{SIGNS[kind]} {SUPERCLASS_NAMES[name]}: {VERDICT_WORDS[kind].lower()}; {reason(answer, name)}")
    if answer["findings"]:
        told = ", ".join(f"{one['description']} {percent(one['probability'])}" for one in answer["findings"][:6])
        lines.append(f"Statements: {told}")
    return _wrapped(lines)


def _other_lines(answer: Mapping[str, Any], metadata_answer: Mapping[str, Any] | None) -> list[str]:
    version = f"{answer['registered_model']} version {answer['version']}, " if answer.get("version") else ""
    lines = [f"Quality: {flag_sentence(flag)}" for flag in answer["quality"]] or ["Quality: nothing wrong was found."]
    lines.append(f"Model: {version}{answer['model']}; policy {answer['policy']}.")
    if metadata_answer:
        told = ", ".join(f"{name} {percent(metadata_answer['probabilities'][name])}" for name in SUPERCLASSES)
        lines.append(f"From the facts about the patient alone: {told}.")
    lines += [f"Note: {warning}." for warning in answer["warnings"]]
    lines.append(NOT_COVERED)
    return _wrapped(lines)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [piece for line in lines for piece in textwrap.wrap(line, COLUMN_CHARACTERS, subsequent_indent="   ")]


def as_file(figure: Figure, kind: Literal["pdf", "png"]) -> bytes:
    """The figure as the bytes of a file, without the time of day."""
    target = io.BytesIO()
    figure.savefig(target, format=kind, metadata={"CreationDate": None} if kind == "pdf" else {"Software": None})
    return target.getvalue()
