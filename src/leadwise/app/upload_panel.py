"""A file of one's own: taken, understood, asked for what it does not say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from leadwise.app.answer_html import alert_html, understood_html
from leadwise.app.case import Case, case_of_file
from leadwise.app.memory import RECORDINGS_KEPT, remembered
from leadwise.app.question_panel import ask
from leadwise.ecg.formats import LARGEST_FILE, ReadECG, ReaderError, formats_read, read_ecg


@dataclass(frozen=True)
class Upload:
    """One file in memory; ``file_id`` is Streamlit's, another one for each upload."""

    file_id: str
    name: str
    content: bytes


def uploaded_case() -> Case | None:
    """Draw the upload and what was understood of it; ``None`` until it can be asked about."""
    st.file_uploader(
        f"One recording, up to {LARGEST_FILE // 2**20} MB; of WFDB the .hea and the .dat together",
        accept_multiple_files=True,
        key="upload",
        on_change=_keep,
        help=f"Read are: {formats_read()}. Files stay in memory and are forgotten with the session.",
    )
    files: list[Upload] = st.session_state.get("files", [])
    if not files:
        st.info(
            "Drag a file into the field above, or choose an example. Nothing is stored.", icon=":material/upload_file:"
        )
        return None
    if not st.session_state["upload"]:
        st.button("Forget this file", on_click=_forget)
    return _case_of(files)


def _keep() -> None:
    """Streamlit's uploader forgets its files while another source is shown."""
    st.session_state["files"] = [
        Upload(file.file_id, file.name, file.getvalue()) for file in st.session_state["upload"]
    ]


def _forget() -> None:
    for name in ("files", "remembered-read", "remembered-case"):
        st.session_state.pop(name, None)


def _case_of(files: list[Upload]) -> Case | None:
    above = st.container()
    try:
        if len({file.name for file in files}) < len(files):
            raise ReaderError(files[0].name, "files", "received two files of this name")
        read, answers = _understood(files)
        with above, st.expander("What was understood", expanded=True):
            st.html(understood_html(read))
        if read.questions:
            return None
        return remembered(
            st.session_state, "case", _identity(files, answers), lambda: case_of_file(read), kept=RECORDINGS_KEPT
        )
    except ReaderError as error:
        st.html(alert_html(f"This cannot be read. {error}"))
        return None


def _understood(files: list[Upload]) -> tuple[ReadECG, dict[str, Any]]:
    """What was read with the answers given so far, and these; an answer may lead to another question."""
    answers: dict[str, Any] = {}
    asked: set[str] = set()
    while True:
        read = _read(files, answers)
        questions = [question for question in read.questions if question.field not in asked]
        asked |= {question.field for question in questions}
        new = ask(questions, files[0].file_id)
        if not new:
            return read, answers
        answers |= new


def _read(files: list[Upload], hints: Mapping[str, Any]) -> ReadECG:
    name = files[0].name if len(files) == 1 else ""
    source = files[0].content if len(files) == 1 else {file.name: file.content for file in files}
    return remembered(
        st.session_state,
        "read",
        _identity(files, hints),
        lambda: read_ecg(source, name=name, **hints),
        kept=RECORDINGS_KEPT,
    )


def _identity(files: list[Upload], answers: Mapping[str, Any]) -> tuple[object, ...]:
    return (tuple(file.file_id for file in files), tuple(sorted(answers.items())))
