"""The parts of the page that need no browser: units, requests, reports, who answers."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leadwise.app.attribution import explanation_of

from leadwise.app.body_units import UNITS, from_model, limits, to_model
from leadwise.app.case import case_of_record
from leadwise.app.examples import simulated_example
from leadwise.app.export import curl_command, request_body
from leadwise.app.model_source import LocalModel, ModelSourceError, champion, open_model
from leadwise.app.report import as_file, report_figure
from leadwise.app.settings import Settings
from leadwise.contract import FACT_RANGES, SUPERCLASSES
from leadwise.serving.envelope import rows_of_json


@given(st.data())
def test_whatever_the_form_takes_is_allowed_in_a_request(data: st.DataObject) -> None:
    fact = data.draw(st.sampled_from(sorted(UNITS)))
    unit = data.draw(st.sampled_from(sorted(UNITS[fact])))
    low, high = limits(fact, unit)
    value = data.draw(st.floats(low, high))
    taken = to_model(fact, value, unit)
    assert taken is not None
    assert FACT_RANGES[fact][0] <= taken <= FACT_RANGES[fact][1]
    assert from_model(fact, taken, unit) == pytest.approx(value, abs=0.06)


@pytest.mark.parametrize("superclass", SUPERCLASSES)
def test_the_exported_request_gets_the_pages_answer(page_package: Path, superclass: str) -> None:
    model = open_model(Settings(package=str(page_package)))
    case = case_of_record(simulated_example(superclass), superclass, simulated=True)
    row = case.row(case.facts)
    (sent,), params = rows_of_json(json.dumps(request_body(row, "youden", ["MI"])).encode())
    assert model.ask(sent, params["policy"], params["explain"]) == model.ask(row, "youden", ["MI"])


def test_curl_of_facts_alone_holds_the_whole_request() -> None:
    command = curl_command(request_body({"age": 71}, None, []), "http://127.0.0.1:5001")
    assert command.endswith("""'{"inputs": [{"age": 71}]}'""")


def test_report_is_one_page_in_both_formats(page_package: Path) -> None:
    model = open_model(Settings(package=str(page_package)))
    record = simulated_example("MI")
    case = case_of_record(record, "Simulated", simulated=True)
    answer = model.ask(case.row(case.facts), None, ["MI"])
    facts_answer = model.ask({"age": 71}, None)
    figure = report_figure(record, "Simulated", answer, facts_answer, explanation=explanation_of(answer, "MI"))
    pdf = as_file(figure, "pdf")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1
    assert as_file(figure, "png").startswith(b"\x89PNG")


def test_explanation_comes_back_as_it_was_written() -> None:
    values = np.arange(24, dtype="<f4").reshape(2, 12)
    coded = {"data": base64.b64encode(values.tobytes()).decode(), "shape": [2, 12], "fs_hz": 100.0}
    told = {"method": "shapley", "effects": {"QRS": {"V1": 1.0}}, "attribution": coded}
    found = explanation_of({"explanations": {"MI": told}, "probabilities": {"MI": 0.7}}, "MI")
    assert found is not None
    np.testing.assert_array_equal(found.attribution, values)
    assert explanation_of({"explanations": {}}, "MI") is None


def test_settings_survive_the_environment(tmp_path: Path) -> None:
    settings = Settings(url="http://a:1", model="m", package=str(tmp_path), data=str(tmp_path))
    assert Settings.from_environment(settings.to_environment()) == settings


def test_looking_for_a_champion_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(ModelSourceError, match="does not exist"):
        champion("leadwise")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_package_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"networks": {}}')
    with pytest.raises(ModelSourceError, match="no package that can be read"):
        LocalModel.load(tmp_path, "x")
