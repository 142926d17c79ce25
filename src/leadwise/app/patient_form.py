"""The form for what is known of the patient. Everything is optional."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from leadwise.app.answer import plain
from leadwise.app.model_source import ShownRecording
from leadwise.contract import LEADS
from leadwise.ecg.formats import MissingField
from leadwise.ecg.record import INDEPENDENT_LEADS
from leadwise.features import Feature, asked_features


def to_model(one: Feature, value: float | None, unit: str) -> float | None:
    """A number of the form as the models take it, within its range after rounding."""
    return None if value is None else min(max(round(value * one.units.get(unit, 1.0), 2), one.low), one.high)


def from_model(one: Feature, value: float | None, unit: str) -> float | None:
    """The inverse of ``to_model``, to a tenth."""
    return None if value is None else round(value / one.units.get(unit, 1.0), 1)


def limits(one: Feature, unit: str) -> tuple[float, float]:
    """Smallest and largest number of the form, to a tenth."""
    return round(one.low / one.units.get(unit, 1.0), 1), round(one.high / one.units.get(unit, 1.0), 1)


def facts_of_patient(case: ShownRecording) -> dict[str, float | None]:
    """Draw the form, filled with what the recording brings along; what was typed stays with its recording."""
    asked = asked_features()
    facts = {}
    for column, one in zip(st.columns(len(asked)), asked, strict=True):
        known = case.facts.get(one.name)
        known = float(known) if known is not None and one.holds(known) else None
        with column:
            if one.choices:
                facts[one.name] = _choice(one, known, case.key)
            elif one.form_units:
                facts[one.name] = _measure(one, known, case.key)
            else:
                facts[one.name] = _number(one, one.unit, known, f"{one.name}-{case.key}")
    return facts


def _choice(one: Feature, known: float | None, key: str) -> float | None:
    index = None if known is None else int(known)
    word = st.selectbox(one.label, one.choices, index=index, placeholder="unknown", key=f"{one.name}-{key}")
    return None if word is None else one.parse(word)


def _number(one: Feature, unit: str, shown: float | None, key: str) -> float | None:
    label, (low, high) = f"{one.label}, {unit}".removesuffix(", "), limits(one, unit)
    return st.number_input(label, low, high, shown, 1.0, format="%g", key=key, placeholder="unknown")


def _measure(one: Feature, known: float | None, key: str) -> float | None:
    unit = st.session_state.get(f"unit-{one.name}") or one.form_units[0]
    # The same person in the other unit: a change of unit changes the number, not the patient.
    truth = st.session_state.setdefault("measured", {}).get((one.name, key), known)
    shown = from_model(one, truth, unit)
    value = _number(one, unit, shown, f"{one.name}-{unit}-{key}")
    st.segmented_control(
        f"Unit of {one.label.lower()}",
        one.form_units,
        key=f"unit-{one.name}",
        required=True,
        label_visibility="collapsed",
    )
    if value != shown:
        truth = to_model(one, value, unit)
    st.session_state["measured"][one.name, key] = truth
    return truth


CONVERTER = "a converter's numbers"
OTHER_ORDER = "another order"


def ask(questions: Sequence[MissingField], file_id: str) -> dict[str, Any]:
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


def _answer(question: MissingField, key: str) -> dict[str, Any]:
    """The hint by its name; nothing as long as there is no answer."""
    if question.field == "units":
        return _units(question, key)
    if question.field == "leads":
        return _leads(question, key)
    if question.allowed:
        chosen = st.radio(plain(question.text), question.allowed, index=None, horizontal=True, key=key)
        return {} if chosen is None else {question.field: chosen}
    if question.field == "record":
        which = st.number_input(plain(question.text), min_value=0, value=None, step=1, key=key)
        return {} if which is None else {"record": int(which)}
    likely = f"likely {question.suggestion:g}" if isinstance(question.suggestion, float | int) else None
    number = st.number_input(plain(question.text), min_value=0.001, value=None, placeholder=likely, key=key)
    return {} if number is None else {question.field: number}


def _units(question: MissingField, key: str) -> dict[str, Any]:
    likely = f" Likely {question.suggestion}." if question.suggestion else ""
    chosen = st.radio(
        plain(question.text) + likely, [*question.allowed, CONVERTER], index=None, horizontal=True, key=key
    )
    if chosen != CONVERTER:
        return {} if chosen is None else {"units": chosen}
    gain = st.number_input("How many of these numbers make 1 mV?", min_value=0.001, value=None, key=f"{key}-gain")
    return {} if gain is None else {"gain": gain}


def _leads(question: MissingField, key: str) -> dict[str, Any]:
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
