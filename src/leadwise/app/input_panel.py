"""Which recording: an example, a file of one's own with the questions that it leaves open, or none."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from leadwise.app.answer_html import understood_html
from leadwise.app.case import Case, case_of_file, case_of_record, case_without_recording
from leadwise.app.examples import simulated_example
from leadwise.app.memory import remembered
from leadwise.contract import LEADS, SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.signals.leads import INDEPENDENT_LEADS
from leadwise.signals.readers import FORMATS_READ, LARGEST_FILE, Question, ReadECG, ReaderError, read_ecg

EXAMPLE, UPLOAD, NOTHING = "Example", "My own file", "No recording"
CONVERTER = "a converter's numbers"
OTHER_ORDER = "another order"


def choose_case() -> Case | None:
    """Draw the choice of a recording; ``None`` as long as nothing can be asked about."""
    source = st.segmented_control("Recording", [EXAMPLE, UPLOAD, NOTHING], key="source", required=True, width="stretch")
    if source == UPLOAD:
        return _uploaded()
    return case_without_recording() if source == NOTHING else _example()


def _example() -> Case:
    superclass = st.pills(
        "Simulated examples, no patients",
        SUPERCLASSES,
        key="example",
        required=True,
        format_func=lambda name: SUPERCLASS_NAMES[name],
    )
    name = str(superclass or "MI")
    title = f"Simulated: {SUPERCLASS_NAMES[name]}"
    return remembered(
        st.session_state, "example", name, lambda: case_of_record(simulated_example(name), title, simulated=True)
    )


def _uploaded() -> Case | None:
    given = st.file_uploader(
        f"One recording, up to {LARGEST_FILE // 2**20} MB; of WFDB the .hea and the .dat together",
        accept_multiple_files=True,
        key="upload",
        help=f"Read are: {FORMATS_READ}. Files stay in memory and are forgotten with the session.",
    )
    if given:
        # The uploader forgets its files while another source is shown.
        st.session_state["files"] = [(file.name, file.getvalue()) for file in given]
    files: list[tuple[str, bytes]] = st.session_state.get("files", [])
    if not files:
        st.info("Drag a file here, or choose an example. Nothing is stored.", icon=":material/upload_file:")
        return None
    if not given:
        st.button(f"Forget {', '.join(name for name, _ in files)}", on_click=_forget)
    return _case_of(files)


def _forget() -> None:
    st.session_state.pop("files", None)


def _case_of(files: list[tuple[str, bytes]]) -> Case | None:
    try:
        if len({name for name, _ in files}) < len(files):
            raise ReaderError(files[0][0], "files", "received two files of this name")
        read = _read(files, {})
        understood = st.expander("What was understood", expanded=True)
        answers = _ask(read)
        if answers:
            read = _read(files, answers)
    except ReaderError as error:
        st.error(f"This cannot be read. {error}", icon=":material/error:")
        return None
    with understood:
        st.html(understood_html(read))
    if read.questions:
        return None
    try:
        return remembered(st.session_state, "case", _identity(files, answers), lambda: case_of_file(read))
    except ReaderError as error:
        st.error(f"This cannot be answered. {error}", icon=":material/error:")
        return None


def _identity(files: list[tuple[str, bytes]], answers: Mapping[str, Any]) -> tuple[object, ...]:
    return (tuple((name, hash(content)) for name, content in files), tuple(sorted(answers.items())))


def _read(files: list[tuple[str, bytes]], hints: Mapping[str, Any]) -> ReadECG:
    name, content = files[0]
    source = content if len(files) == 1 else dict(files)
    return remembered(
        st.session_state,
        "read",
        _identity(files, hints),
        lambda: read_ecg(source, name=name if len(files) == 1 else "", **hints),
    )


def _ask(read: ReadECG) -> dict[str, Any]:
    """The answers to a file's questions as hints for ``read_ecg``; questions without an answer are left out."""
    if not read.questions:
        return {}
    st.markdown("**What the file does not say, only you know**")
    hints: dict[str, Any] = {}
    for question in read.questions:
        value = _answer(question, f"{read.file}-{read.samples}")
        if value is not None:
            hints["gain" if isinstance(value, _Gain) else question.field] = value
    return {name: float(value) if isinstance(value, _Gain) else value for name, value in hints.items()}


class _Gain(float):
    """Numbers of a converter per millivolt: the other answer to the question for units."""


def _answer(question: Question, key: str) -> Any:
    key = f"asked-{question.field}-{key}"
    match question.field:
        case "units":
            return _units(question, key)
        case "leads":
            return _leads(question, key)
    likely = f"likely {question.suggestion:g}" if isinstance(question.suggestion, float | int) else None
    return st.number_input(question.text, min_value=0.001, value=None, placeholder=likely, key=key)


def _units(question: Question, key: str) -> str | float | None:
    options = [*question.allowed, CONVERTER]
    likely = f" Likely {question.suggestion}." if question.suggestion else ""
    chosen = st.radio(question.text + likely, options, index=None, horizontal=True, key=key)
    if chosen != CONVERTER:
        return chosen
    gain = st.number_input("How many of these numbers make 1 mV?", min_value=0.001, value=None, key=f"{key}-gain")
    return None if gain is None else _Gain(gain)


def _leads(question: Question, key: str) -> tuple[str, ...] | None:
    orders = {", ".join(leads): leads for leads in (LEADS, INDEPENDENT_LEADS) if leads == question.suggestion}
    options = [*orders, OTHER_ORDER]
    chosen = st.radio(question.text, options, index=None, key=key) if orders else OTHER_ORDER
    if chosen != OTHER_ORDER:
        return orders.get(chosen or "")
    text = st.text_input(
        "Names of the leads in order, with commas", key=f"{key}-names", placeholder="I, II, V1, V2, ..."
    )
    return tuple(name.strip() for name in text.split(",") if name.strip()) or None
