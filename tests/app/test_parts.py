"""The parts of the page that need no browser: units, requests, reports, who answers, examples."""

import json
import os
import re
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from answering_server import Server, answer
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from leadwise import __version__
from leadwise.app.answer import html_of, plain
from leadwise.app.figure import A4_MM, as_file, drawn_ecg, report_figure, request_body
from leadwise.app.inputs import ptbxl_examples, simulated_examples
from leadwise.app.model_source import ModelSource, ModelSourceError, ShownRecording, local_model, rest_model
from leadwise.app.patient_form import from_model, limits, to_model
from leadwise.app.settings import check, from_environment, to_environment
from leadwise.config import App
from leadwise.contract import LEADS, SUPERCLASSES, VALIDATION_FOLD, ECGRecord, LeadwiseError
from leadwise.explain import Explanation
from leadwise.features import asked_features
from leadwise.reports.ecg_paper import LAYOUTS, SPEEDS_MM_S, Paper
from leadwise.serving.answer import explanation_told
from leadwise.serving.request_parsing import rows_of_json
from leadwise.serving.scorer import Scorer


@pytest.fixture(scope="module")
def model(package_folder: Path) -> ModelSource:
    return local_model(str(package_folder))


def example_case(superclass: str) -> ShownRecording:
    return simulated_examples()[superclass]


@given(st.data())
def test_whatever_the_form_takes_is_allowed_in_a_request(data: st.DataObject) -> None:
    one = data.draw(st.sampled_from([one for one in asked_features() if not one.choices]))
    unit = data.draw(st.sampled_from(one.form_units or (one.unit,)))
    low, high = limits(one, unit)
    value = data.draw(st.floats(low, high))
    taken = to_model(one, value, unit)
    assert taken is not None
    assert one.holds(taken)
    assert from_model(one, taken, unit) == pytest.approx(value, abs=0.06)


@given(st.text())
def test_markdown_of_a_foreign_text_has_no_sign_that_means_something(text: str) -> None:
    shown = plain(text)
    assert shown.replace("\\", "") == text.replace("\\", "")
    unescaped = shown.replace("\\\\", "")
    for sign in "[]()!`*_<:$":
        assert unescaped.count(sign) == unescaped.count(f"\\{sign}")


@pytest.mark.parametrize("superclass", SUPERCLASSES)
def test_the_exported_request_gets_the_pages_answer(model: ModelSource, superclass: str) -> None:
    case = example_case(superclass)
    row = case.row(case.facts)
    (sent,), params = rows_of_json(json.dumps(request_body(row, "youden", ["MI"])).encode())
    assert model.ask(sent, params["policy"], params["explain"]) == model.ask(row, "youden", ["MI"])


def size_mm(figure: "object") -> tuple[float, float]:
    width, height = figure.get_size_inches() * 25.4  # type: ignore[attr-defined]
    return width, height


@pytest.mark.parametrize("with_recording", [True, False])
def test_report_is_one_a4_page_in_both_formats(model: ModelSource, with_recording: bool) -> None:
    case = example_case("MI")
    record = case.record if with_recording else None
    row = case.row(case.facts) if with_recording else {"age": 71}
    answer = model.ask(row, None, ["MI"] if with_recording else [])
    explanation = explanation_told(answer, "MI")
    assert (explanation is not None) == with_recording
    bands = model.bands_of(answer)
    figure = report_figure(
        record, case.facts, case.title, answer, None, bands=bands, explanation=explanation, made=date(2026, 3, 4)
    )
    assert size_mm(figure) == pytest.approx(A4_MM)
    told = [text.get_text() for text in figure.findobj(Text)]
    assert sum(text.startswith("Leadwise report: ") for text in told) == 1
    assert any(__version__ in text and "2026-03-04" in text for text in told)
    assert sum("Answer: " in text for text in told) == with_recording
    assert any(text.startswith("Quality: ") for text in told) == with_recording
    assert any("threshold" in text or "uncertain" in text for text in told) == with_recording
    pdf = as_file(figure, "pdf")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1
    assert as_file(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("explained", [False, True])
@pytest.mark.parametrize("speed", SPEEDS_MM_S)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_measured_on_the_picture_is_what_the_recording_holds(layout: str, speed: int, explained: bool) -> None:
    """Every vertex of every trace, read off the SVG as the page's calipers read a place, lies on its own lead."""
    record = simulated_examples()["HYP"].record
    attribution = np.ones(record.signal_mv.shape, dtype=np.float32)
    explanation = Explanation("HYP", "shapley", 0.8, attribution, record.fs_hz, {}) if explained else None
    svg, places = drawn_ecg(record, "x", explanation, on=Paper(layout, speed))
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    width, height = map(float, found.groups())
    assert places["width"] / places["height"] == pytest.approx(width / height, rel=1e-4)
    traces = re.findall(r'<g id="lead-(\w+)">\s*<path d="([^"]+)"', svg)
    assert [lead for lead, _ in traces] == [strip["lead"] for strip in places["strips"]]
    for (lead, path), strip in zip(traces, places["strips"], strict=True):
        mm = np.array([list(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", path)])
        mm *= places["width"] / width
        seconds = strip["start_s"] + (mm[:, 0] - strip["left"]) / places["mm_per_s"]
        level = (strip["baseline"] - mm[:, 1]) / places["mm_per_mv"]
        signal = record.signal_mv[:, LEADS.index(lead)] - np.median(record.signal_mv[:, LEADS.index(lead)])
        np.testing.assert_allclose(level, np.interp(seconds, np.arange(1000) / record.fs_hz, signal), atol=0.02)
        assert mm[[0, -1], 0] == pytest.approx([strip["left"], strip["right"]], abs=0.01)
        assert level.max() == pytest.approx(strip["up"] / places["mm_per_mv"], abs=0.02)
        assert -level.min() == pytest.approx(strip["down"] / places["mm_per_mv"], abs=0.02)


def test_the_ecg_of_a_report_is_true_to_scale_and_one_that_is_too_tall_gets_a_higher_page(model: ModelSource) -> None:
    case = example_case("HYP")
    record = case.record
    assert record is not None
    answer = model.ask(case.row(case.facts), None)
    for gain in (1, 6):
        higher = ECGRecord(record.signal_mv * gain, record.fs_hz, {}, "")
        figure = report_figure(higher, case.facts, "x", answer, None)
        paper = next(axes for axes in figure.axes if axes.get_label() == "paper")
        box, (width, height) = paper.get_position(), size_mm(figure)
        assert box.width * width == pytest.approx(paper.get_xlim()[1])
        assert box.height * height == pytest.approx(paper.get_ylim()[1])
        assert (height > A4_MM[1] + 1) == (gain > 1)


def test_rates_that_are_not_known_are_not_invented() -> None:
    shown = html_of("rates", {"sensitivity": {"MI": [0.5, None, None]}, "specificity": {}})
    assert shown.count("unknown") == 2 * len(SUPERCLASSES) - 1
    assert "<td>50 %</td>" in shown
    assert "does not tell" in html_of("rates", {})


def test_settings_survive_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"url": "http://a:1", "model": "models:/a@b", "embed_from": "https://a http://localhost:80"}
    settings = App(tree=str(tmp_path), **given)
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert from_environment() == settings
    relative = to_environment(App(model=os.path.relpath(tmp_path)))
    assert relative["LEADWISE_APP_MODEL"] == str(tmp_path.resolve())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (App(url="ftp://a"), "url"),
        (App(url="http://a", model="pretrained"), "model"),
        (App(tree="/nowhere/at/all"), "tree"),
        (App(embed_from="https://a.example *"), "embed_from"),
        (App(embed_from="https://a.example/path"), "embed_from"),
    ],
)
def test_what_cannot_be_is_refused_before_a_page_is_open(settings: App, named: str) -> None:
    with pytest.raises(LeadwiseError, match=f"^{named}: "):
        check(settings)


def test_looking_for_a_champion_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(ModelSourceError, match="does not exist"):
        local_model("models:/leadwise@champion")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_package_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"networks": {}}')
    with pytest.raises(ModelSourceError, match="no package that can be read"):
        local_model(str(tmp_path))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"<html>", "status 500: says nothing"),
        (307, b"{}", "status 307: says nothing"),
        (400, b'{"message": "params.policy: received x"}', "params.policy"),
        (200, b"[]", "status 200: says nothing"),
        (200, b'{"predictions": ["x"]}', "status 200: says nothing"),
    ],
)
def test_a_server_of_another_kind_gives_a_sentence(package_folder: Path, status: int, body: bytes, said: str) -> None:
    with closing(Server(Scorer.load(package_folder))) as server:
        server.misbehaves = [lambda handler: answer(handler, status, body, Location="http://127.0.0.1:9/elsewhere")] * 9
        with pytest.raises(ModelSourceError, match=said):
            rest_model(server.url).ask({"age": 71}, None)


def test_examples_of_a_tree_have_their_class_alone_and_leave_fold_10_alone(simulated_tree: Path) -> None:
    from leadwise.datasets.tables import clean, read_tables

    records = clean(read_tables(simulated_tree)).records.set_index("ecg_id")
    for superclass, example in ptbxl_examples(simulated_tree).items():
        row = records.loc[int(example.record.record_id.removeprefix("ptb-xl-"))]
        assert row["strat_fold"] == VALIDATION_FOLD
        assert [name for name in SUPERCLASSES if row[name]] == [superclass]
        assert example.record.signal_mv.shape == (1000, 12)
        assert example.record.patient["age"] == row["age"]
        assert example.truth == (superclass,)
        assert "simulated" in example.about


def test_a_tree_without_an_example_of_a_class_is_refused(simulated_tree: Path, tmp_path: Path) -> None:
    import shutil

    for name in ("scp_statements.csv", "ptbxl_database.csv"):
        shutil.copy(simulated_tree / name, tmp_path)
    with pytest.raises(LeadwiseError, match="no clean record of NORM alone"):
        ptbxl_examples(tmp_path)
