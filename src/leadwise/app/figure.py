"""The ECG on paper as SVG, with or without an explanation behind it, in a frame that scrolls."""

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from leadwise.app.answer import aside_html, headline
from leadwise.app.case import Facts, ShownRecording, facts_row
from leadwise.app.model_source import remembered
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, ECGRecord
from leadwise.explain import Explanation
from leadwise.reports.ecg_figure import STRIP_S, draw_ecg, ten_seconds
from leadwise.reports.explanation_figure import draw_explanation
from leadwise.serving.explanations import explanation_told

FIGURE_MM = 282
"""Width of ``draw_ecg``'s figure."""
SIZES = {"Fit": 0.0, "True size": 1.0, "150 %": 1.5, "200 %": 2.0, "300 %": 3.0}
"""Name -> scale; 0 fits the window. At 1, 25 mm of CSS are one second; how long these are on a screen is its matter."""


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


def ecg_svg(record: ECGRecord, title: str, explanation: Explanation | None = None, start_s: float = 0.0) -> str:
    """The figure as SVG text, 282 mm wide."""
    part, headline = ten_seconds(record, start_s), part_title(record, title, start_s)
    if explanation is None:
        figure = draw_ecg(part, title=headline, disclaimer="")
    else:
        figure = draw_explanation(part, explained_part(explanation, start_s), title=headline)
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    return text[text.index("<svg") :]


def framed(svg: str, scale: float, label: str) -> str:
    """HTML of a picture that can be scrolled by wheel, touch and keyboard; as an image, it can run no script."""
    width = "100%" if not scale else f"{FIGURE_MM * scale:g}mm"
    data = base64.b64encode(svg.encode()).decode("ascii")
    return (
        f'<div class="lw-paper" tabindex="0" role="region" aria-label="ECG, scrollable">'
        f'<img class="lw-ecg{"" if scale else " lw-fit"}" style="width:{width}" alt="{escape(label)}" '
        f'src="data:image/svg+xml;base64,{data}"></div>'
    )


PLAIN = "Nothing"


def choose_explained() -> str | None:
    """Draw the choice of a class to explain."""
    chosen = st.segmented_control(
        "Show behind the trace what speaks for and against",
        [PLAIN, *SUPERCLASSES],
        key="explained",
        required=True,
        help="; ".join(f"{name}: {words}" for name, words in SUPERCLASS_NAMES.items()),
    )
    return None if chosen in (None, PLAIN) else str(chosen)


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
        st.html(aside_html(f"{explained}: {'; '.join(why_not) or 'not explained'}."))
    key = (case.key, start_s, tuple(facts_row(facts).items()), explained if explanation else None)
    svg = remembered(st.session_state, "svg", key, lambda: ecg_svg(record, case.title, explanation, start_s))
    words = f"12-lead ECG, {case.title}" + (f"; {headline(answer)}" if answer else "")
    st.html(framed(svg, SIZES[size], words))
    st.segmented_control("Size of the paper", list(SIZES), key="size", required=True)
