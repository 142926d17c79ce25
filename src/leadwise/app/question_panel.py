"""What a file does not say and only its owner can: asked, never guessed."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from leadwise.app.escaping import plain
from leadwise.contract import LEADS
from leadwise.ecg.formats import Question
from leadwise.ecg.leads import INDEPENDENT_LEADS

CONVERTER = "a converter's numbers"
OTHER_ORDER = "another order"


def ask(questions: Sequence[Question], file_id: str) -> dict[str, Any]:
    """Draw questions; the answers given so far, as hints for ``read_ecg``.

    Args:
        questions: of one file.
        file_id: another one for each upload: no answer is taken over from another file.
    """
    if not questions:
        return {}
    st.markdown("**What the file does not say, and only you know**")
    hints: dict[str, Any] = {}
    for question in questions:
        hints |= _answer(question, f"asked-{question.field}-{file_id}")
    return hints


def _answer(question: Question, key: str) -> dict[str, Any]:
    """The hint by its name; nothing as long as there is no answer."""
    if question.field == "units":
        return _units(question, key)
    if question.field == "leads":
        return _leads(question, key)
    if question.allowed:
        chosen = st.radio(plain(question.text), question.allowed, index=None, horizontal=True, key=key)
        return {} if chosen is None else {question.field: chosen}
    likely = f"likely {question.suggestion:g}" if isinstance(question.suggestion, float | int) else None
    number = st.number_input(plain(question.text), min_value=0.001, value=None, placeholder=likely, key=key)
    return {} if number is None else {question.field: number}


def _units(question: Question, key: str) -> dict[str, Any]:
    likely = f" Likely {question.suggestion}." if question.suggestion else ""
    chosen = st.radio(
        plain(question.text) + likely, [*question.allowed, CONVERTER], index=None, horizontal=True, key=key
    )
    if chosen != CONVERTER:
        return {} if chosen is None else {"units": chosen}
    gain = st.number_input("How many of these numbers make 1 mV?", min_value=0.001, value=None, key=f"{key}-gain")
    return {} if gain is None else {"gain": gain}


def _leads(question: Question, key: str) -> dict[str, Any]:
    orders = {", ".join(leads): leads for leads in (LEADS, INDEPENDENT_LEADS) if leads == question.suggestion}
    chosen = st.radio(plain(question.text), [*orders, OTHER_ORDER], index=None, key=key) if orders else OTHER_ORDER
    if chosen in orders:
        return {"leads": orders[chosen]}
    if chosen is None:
        return {}
    text = st.text_input(
        "Names of the leads in order, with commas", key=f"{key}-names", placeholder="I, II, V1, V2, ..."
    )
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return {"leads": names} if names else {}
