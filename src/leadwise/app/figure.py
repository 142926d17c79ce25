"""The ECG on paper, with or without an explanation behind it: on the page, and in the report to take along."""

import base64
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leadwise import __version__
from leadwise.app.answer import (
    NOT_COVERED,
    TRUTH_WORDS,
    cautions,
    facts_words,
    flag_sentence,
    headline,
    html_of,
    warning_sentence,
)
from leadwise.app.model_source import Bands, Facts, ModelSource, ShownRecording, facts_row, remembered
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, ECGRecord
from leadwise.ecg.measurements import Measurement, measure
from leadwise.explain import Explanation
from leadwise.reports.answer_figure import LEGEND_MM, PANEL_HEIGHT_MM, draw_probabilities, explained_title, percent
from leadwise.reports.ecg_figure import PNG_DPI, draw_ecg
from leadwise.reports.ecg_paper import FOOTER_MM, LAYOUTS, MARGIN_MM, SPEEDS_MM_S, STRIP_S, Paper, lay_out, ten_seconds
from leadwise.serving.answer import explanation_told

SIZES = {"Fit": 0.0, "True size": 1.0, "150 %": 1.5, "200 %": 2.0, "300 %": 3.0}
"""Name -> scale; 0 fits the window. At 1, 25 mm of CSS are one second; how long these are on a screen is its matter."""


_CALIPERS = st.components.v2.component(
    "leadwise_calipers",
    html="""
<div class="lw-tools"><button type="button" class="lw-toggle" aria-pressed="false">Calipers</button>
<span class="lw-told" role="status" aria-live="polite"></span><span class="lw-hint lw-faint"></span></div>
""",
    js=Path(__file__).with_name("calipers.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)
"""Cursor read-out and calipers over the ECG, by Streamlit's own way to run a script; nothing leaves the browser."""


def explained_part(explanation: Explanation, start_s: float) -> Explanation:
    """Ten seconds of an explanation from a time on."""
    first = round(start_s * explanation.fs_hz)
    part = explanation.attribution[first : first + round(STRIP_S * explanation.fs_hz)]
    return replace(explanation, attribution=np.ascontiguousarray(part))


def part_title(record: ECGRecord, title: str, start_s: float) -> str:
    """The headline, and which ten seconds of a longer recording are shown."""
    lasts = len(record.signal_mv) / record.fs_hz
    if lasts <= STRIP_S + 1 / record.fs_hz:
        return title
    return f"{title}, {start_s:g} to {start_s + STRIP_S:g} s of {lasts:.4g} s"


def drawn_ecg(
    record: ECGRecord,
    title: str,
    explanation: Explanation | None = None,
    start_s: float = 0.0,
    on: Paper | None = None,
) -> tuple[str, dict[str, Any]]:
    """The figure as SVG text, as wide as ``Paper.figure_mm``, and what ``Layout.from_upper_left`` says of it."""
    part, headline = ten_seconds(record, start_s), part_title(record, title, start_s)
    shown = explained_part(explanation, start_s) if explanation else None
    disclaimer = DISCLAIMER if explanation else ""
    figure = draw_ecg(part, title=explained_title(headline, shown), explanation=shown, disclaimer=disclaimer, on=on)
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    places = lay_out(part, on=on, below_mm=LEGEND_MM if explanation else 0).from_upper_left()
    return text[text.index("<svg") :], places


def choose_part(case: ShownRecording) -> float:
    """Draw the choice of the ten seconds that are shown, where there are more; their start in seconds."""
    if case.record is None:
        return 0.0
    latest = len(case.record.signal_mv) / case.record.fs_hz - STRIP_S
    if latest <= 1 / case.record.fs_hz:
        return 0.0
    return float(
        st.slider("Ten seconds from second", 0.0, float(latest), 0.0, 0.5, format="%g", key=f"start-{case.key}")
    )


def show_figure(
    case: ShownRecording, facts: Facts, answer: Mapping[str, Any] | None, explained: str | None, start_s: float
) -> None:
    """Draw the recording, with the explanation behind it where the answer brings one."""
    record = case.drawn(facts)
    if record is None:
        return
    size = st.session_state.get("size") or "Fit"
    explanation = explanation_told(answer, explained) if answer and explained else None
    if answer and explained and explanation is None:
        why_not = [warning for warning in answer["warnings"] if warning.startswith("not explained")]
        st.html(html_of("aside", f"{explained}: {'; '.join(why_not) or 'not explained'}."))
    paper = Paper(st.session_state.get("layout") or LAYOUTS[0], st.session_state.get("speed") or SPEEDS_MM_S[0])
    key = (case.key, start_s, tuple(facts_row(facts).items()), explained if explanation else None, paper)
    svg, places = remembered("figure", key, lambda: drawn_ecg(record, case.title, explanation, start_s, paper))
    words = f"12-lead ECG, {case.title}" + (f"; {headline(answer)}" if answer else "")
    width = f"{paper.figure_mm * SIZES[size]:g}mm" if SIZES[size] else "100%"
    shown = f"{case.key} {start_s:g} {paper}"
    picture = f"{shown} {explained if explanation else None}"
    st.html(html_of("framed", base64.b64encode(svg.encode()).decode("ascii"), width, words, picture))
    # What was measured goes when ``shown`` changes; until the figure of ``picture`` is there, nothing is told of it.
    _CALIPERS(key="calipers", data={"shown": shown, "picture": picture, **places})
    with st.container(horizontal=True):
        st.segmented_control("Size of the paper", list(SIZES), key="size", required=True)
        st.segmented_control("Leads", list(LAYOUTS), key="layout", required=True)
        st.segmented_control("mm/s", list(SPEEDS_MM_S), key="speed", required=True)


def measured(case: ShownRecording, start_s: float) -> tuple[Measurement, ...]:
    """Rate, intervals and axis of the ten seconds that are shown; nothing where there is no recording."""
    record = case.record
    if record is None:
        return ()
    part = ten_seconds(record, start_s)
    return remembered("measured", (case.key, start_s), lambda: measure(part))


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
    bands: Bands | None = None,
    truth: str = "",
    measurements: Sequence[Measurement] = (),
    explanation: Explanation | None = None,
    start_s: float = 0.0,
    made: date | None = None,
) -> Figure:
    """The report of one answer; printed at 100 %, the ECG is true to scale.

    A recording so tall that it does not fit A4 with all that is said of it gets a higher page.

    Args:
        record: the recording; ``None`` where there is none.
        facts: about the patient, as they were asked with.
        title: the headline.
        answer: as ``docs/serving.md`` describes it.
        metadata_answer: to the facts alone; ``None`` where there are none, or where that is ``answer``.
        bands: class -> from and to of "uncertain", where they are known.
        truth: what an example is known to show, in words.
        measurements: rate, intervals and axis.
        explanation: drawn behind the traces.
        start_s: the first of the ten seconds that are drawn.
        made: the day of the report; ``None``: today.
    """
    small_print = f"Leadwise {__version__}, {made or date.today():%Y-%m-%d}. {DISCLAIMER}"
    if record is None:
        return _without_ecg(title, answer, ([], _other_lines(answer, facts, None, ())), small_print)
    columns = _answer_lines(answer, facts, truth), _other_lines(answer, facts, metadata_answer, measurements)
    figure = draw_ecg(
        ten_seconds(record, start_s),
        title=f"Leadwise report: {part_title(record, title, start_s)}",
        probabilities=answer["probabilities"],
        thresholds=answer["thresholds"],
        bands=bands,
        explanation=explained_part(explanation, start_s) if explanation else None,
        room_mm=notes_height_mm(columns),
        disclaimer=small_print,
    )
    draw_notes(figure.axes[0], columns, MARGIN_MM, FOOTER_MM + PANEL_HEIGHT_MM, Paper().width_mm)
    return _on_a4(figure)


def _on_a4(figure: Figure) -> Figure:
    """The same millimetres in the middle of a page, from its upper edge where it is higher."""
    size = figure.get_size_inches() * _MM_PER_INCH
    page = np.maximum(A4_MM, size)
    for axes in figure.axes:
        box = axes.get_position(original=True)
        corner, extent = (page - size) / 2 + np.multiply(box.p0, size), np.multiply(box.size, size)
        axes.set_position((*(corner / page), *(extent / page)))
    figure.set_size_inches(*(page / _MM_PER_INCH).tolist())
    return figure


def _without_ecg(title: str, answer: Mapping[str, Any], columns: Columns, small_print: str) -> Figure:
    """The probabilities and the words alone; nothing is decided."""
    width, height = A4_MM
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=PNG_DPI, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set(xlim=(0, width), ylim=(0, height))
    page.set_axis_off()
    inside = width - 2 * _MARGIN_MM
    top = height - _HEADER_MM
    page.text(_MARGIN_MM, top + 6, f"Leadwise report: {title}", fontsize=14, fontweight="bold", family="DejaVu Sans")
    panel = top - PANEL_HEIGHT_MM - 4
    draw_probabilities(page, answer["probabilities"], {}, _MARGIN_MM, panel, inside)
    draw_notes(page, columns, _MARGIN_MM, panel - notes_height_mm(columns) - 6, inside)
    page.text(_MARGIN_MM, _FOOTER_MM / 2, small_print, fontsize=7.5, color="#70707E", family="DejaVu Sans")
    return figure


def _answer_lines(answer: Mapping[str, Any], facts: Facts, truth: str) -> list[str]:
    lines = [f"Answer: {headline(answer)}", *cautions(answer, facts)]
    if truth:
        lines.append(truth)
    if answer["findings"]:
        told = ", ".join(f"{one['description']} {percent(one['probability'])}" for one in answer["findings"][:6])
        lines.append(f"Statements: {told}")
    lines += [f"Quality: {flag_sentence(flag)}" for flag in answer["quality"]]
    return _wrapped(lines if answer["quality"] else [*lines, "Quality: nothing wrong was found."])


def _other_lines(
    answer: Mapping[str, Any],
    facts: Facts,
    metadata_answer: Mapping[str, Any] | None,
    measurements: Sequence[Measurement],
) -> list[str]:
    version = f"{answer['registered_model']} version {answer['version']}, " if answer.get("version") else ""
    lines = [
        f"Patient: {facts_words(facts) or 'nothing is known'}.",
        f"Model: {version}{answer['model']}; policy {answer['policy']}.",
    ]
    known = [
        f"{one.name} {one.value:.0f} {one.unit} {one.verdict}".strip() for one in measurements if one.value is not None
    ]
    if known:
        lines.append(f"Measured: {', '.join(known)}.")
    if metadata_answer:
        told = ", ".join(f"{name} {percent(metadata_answer['probabilities'][name])}" for name in SUPERCLASSES)
        lines.append(f"Before any ECG, people like this: {told}.")
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


REQUEST_FILE = "leadwise-request.json"


def request_body(row: Mapping[str, Any], policy: str | None, explain: list[str]) -> dict[str, Any]:
    """A request for the REST server that gets the page's answer."""
    params: dict[str, Any] = {"policy": policy} if policy else {}
    if explain:
        params["explain"] = explain
    return {"inputs": [dict(row)]} | ({"params": params} if params else {})


def curl_command(body: Mapping[str, Any], url: str) -> str:
    """What sends it: all of it where there is no recording, else with the file that the page hands out beside."""
    send = f"curl -s {url}/invocations -H 'Content-Type: application/json' -d "
    if "signal" in body["inputs"][0]:
        return f"{send}@{REQUEST_FILE}"
    return f"{send}'{json.dumps(body)}'"


def show_export(
    case: ShownRecording,
    facts: Facts,
    answer: Mapping[str, Any],
    facts_answer: Mapping[str, Any] | None,
    model: ModelSource,
    *,
    policy: str | None,
    explained: str | None,
    start_s: float,
) -> None:
    """Draw the downloads. A report is made when it is asked for."""
    record = case.drawn(facts)
    told = facts_answer if facts_answer and "error" not in facts_answer else None
    explanation = explanation_told(answer, explained) if explained else None
    names = [SUPERCLASS_NAMES[name] for name in case.truth or ()]
    truth = "" if case.truth is None else f"{TRUTH_WORDS[case.truth_from]}: {', '.join(names) or 'none of the five'}."

    def report(kind: Literal["pdf", "png"]) -> bytes:
        figure = report_figure(
            record,
            facts,
            case.title,
            answer,
            told,
            bands=model.bands_of(answer),
            truth=truth,
            measurements=measured(case, start_s),
            explanation=explanation,
            start_s=start_s,
        )
        return as_file(figure, kind)

    body = request_body(case.row(facts), policy, [explained] if explained else [])

    def text(content: Mapping[str, Any]) -> str:
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    downloads: list[tuple[str, str | Callable[[], bytes], str]] = [
        ("Report, PDF", partial(report, "pdf"), "leadwise-report.pdf"),
        ("Report, PNG", partial(report, "png"), "leadwise-report.png"),
        ("Answer, JSON", text(answer), "leadwise-answer.json"),
        ("Request, JSON", text(body), REQUEST_FILE),
    ]
    for column, (label, content, name) in zip(st.columns(4), downloads, strict=True):
        column.download_button(label, content, name, width="stretch", on_click="ignore")
    st.caption("The same answer from the REST server (`make serve`), with the request above:")
    st.code(curl_command(body, model.url), language="bash", wrap_lines=True)
