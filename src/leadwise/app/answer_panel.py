"""The answer beside that from the facts alone, the policy, and what else was noticed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from leadwise.app.answer_html import aside_html, classes_html, findings_html, heading, rates_html, windows_html
from leadwise.app.model_source import ModelSource
from leadwise.app.words import POLICY_WORDS, headline, warning_sentence


def choose_policy(model: ModelSource) -> str | None:
    """Draw the choice of a policy; ``None``: the model's own."""
    policies = list(model.policies)
    if st.session_state.get("policy") not in policies:
        st.session_state["policy"] = model.preferred or policies[0]
    chosen = st.selectbox(
        "Thresholds",
        policies,
        format_func=lambda name: POLICY_WORDS.get(name, name),
        key="policy",
        help="How the probabilities become decisions; every policy was chosen on fold 9.",
    )
    return None if chosen is None else str(chosen)


def show_answer(answer: Mapping[str, Any], facts_answer: Mapping[str, Any] | None, model: ModelSource) -> None:
    """Draw the classes of the recording and, beside them, those of the facts alone."""
    first, second = st.columns([3, 2], gap="large")
    with first:
        st.html(heading(f"Answer: {headline(answer)}"))
        st.html(classes_html(answer))
    with second:
        if answer["model"] != "metadata":
            st.html(heading("From the facts about the patient alone", level=3))
            if facts_answer and "error" not in facts_answer:
                st.html(classes_html(facts_answer, small=True))
            else:
                st.html(aside_html("No facts are given, so there is no such answer. The recording alone was read."))
        with st.expander("How often these thresholds are right", expanded=True):
            st.html(rates_html(model.rates.get(answer["model"], {}), answer["policy"]))
    if answer["findings"]:
        with st.expander(f"Statements that cardiologists use ({len(answer['findings'])})"):
            st.html(findings_html(answer))
    if answer["windows"]:
        with st.expander("Each ten seconds"):
            st.html(windows_html(answer))
    for warning in answer["warnings"]:
        st.html(aside_html(warning_sentence(warning)))
