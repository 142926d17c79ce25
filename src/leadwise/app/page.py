"""The page that Streamlit runs: the parts in their order."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from leadwise.app import inputs
from leadwise.app.answer import (
    choose_policy,
    error_sentence,
    explained_class,
    html_of,
    show_answer,
    show_details,
    show_expected,
    show_rates,
)
from leadwise.app.figure import choose_part, measured, show_export, show_figure
from leadwise.app.model_source import ModelSource, ModelSourceError, ShownRecording, facts_row, find_model, remembered
from leadwise.app.patient_form import facts_of_patient
from leadwise.app.settings import from_environment
from leadwise.app.validation import show_validation
from leadwise.contract import LeadwiseError
from leadwise.datasets.tables import Tables, read_tables
from leadwise.features import asked_features
from leadwise.reports.ecg_paper import LAYOUTS, SPEEDS_MM_S

# Choices that outlive a rerun in which they are not drawn, and what they are at first.
FIRST_CHOICES = {
    "source": inputs.EXAMPLE,
    "example": "MI",
    "explained": ("", ""),
    "size": "Fit",
    "layout": LAYOUTS[0],
    "speed": SPEEDS_MM_S[0],
    "policy": None,
} | {f"unit-{one.name}": one.form_units[0] for one in asked_features() if one.form_units}


@st.cache_resource(show_spinner="Loading the model")
def _model(url: str, model: str) -> ModelSource:
    """One for all sessions: it holds no patient."""
    return find_model(url, model)


@st.cache_resource(show_spinner="Looking for examples")
def _examples(tree: str) -> Mapping[str, ShownRecording]:
    """The same for all sessions: simulated, or out of a published data set."""
    return inputs.ptbxl_examples(Path(tree)) if tree else inputs.simulated_examples()


def main() -> None:
    """Draw the page once."""
    st.set_page_config(page_title="Leadwise", page_icon="🫀", layout="wide")
    for name, first in FIRST_CHOICES.items():
        # Streamlit forgets what belongs to a widget that is not drawn, unless it is set again.
        st.session_state[name] = st.session_state.get(name, first)
    st.html(Path(__file__).with_name("style.css"))
    st.html(html_of("foot"))
    settings = from_environment()
    try:
        model = _model(settings.url, settings.model)
    except ModelSourceError as error:
        _show_no_model(error)
        return
    st.html(html_of("title", "Leadwise: what a 12-lead ECG shows", f"Answers come from {model.title}."))
    if model.simulated:
        st.html(html_of("note", "This model was trained on simulated data: it says nothing about a patient."))
    source = inputs.choose_source()
    if source == inputs.VALIDATE:
        show_validation(model)
        return
    case = inputs.choose_case(source, _examples_or_simulated(settings.tree), _by_number(settings.tree))
    if case is None:
        return
    with st.expander("Patient facts, all optional", expanded=case.record is None):
        facts = facts_of_patient(case)
    _show_case(model, case, facts)


def _examples_or_simulated(tree: str) -> Mapping[str, ShownRecording]:
    try:
        return _examples(tree)
    except LeadwiseError as error:
        st.html(html_of("alert", f"No real examples. {error}"))
        return _examples("")


@st.cache_resource(show_spinner="Reading the tables")
def _tables(tree: str) -> Tables:
    """Of a published data set, the same for all sessions."""
    return read_tables(Path(tree))


def _by_number(tree: str) -> inputs.ByNumber | None:
    """Records by their number, where a tree is at hand that can be read."""
    try:
        return partial(inputs.ptbxl_record, _tables(tree)) if tree else None
    except LeadwiseError:
        return None


def _show_no_model(error: ModelSourceError) -> None:
    st.html('<h1 class="lw-title">Leadwise: no model to ask</h1>')
    st.html(html_of("alert", "Leadwise found nobody who could answer."))
    st.markdown("Any one of these gives it a model; reload the page afterwards:")
    st.code(
        "make run                        # trains one on simulated data\nleadwise app --url http://127.0.0.1:5001",
        "bash",
    )
    with st.expander("What was tried"):
        st.text(str(error))


def _show_case(model: ModelSource, case: ShownRecording, facts: Mapping[str, float | None]) -> None:
    row, known = case.row(facts), facts_row(facts)
    if case.record is None:
        _show_without_recording(model, case, facts)
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        policy = choose_policy(model, case.key)
    try:
        answer = _ask(model, case.key, row, known, policy, None)
        facts_answer = _ask(model, "facts", known, known, policy, None) if known else None
        refused = f"No answer. {error_sentence(answer)}" if "error" in answer else ""
    except ModelSourceError as error:
        refused = str(error)
    if refused:
        st.html(html_of("alert", refused))
        show_figure(case, facts, None, None, choose_part(case))
        return
    with left:
        show_answer(case, facts, answer, model.bands_of(answer))
    with right:
        with st.expander("How often these thresholds are right", expanded=True):
            show_rates(model, answer)
        with st.expander("Before any ECG: people like this"):
            show_expected(facts_answer)
    start_s = choose_part(case)
    st.html(html_of("measurements", measured(case, start_s)))
    explained = explained_class(case, answer)
    if explained:
        # Asked for when the answer is shown: it takes a second or two.
        try:
            answer = _ask(model, case.key, row, known, policy, explained)
        except ModelSourceError as error:
            st.html(html_of("alert", str(error)))
            explained = None
    show_figure(case, facts, answer, explained, start_s)
    show_details(answer)
    st.html(html_of("heading", "Take it along"))
    show_export(case, facts, answer, facts_answer, model, policy=policy, explained=explained, start_s=start_s)


def _show_without_recording(model: ModelSource, case: ShownRecording, facts: Mapping[str, float | None]) -> None:
    """The facts alone make no answer: nothing is decided."""
    known = facts_row(facts)
    if not known:
        st.info("Without a recording, fill in at least one fact about the patient.", icon=":material/edit:")
        return
    try:
        answer = _ask(model, case.key, known, known, None, None)
    except ModelSourceError as error:
        st.html(html_of("alert", str(error)))
        return
    if "error" in answer:
        st.html(html_of("alert", error_sentence(answer)))
        return
    st.html(html_of("heading", case.title))
    show_expected(answer)
    st.html(html_of("heading", "Take it along"))
    show_export(case, facts, answer, None, model, policy=None, explained=None, start_s=0.0)


def _ask(
    model: ModelSource,
    name: str,
    row: Mapping[str, Any],
    known: Mapping[str, Any],
    policy: str | None,
    explained: str | None,
) -> dict[str, Any]:
    """The answer, asked for once; an explanation takes a second or two."""
    key = (name, tuple(known.items()), policy, explained)

    def ask() -> dict[str, Any]:
        if explained is None:
            return model.ask(row, policy)
        with st.spinner("Looking for what speaks for and against"):
            return model.ask(row, policy, [explained])

    return remembered("answer", key, ask)


main()
