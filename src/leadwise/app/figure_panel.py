"""The ECG, the class whose reasons are shown behind it, and its size."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from leadwise.app.answer_html import aside_html
from leadwise.app.case import Case, Facts, facts_row
from leadwise.app.figure import SIZES, ecg_svg, framed
from leadwise.app.memory import remembered
from leadwise.app.words import headline
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.reports.ecg_figure import STRIP_S
from leadwise.serving.explanations import explanation_told

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


def choose_part(case: Case) -> float:
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
    case: Case, facts: Facts, answer: Mapping[str, Any] | None, explained: str | None, start_s: float
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
