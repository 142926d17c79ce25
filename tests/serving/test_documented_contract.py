"""docs/serving.md: its examples work when pasted, and its tables name what the code takes and gives."""

import json
import re
from typing import Any, get_args

import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.ecg.flags import FLAGS
from leadwise.ecg.leads import RecordingCode
from leadwise.registry.package import served_signature
from leadwise.serving import values as limits
from leadwise.serving.api import respond
from leadwise.serving.envelope import PARAMETERS
from leadwise.serving.request import FIELDS
from leadwise.serving.scorer import Scorer
from leadwise.serving.values import RequestCode

PAGE = (PROJECT_ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def first_column(heading: str) -> set[str]:
    """Names in backticks in the first column of the tables under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_python_example_is_answered(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []

    class Answer:
        def __init__(self, body: Any) -> None:
            status, self.content = respond(scorer, json.dumps(body).encode(), "application/json")
            answers.append((status, self.content))

        def json(self) -> Any:
            return self.content

    monkeypatch.setattr("requests.post", lambda url, json, timeout: Answer(json))
    exec(blocks("python")[0], {})
    ((status, content),) = answers
    (answer,) = content["predictions"]
    assert (status, answer["policy"], list(answer["explanations"])) == (200, "target_sensitivity", ["MI"])
    assert set(answer) - {"id", "disclaimer"} == first_column("The answer")


def test_every_envelope_of_the_page_is_answered(scorer: Scorer) -> None:
    (envelopes,) = [block for block in blocks("json") if "dataframe_split" in block]
    curls = re.findall(r"-d '(.*?)'", PAGE)
    assert len(curls) == 1
    for body in [*envelopes.splitlines(), *curls]:
        assert respond(scorer, body.encode(), "application/json")[0] == 200


def test_the_page_names_every_field_parameter_code_and_flag() -> None:
    in_python = {parameter.name for parameter in served_signature().params}
    assert in_python > {*PARAMETERS}
    assert first_column("A request") == {*FIELDS, *in_python}
    assert first_column("Errors") == {*get_args(RecordingCode), *get_args(RequestCode), "internal"}
    assert all(f"`{flag}`" in PAGE for flag in FLAGS)


def test_the_page_states_the_limits() -> None:
    section = PAGE.split("## Limits\n")[1]
    for limit in (limits.MOST_RECORDS, limits.MOST_VALUES, limits.MOST_LISTS, limits.LARGEST_BODY // 2**20):
        assert f" {limit:,}" in section
    assert f"{limits.MOST_EXPLAINED}; {limits.LONGEST_EXPLAINED_S:g} s" in section
