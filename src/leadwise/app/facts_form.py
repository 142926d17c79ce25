"""The form for what is known of the patient. Everything is optional."""

import streamlit as st

from leadwise.app.body_units import UNITS, from_model, limits, to_model
from leadwise.app.case import Case
from leadwise.contract import FACT_RANGES

SEXES = {"male": 0.0, "female": 1.0}
PACEMAKERS = {"no": 0.0, "yes": 1.0}
LABELS = {"height_cm": "Height", "weight_kg": "Weight"}


def facts_of_patient(case: Case) -> dict[str, float | None]:
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


def _known(case: Case, fact: str) -> float | None:
    value = case.facts.get(fact)
    if value is None or fact not in FACT_RANGES:
        return value
    low, high, _ = FACT_RANGES[fact]
    return float(value) if low <= value <= high else None


def _choice(label: str, options: dict[str, float], case: Case, fact: str) -> float | None:
    known = next((number for number, value in enumerate(options.values()) if value == case.facts.get(fact)), None)
    word = st.selectbox(label, list(options), index=known, placeholder="unknown", key=f"{fact}-{case.key}")
    return None if word is None else options[word]


def _measure(case: Case, fact: str) -> float | None:
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
