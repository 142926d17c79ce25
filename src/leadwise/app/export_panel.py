"""What can be taken along: the report, the answer, the request."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import streamlit as st

from leadwise.app.case import Case, Facts
from leadwise.app.export import REQUEST_FILE, as_json, curl_command, request_body
from leadwise.app.report import as_file, report_figure
from leadwise.serving.explanations import explanation_told


def show_export(
    case: Case,
    facts: Facts,
    answer: Mapping[str, Any],
    facts_answer: Mapping[str, Any] | None,
    *,
    policy: str | None,
    explained: str | None,
    start_s: float,
    url: str,
) -> None:
    """Draw the downloads. A report is made when it is asked for."""
    record = case.drawn(facts)
    told = facts_answer if facts_answer and "error" not in facts_answer else None
    explanation = explanation_told(answer, explained) if explained else None

    def report(kind: Literal["pdf", "png"]) -> Callable[[], bytes]:
        def make() -> bytes:
            figure = report_figure(record, facts, case.title, answer, told, explanation=explanation, start_s=start_s)
            return as_file(figure, kind)

        return make

    body = request_body(case.row(facts), policy, [explained] if explained else [])
    columns = st.columns(4)
    columns[0].download_button("Report, PDF", report("pdf"), "leadwise-report.pdf", width="stretch", on_click="ignore")
    columns[1].download_button("Report, PNG", report("png"), "leadwise-report.png", width="stretch", on_click="ignore")
    columns[2].download_button(
        "Answer, JSON", as_json(answer), "leadwise-answer.json", "application/json", width="stretch", on_click="ignore"
    )
    columns[3].download_button(
        "Request, JSON", as_json(body), REQUEST_FILE, "application/json", width="stretch", on_click="ignore"
    )
    st.caption("The same answer from the REST server (`make serve`), with the request above:")
    st.code(curl_command(body, url), language="bash", wrap_lines=True)
