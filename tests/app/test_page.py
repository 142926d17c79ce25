"""What a user of the page sees and gets, by Streamlit's own simulation of a browser."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import leadwise.app
from leadwise.contract import DISCLAIMER, LEADS, SUPERCLASSES
from leadwise.data.simulator import simulate_record

testing = pytest.importorskip("streamlit.testing.v1")

PAGE = Path(leadwise.app.__file__).parent / "page.py"
Open = Callable[..., "testing.AppTest"]


@pytest.fixture
def opened(page_package: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A new session of the page; keywords are settings."""

    def open_page(**settings: str) -> "testing.AppTest":
        for name in ("URL", "MODEL", "PACKAGE", "DATA"):
            monkeypatch.setenv(f"LEADWISE_APP_{name}", settings.get(name.lower(), ""))
        if not settings:
            monkeypatch.setenv("LEADWISE_APP_PACKAGE", str(page_package))
        page = testing.AppTest.from_file(str(PAGE), default_timeout=120).run()
        assert not page.exception
        return page

    return open_page


def text_of(page: "testing.AppTest") -> str:
    bodies = (str(element.proto.body) for element in page.get("html"))
    return "\n".join(body for body in bodies if "<style>" not in body)


def csv(signal: np.ndarray) -> bytes:
    target = io.StringIO()
    np.savetxt(target, signal, fmt="%.6g", delimiter=",", header=",".join(LEADS), comments="")
    return target.getvalue().encode()


def choose(page: "testing.AppTest", key: str, value: str) -> None:
    page.segmented_control(key=key).set_value(value).run()
    assert not page.exception


def test_opens_on_an_example_with_its_ecg_and_answer(opened: Open) -> None:
    page = opened()
    shown = text_of(page)
    assert "data:image/svg+xml;base64," in shown
    assert "Quality" in shown
    for name in SUPERCLASSES:
        assert f"lw-{name}" in shown
    assert DISCLAIMER in shown
    assert "no rhythm" in shown
    assert "trained on simulated data" in shown


def test_policy_changes_thresholds_and_survives_a_rerun(opened: Open) -> None:
    page = opened()
    assert "threshold of 50 %" in text_of(page)
    assert "80 % [70, 90]" in text_of(page)
    page.selectbox(key="policy").set_value("youden").run()
    assert "threshold of 20 %" in text_of(page)
    assert "does not tell its sensitivity" in text_of(page)
    choose(page, "source", "No recording")
    choose(page, "source", "Example")
    assert page.selectbox(key="policy").value == "youden"
    assert "threshold of 20 %" in text_of(page)


def test_an_explanation_is_drawn_behind_the_trace(opened: Open) -> None:
    page = opened()
    before = text_of(page)
    choose(page, "explained", "MI")
    assert text_of(page) != before
    assert '"explain": ["MI"]' in requests_of(page)


def requests_of(page: "testing.AppTest") -> str:
    """The body whose answer the page shows, as far as it is shown."""
    kept = page.session_state["remembered-answer"]
    return json.dumps([{"explain": [key[-1]]} for key in kept if key[-1]])


def test_without_a_recording_the_facts_alone_are_answered(opened: Open) -> None:
    page = opened()
    choose(page, "source", "No recording")
    assert "at least one fact" in page.info[0].value
    page.number_input(key="age-none").set_value(71).run()
    assert "data:image" not in text_of(page)
    assert "lw-NORM" in text_of(page)
    assert '"age": 71' in page.code[0].value


def test_inches_and_pounds_are_the_same_patient(opened: Open) -> None:
    page = opened()
    choose(page, "source", "No recording")
    choose(page, "unit-height_cm", "in")
    page.number_input(key="height_cm-in-none").set_value(70.0).run()
    assert '"height_cm": 177.8' in page.code[0].value
    choose(page, "unit-height_cm", "cm")
    assert page.number_input(key="height_cm-cm-none").value == pytest.approx(177.8)
    assert '"height_cm": 177.8' in page.code[0].value


def test_a_bare_csv_is_asked_for_its_rate_and_units_before_any_answer(opened: Open) -> None:
    page = opened()
    choose(page, "source", "My own file")
    content = csv(np.round(simulate_record("CD", 5).signal_mv * 1000))
    page.file_uploader(key="upload").set_value(("walk-in.csv", content, "text/csv")).run()
    assert "asked below" in text_of(page)
    assert "lw-NORM" not in text_of(page)
    next(box for box in page.number_input if "sampling rate" in box.label).set_value(100.0).run()
    assert "lw-NORM" not in text_of(page)
    next(radio for radio in page.radio if "what are its numbers" in radio.label).set_value("uV").run()
    assert not page.exception
    shown = text_of(page)
    assert "100 Hz" in shown
    assert "lw-NORM" in shown


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"x" * 50),
        ("a.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"),
    ],
)
def test_a_wrong_file_gives_a_sentence(opened: Open, name: str, content: bytes) -> None:
    page = opened()
    choose(page, "source", "My own file")
    page.file_uploader(key="upload").set_value((name, content, "application/octet-stream")).run()
    assert not page.exception
    (error,) = page.error
    assert name in error.value
    assert "Traceback" not in error.value
    assert "lw-NORM" not in text_of(page)


def test_what_is_no_ecg_gets_no_answer(opened: Open) -> None:
    page = opened()
    choose(page, "source", "My own file")
    noise = np.random.default_rng(0).normal(size=(1000, 12))
    page.file_uploader(key="upload").set_value(("noise.csv", csv(noise), "text/csv")).run()
    next(box for box in page.number_input if "sampling rate" in box.label).set_value(100.0).run()
    next(radio for radio in page.radio if "what are its numbers" in radio.label).set_value("mV").run()
    assert not page.exception
    assert "No answer" in page.error[0].value
    assert "lw-NORM" not in text_of(page)


def test_markup_in_a_file_name_is_shown_as_text(opened: Open) -> None:
    page = opened()
    choose(page, "source", "My own file")
    content = csv(simulate_record("NORM", 4).signal_mv)
    page.file_uploader(key="upload").set_value(("<b onclick=x>.csv", content, "text/csv")).run()
    assert not page.exception
    assert "<b onclick" not in text_of(page)


def test_two_sessions_do_not_see_each_other(opened: Open) -> None:
    first, second = opened(), opened()
    choose(first, "source", "No recording")
    first.number_input(key="age-none").set_value(33).run()
    second.pills(key="example").set_value("HYP").run()
    choose(second, "source", "No recording")
    assert second.number_input(key="age-none").value is None
    first.run()
    assert '"age": 33' in first.code[0].value


def test_without_a_model_the_page_says_what_to_do(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(package=str(tmp_path))
    assert "nobody who could answer" in page.error[0].value
    assert "make run" in page.code[0].value
    assert DISCLAIMER in text_of(page)


def test_a_server_that_is_not_there_gives_a_sentence_and_the_ecg(opened: Open) -> None:
    page = opened(url="http://127.0.0.1:9")
    assert "does not answer" in page.error[0].value
    assert "data:image/svg+xml" in text_of(page)
