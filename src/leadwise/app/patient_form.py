"""The form for what is known of the patient. Everything is optional."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from leadwise.app.answer import plain
from leadwise.app.case import ShownRecording
from leadwise.contract import FACT_RANGES, LEADS
from leadwise.ecg.formats import MissingField
from leadwise.ecg.leads import INDEPENDENT_LEADS

HEIGHT_UNITS: Mapping[str, float] = {"cm": 1.0, "in": 2.54}
WEIGHT_UNITS: Mapping[str, float] = {"kg": 1.0, "lb": 0.45359237}
"""Unit -> how many of the model's unit it is (international yard and pound, 1959)."""
UNITS: Mapping[str, Mapping[str, float]] = {"height_cm": HEIGHT_UNITS, "weight_kg": WEIGHT_UNITS}


def to_model(fact: str, value: float | None, unit: str) -> float | None:
    """A number of the form as the models take it, within their range after rounding."""
    if value is None:
        return None
    low, high, _ = FACT_RANGES[fact]
    return min(max(round(value * UNITS[fact][unit], 2), low), high)


def from_model(fact: str, value: float | None, unit: str) -> float | None:
    """The inverse of ``to_model``, to a tenth."""
    return None if value is None else round(value / UNITS[fact][unit], 1)


def limits(fact: str, unit: str) -> tuple[float, float]:
    """Smallest and largest number of the form, to a tenth."""
    low, high, _ = FACT_RANGES[fact]
    return round(low / UNITS[fact][unit], 1), round(high / UNITS[fact][unit], 1)


SEXES = {"male": 0.0, "female": 1.0}
PACEMAKERS = {"no": 0.0, "yes": 1.0}
LABELS = {"height_cm": "Height", "weight_kg": "Weight"}


def facts_of_patient(case: ShownRecording) -> dict[str, float | None]:
    """Draw the form, filled with what the recording brings along; what was typed stays with its recording."""
    low, high = (float(bound) for bound in FACT_RANGES["age"][:2])
    columns = st.columns(5)
    with columns[0]:
        age = st.number_input(
            "Age, years", low, high, _known(case, "age"), 1.0, format="%g", key=f"age-{case.key}", placeholder="unknown"
        )
    with columns[1]:
        sex = _choice("Sex", SEXES, case, "sex")
    with columns[2]:
        height = _measure(case, "height_cm")
    with columns[3]:
        weight = _measure(case, "weight_kg")
    with columns[4]:
        pacemaker = _choice("Pacemaker", PACEMAKERS, case, "pacemaker")
    return {"age": age, "sex": sex, "height_cm": height, "weight_kg": weight, "pacemaker": pacemaker}


def _known(case: ShownRecording, fact: str) -> float | None:
    value = case.facts.get(fact)
    if value is None or fact not in FACT_RANGES:
        return value
    low, high, _ = FACT_RANGES[fact]
    return float(value) if low <= value <= high else None


def _choice(label: str, options: dict[str, float], case: ShownRecording, fact: str) -> float | None:
    known = next((number for number, value in enumerate(options.values()) if value == case.facts.get(fact)), None)
    word = st.selectbox(label, list(options), index=known, placeholder="unknown", key=f"{fact}-{case.key}")
    return None if word is None else options[word]


def _measure(case: ShownRecording, fact: str) -> float | None:
    unit = st.session_state.get(f"unit-{fact}") or next(iter(UNITS[fact]))
    low, high = limits(fact, unit)
    key = f"{fact}-{unit}-{case.key}"
    # The same person in the other unit: a change of unit changes the number, not the patient.
    truth = st.session_state.setdefault("measured", {}).get((fact, case.key), _known(case, fact))
    shown = from_model(fact, truth, unit)
    value = st.number_input(
        f"{LABELS[fact]}, {unit}", low, high, shown, 1.0, format="%g", key=key, placeholder="unknown"
    )
    st.segmented_control(
        f"Unit of {LABELS[fact].lower()}",
        list(UNITS[fact]),
        key=f"unit-{fact}",
        required=True,
        label_visibility="collapsed",
    )
    if value != shown:
        truth = to_model(fact, value, unit)
    st.session_state["measured"][fact, case.key] = truth
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
