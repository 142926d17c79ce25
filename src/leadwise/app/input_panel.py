"""Which recording: an example, a file of one's own, or none."""

from collections.abc import Mapping

import streamlit as st

from leadwise.app.case import Case, case_of_example, case_without_recording
from leadwise.app.examples import Example
from leadwise.app.memory import remembered
from leadwise.app.upload_panel import uploaded_case
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES

EXAMPLE, UPLOAD, NOTHING = "Example", "My own file", "No recording"


def choose_case(examples: Mapping[str, Example]) -> Case | None:
    """Draw the choice of a recording; ``None`` as long as nothing can be asked about."""
    source = st.segmented_control("Recording", [EXAMPLE, UPLOAD, NOTHING], key="source", required=True, width="stretch")
    if source == UPLOAD:
        return uploaded_case()
    return case_without_recording() if source == NOTHING else _example_case(examples)


def _example_case(examples: Mapping[str, Example]) -> Case:
    superclass = st.pills(
        "One example per class",
        SUPERCLASSES,
        key="example",
        required=True,
        format_func=lambda name: SUPERCLASS_NAMES[name],
    )
    example = examples[str(superclass)]
    st.caption(example.about)
    return remembered(st.session_state, "example", example.title, lambda: case_of_example(example))
