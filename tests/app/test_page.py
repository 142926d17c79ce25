"""What a user of the page sees and gets, by Streamlit's own simulation of a browser."""

import hashlib
import html
import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from answering_server import Server

from leadwise.contract import DISCLAIMER, LEADS, SUPERCLASSES, VALIDATION_FOLD
from leadwise.datasets.synthetic import simulate_record
from leadwise.serving.scorer import Scorer

testing = pytest.importorskip("streamlit.testing.v1")

Open = Callable[..., "testing.AppTest"]
pytestmark = pytest.mark.xdist_group("page")


def text_of(page: "testing.AppTest") -> str:
    bodies = (str(element.proto.body) for element in page.get("html"))
    return "\n".join(body for body in bodies if "<style>" not in body)


def alert_of(page: "testing.AppTest") -> str:
    """What the page says went wrong; there is one such sentence."""
    (body,) = [line for line in text_of(page).splitlines() if 'role="alert"' in line]
    return html.unescape(body)


def figure_of(page: "testing.AppTest") -> str:
    """A digest of the ECG as it is drawn: to tell how two texts of its size differ takes pytest minutes."""
    drawn = next(line for line in text_of(page).splitlines() if "data:image/svg+xml" in line)
    return hashlib.sha256(drawn.encode()).hexdigest()


def probabilities_of(page: "testing.AppTest") -> list[tuple[str, str]]:
    """As they are shown, with their thresholds."""
    return re.findall(r'class="lw-percent">([^<]+)<|(threshold of [^ <]+)', text_of(page))


def csv(signal: np.ndarray) -> bytes:
    target = io.StringIO()
    np.savetxt(target, signal, fmt="%.6g", delimiter=",", header=",".join(LEADS), comments="")
    return target.getvalue().encode()


def choose(page: "testing.AppTest", key: str, value: str) -> None:
    page.segmented_control(key=key).set_value(value).run()
    assert not page.exception


def upload(page: "testing.AppTest", name: str, content: bytes) -> None:
    if page.segmented_control(key="source").value != "My own file":
        choose(page, "source", "My own file")
    page.file_uploader(key="upload").set_value((name, content, "application/octet-stream")).run()
    assert not page.exception


def test_opens_on_an_example_with_its_ecg_and_answer(opened: Open) -> None:
    page = opened()
    shown = text_of(page)
    assert "data:image/svg+xml;base64," in shown
    assert shown.index("Answer: ") < shown.index("lw-NORM") < shown.index("data:image/svg+xml"), "the answer first"
    assert shown.index("Quality") < shown.index("data:image/svg+xml")
    for name in SUPERCLASSES:
        assert f"lw-{name}" in shown
    assert "Simulated with: <b>myocardial infarction</b>" in shown
    assert shown.count("true label") == 1
    assert "between 45 % and 55 %" in shown, "the band of what is uncertain"
    (folded,) = [part for part in page.expander if "people like this" in part.label]
    assert not folded.proto.expanded
    assert DISCLAIMER in shown
    assert "no rhythm" in shown
    assert "trained on simulated data" in shown
    assert "Simulated, no patient" in page.caption[0].value


def test_examples_of_a_tree(opened: Open, simulated_tree: Path, tmp_path: Path) -> None:
    page = opened(tree=str(simulated_tree))
    assert f"fold {VALIDATION_FOLD}" in page.caption[0].value
    assert "lw-NORM" in text_of(page)
    number = int(re.findall(r"record (\d+)", page.caption[0].value)[0])
    page.number_input(key="record").set_value(number + 1).run()
    assert f"record {number + 1} of fold" in page.caption[0].value
    page.number_input(key="record").set_value(999_999).run()
    assert "record: received 999999" in alert_of(page)
    assert "lw-NORM" not in text_of(page)
    empty = opened(tree=str(tmp_path))
    assert "ptbxl_database.csv: does not exist" in alert_of(empty)
    assert "lw-NORM" in text_of(empty)


def test_a_policy_changes_thresholds_survives_a_rerun_and_is_not_taken_over_to_another_recording(opened: Open) -> None:
    page = opened()
    assert "threshold of 50 %" in text_of(page)
    assert "80 % [10, 90]" in text_of(page)
    assert "On 321 unseen recordings" in text_of(page)
    page.selectbox(key="policy").set_value("youden").run()
    assert "threshold of 25 %" in text_of(page)
    assert "does not tell its sensitivity" in text_of(page)
    page.run()
    assert page.selectbox(key="policy").value == "youden"
    page.button_group(key="example").set_value("CD").run()
    assert page.selectbox(key="policy").value == "best_f1"
    assert "high sensitivity" not in text_of(page)
    assert "Best sum of sensitivity and specificity” was chosen for another recording" in text_of(page)


def test_the_likeliest_class_is_explained_until_another_row_is_chosen(opened: Open) -> None:
    page = opened()
    first = figure_of(page)
    (top,) = re.findall(r"lw-(\w+) lw-chosen", text_of(page))
    shown = re.findall(r'lw-class lw-\w+ lw-(\w+).*?lw-percent">[<>]?(\d+) %', text_of(page))
    assert len(shown) == len(SUPERCLASSES)
    assert dict(shown)[top] == max((percent for _, percent in shown), key=int)
    other = "HYP" if top != "HYP" else "CD"
    page.button(key=f"explain-{other}").click().run()
    assert not page.exception
    assert re.findall(r"lw-(\w+) lw-chosen", text_of(page)) == [other]
    second = figure_of(page)
    assert second != first
    page.button(key=f"explain-{other}").click().run()
    assert "lw-chosen" not in text_of(page)
    assert figure_of(page) not in (first, second)
    page.button_group(key="example").set_value("CD").run()
    assert "lw-chosen" in text_of(page), "another recording begins with its likeliest class"


def test_without_a_recording_nothing_is_answered_and_the_facts_give_what_is_to_be_expected(opened: Open) -> None:
    page = opened()
    choose(page, "source", "No recording")
    assert "at least one fact" in page.info[0].value
    page.number_input(key="age-none").set_value(71).run()
    shown = text_of(page)
    assert "data:image" not in shown
    assert "Before any ECG: people like this" in shown
    assert shown.count('class="lw-percent"') == len(SUPERCLASSES)
    for word in ("Answer: ", "lw-verdict", "Yes", "threshold"):
        assert word not in shown
    assert '"age": 71' in page.code[0].value


def test_a_child_is_warned_of_beside_the_answer(opened: Open) -> None:
    page = opened()
    for age, said in ((18.0, False), (17.0, True)):
        next(box for box in page.number_input if box.label.startswith("Age")).set_value(age).run()
        shown = text_of(page)
        assert ("a child&#39;s ECG" in shown) == said
    assert shown.index("Answer: ") < shown.index("a child&#39;s ECG") < shown.index("lw-NORM")


def test_reversed_electrodes_are_said_beside_the_answer(desk: "testing.AppTest", npz: Callable[..., bytes]) -> None:
    from dataclasses import replace

    record = simulate_record("NORM", 4)
    swapped_arms = record.signal_mv.copy()
    i, ii, iii, avr, avl, avf = record.signal_mv[:, :6].T
    swapped_arms[:, :6] = np.stack([-i, iii, ii, avl, avr, avf], axis=1)
    upload(desk, "reversed.npz", npz(replace(record, signal_mv=swapped_arms)))
    shown = text_of(desk)
    assert shown.index("Answer: ") < shown.index("Limb electrodes look reversed") < shown.index("lw-NORM")
    assert shown.count("Limb electrodes look reversed") == 1


def test_the_model_card_is_a_click_away(opened: Open, package_folder: Path) -> None:
    page = opened()
    next(button for button in page.button if button.label == "Model card").click().run()
    assert not page.exception
    assert any("A small package" in text.value for text in page.markdown)


def test_inches_and_pounds_are_the_same_patient(opened: Open) -> None:
    page = opened()
    choose(page, "source", "No recording")
    choose(page, "unit-height_cm", "in")
    page.number_input(key="height_cm-in-none").set_value(70.0).run()
    assert '"height_cm": 177.8' in page.code[0].value
    choose(page, "unit-height_cm", "cm")
    assert page.number_input(key="height_cm-cm-none").value == pytest.approx(177.8)
    assert '"height_cm": 177.8' in page.code[0].value


def test_a_bare_csv_is_asked_for_its_rate_and_units_before_any_answer(desk: "testing.AppTest") -> None:
    upload(desk, "walk-in.csv", csv(np.round(simulate_record("CD", 5).signal_mv * 1000)))
    assert "asked below" in text_of(desk)
    assert "lw-NORM" not in text_of(desk)
    next(box for box in desk.number_input if "sampling rate" in box.label).set_value(100.0).run()
    assert "lw-NORM" not in text_of(desk)
    next(radio for radio in desk.radio if "what are its numbers" in radio.label).set_value("uV").run()
    assert not desk.exception
    shown = text_of(desk)
    assert "100 Hz" in shown
    assert "lw-NORM" in shown


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("![x](http://127.0.0.1:9/x.png).csv", b"no numbers"),
    ],
)
def test_a_wrong_file_gives_a_sentence(desk: "testing.AppTest", name: str, content: bytes) -> None:
    upload(desk, name, content)
    assert name.rpartition("/")[2] in alert_of(desk)
    assert "lw-NORM" not in text_of(desk)
    assert not desk.error


def test_what_is_non_ecg_gets_no_answer(desk: "testing.AppTest", npz: Callable[..., bytes]) -> None:
    from dataclasses import replace

    noise = np.random.default_rng(0).normal(size=(1000, 12))
    upload(desk, "noise.npz", npz(replace(simulate_record("NORM", 4), signal_mv=noise)))
    assert "No answer" in alert_of(desk)
    assert "lw-NORM" not in text_of(desk)
    assert "data:image/svg+xml" in text_of(desk), "what was refused is shown"


def test_what_the_reader_noticed_is_told_with_the_quality(
    desk: "testing.AppTest", ecg_files: ModuleType, tmp_path: Path
) -> None:
    record = simulate_record("NORM", 4)
    one = ecg_files.Ecg(np.round(record.signal_mv * 1000), 100, unit="mV")
    files = dict(ecg_files.wfdb_files(one, tmp_path / "in"))
    damaged = np.frombuffer(files["rec.dat"], "<i2").reshape(-1, 12).copy()
    damaged[300:350, LEADS.index("V2")] += 1
    if desk.segmented_control(key="source").value != "My own file":
        choose(desk, "source", "My own file")
    desk.file_uploader(key="upload").set_value(
        [("rec.hea", files["rec.hea"], "text/plain"), ("rec.dat", damaged.tobytes(), "application/octet-stream")]
    ).run()
    assert "The file may be damaged (V2, the checksum in the file does not fit" in text_of(desk)
    assert "lw-NORM" in text_of(desk)


def test_markup_and_formulas_in_a_file_name_are_shown_as_text(
    desk: "testing.AppTest", npz: Callable[..., bytes]
) -> None:
    upload(desk, "<b onclick=x>$\\frac$.npz", npz(simulate_record("NORM", 4)))
    assert "<b onclick" not in text_of(desk)
    assert "lw-NORM" in text_of(desk)


def test_a_file_stays_until_it_is_forgotten(desk: "testing.AppTest", npz: Callable[..., bytes]) -> None:
    upload(desk, "walk-in.npz", npz(simulate_record("NORM", 4), age=66.0))
    choose(desk, "source", "Example")
    choose(desk, "source", "My own file")
    assert "walk-in.npz" in text_of(desk)
    next(button for button in desk.button if "Forget" in button.label).click().run()
    assert "walk-in.npz" not in text_of(desk)
    assert "lw-NORM" not in text_of(desk)


def test_without_a_model_the_page_says_what_to_do(opened: Open, tmp_path: Path) -> None:
    page = opened(model=str(tmp_path))
    assert "nobody who could answer" in alert_of(page)
    assert "make run" in page.code[0].value
    assert DISCLAIMER in text_of(page)


def test_a_server_gives_the_answer_of_its_own_package(opened: Open, package_folder: Path) -> None:
    with closing(Server(Scorer.load(package_folder))) as server:
        there, here = opened(url=f"{server.url}/invocations", model=""), opened()
        assert f"the server at {server.url}" in text_of(there)
        plain = figure_of(there)
        for page in (there, here):
            page.selectbox(key="policy").set_value("youden").run()
            page.button(key="explain-HYP").click().run()
        assert len(probabilities_of(there)) >= 2 * len(SUPERCLASSES)
        assert probabilities_of(there) == probabilities_of(here)
        assert figure_of(there) != plain


def test_a_server_that_is_not_there_gives_a_sentence_and_the_ecg(opened: Open) -> None:
    page = opened(url="http://127.0.0.1:9", model="")
    assert "no connection" in alert_of(page)
    assert "make serve" in alert_of(page)
    assert "data:image/svg+xml" in text_of(page)
