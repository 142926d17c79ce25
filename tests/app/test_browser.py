"""The page in a real browser: uploads of each format, figure, exports, errors, people at once, a narrow screen."""

import base64
import io
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from free_port import free_port
from page_server import CHROMIUM, NEEDS_CHROMIUM, page_served
from PIL import Image

from leadwise.app.inputs import simulated_examples
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.synthetic import simulate_record
from leadwise.reports.answer_figure import percent
from leadwise.serving.scorer import Scorer

pytest.importorskip("streamlit")
sync_api = pytest.importorskip("playwright.sync_api")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000
PEOPLE = 4

pytestmark = [NEEDS_CHROMIUM, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def address(package_folder: Path) -> Iterator[str]:
    """A running page, started as a user starts it."""
    port = free_port()
    command = [sys.executable, "-m", "leadwise.cli", "app", "--model", str(package_folder), "--port", str(port)]
    environment = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "STREAMLIT_SERVER_HEADLESS": "true"}
    with page_served([*command, "--address", "127.0.0.1"], port, environment, PROJECT_ROOT) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def open_page(browser: "Browser", address: str, width: int = 1280, height: int = 900) -> "Page":
    """A new session."""
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    opened.goto(address)
    return opened


@pytest.fixture(scope="module")
def page(browser: "Browser", address: str) -> "Page":
    """A session on the example of an infarction, which the tests leave as they found it."""
    opened = open_page(browser, address)
    opened.wait_for_selector(".lw-class")
    return opened


@pytest.fixture(scope="module")
def desk(browser: "Browser", address: str) -> "Page":
    """A session that waits for a file; whoever uploads one takes it away again."""
    opened = open_page(browser, address)
    opened.get_by_text("My own file", exact=True).click()
    opened.wait_for_selector("input[type=file]", state="attached")
    return opened


def upload(page: "Page", *files: tuple[str, bytes]) -> None:
    payload: list[Any] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": content} for name, content in files
    ]
    page.locator("input[type=file]").set_input_files(payload)


def take_away(page: "Page") -> None:
    """Remove what was uploaded by the cross beside it."""
    crosses = page.locator("button[aria-label^='Remove ']")
    for left in range(crosses.count(), 0, -1):
        crosses.first.click()
        sync_api.expect(crosses).to_have_count(left - 1)
    page.get_by_text("Drag a file into the field above").wait_for()


def test_the_ecg_is_drawn_grows_and_is_panned_by_keyboard(page: "Page") -> None:
    figure, paper = page.locator("img.lw-ecg"), page.locator(".lw-paper")
    assert figure.evaluate("image => image.naturalWidth") > 0
    assert "12-lead ECG" in (figure.get_attribute("alt") or "")
    page.get_by_text("True size", exact=True).click()
    # A millimetre of CSS is 96 pixels / 25.4, and the figure 282 mm wide.
    page.wait_for_function("Math.abs(document.querySelector('img.lw-ecg').getBoundingClientRect().width - 1065.8) < 1")
    page.get_by_text("200 %", exact=True).click()
    page.wait_for_function("document.querySelector('img.lw-ecg').getBoundingClientRect().width > 2000")
    paper.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.lw-paper').scrollLeft > 0")
    page.get_by_text("Fit", exact=True).click()
    page.wait_for_function("document.querySelector('img.lw-ecg').getBoundingClientRect().width < 1300")


def test_everything_to_operate_has_a_name_and_the_keyboard_reaches_it(page: "Page") -> None:
    assert page.locator("h1").count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input:not([type=file]), select, [tabindex="0"]')]
        .filter(e => e.getClientRects().length && !e.closest('[aria-hidden=true]'))
        .filter(e => !(e.innerText || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title
                       || (e.labels && e.labels.length) || e.closest('[aria-label]')))
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    page.locator("h1").click()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    assert {"ECG, scrollable"} <= reached
    assert any("infarction" in name for name in reached)


def test_a_click_on_a_row_explains_its_class_behind_the_trace(page: "Page") -> None:
    settled(page)
    before = page.locator("img.lw-ecg").get_attribute("src")
    chosen = page.locator(".lw-chosen")
    first = (chosen.get_attribute("class") or "").split()[2].removeprefix("lw-")
    other = "STTC" if first != "STTC" else "CD"
    page.locator(f".st-key-row-{other}").click()
    page.wait_for_function("before => document.querySelector('img.lw-ecg')?.src !== before", arg=before)
    settled(page)
    assert f"lw-{other}" in (chosen.get_attribute("class") or "")
    page.get_by_role("button", name=f"{first}: show").click()
    page.wait_for_function("before => document.querySelector('img.lw-ecg')?.src === before", arg=before)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_answer_is_seen_without_scrolling(browser: "Browser", address: str, width: int, height: int) -> None:
    opened = open_page(browser, address, width, height)
    opened.locator(".lw-class").last.wait_for()
    settled(opened)
    heading = opened.get_by_role("heading", name="Answer:").bounding_box()
    foot, first = opened.locator(".lw-foot").bounding_box(), opened.locator(".lw-class").first.bounding_box()
    last, figure = opened.locator(".lw-class").last.bounding_box(), opened.locator(".lw-paper").bounding_box()
    assert heading is not None and foot is not None and first is not None and last is not None and figure is not None
    assert 0 <= heading["y"] < first["y"] < foot["y"] - first["height"]
    assert last["y"] < figure["y"]
    if width == 1280:
        assert last["y"] + last["height"] <= foot["y"], "all five classes"
    opened.context.close()


def settled(page: "Page") -> None:
    """Wait until everything that the page is to show is there."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def r_peaks(page: "Page") -> list[tuple[float, float]]:
    """Where the picture of lead I has its beats, in pixels of the window."""
    svg = base64.b64decode((page.locator("img.lw-ecg").get_attribute("src") or "").partition(",")[2]).decode()
    path = re.search(r'<g id="lead-I">\s*<path d="([^"]+)"', svg)
    size = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    area = page.locator("img.lw-ecg").bounding_box()
    assert path is not None and size is not None and area is not None
    points = np.array([list(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", path[1])])
    points = points * area["width"] / float(size[1]) + [area["x"], area["y"]]
    high = points[points[:, 1] < (points[:, 1].min() + np.median(points[:, 1])) / 2]
    beats = np.split(high, np.flatnonzero(np.diff(high[:, 0]) > 20) + 1)
    return [tuple(beat[beat[:, 1].argmin()].tolist()) for beat in beats]


def told(page: "Page") -> tuple[str, int, float]:
    """Lead, milliseconds and millivolts that the calipers announce."""
    words = page.locator("[aria-live=polite].lw-told").inner_text().replace("−", "-")
    found = re.fullmatch(r"(\w+): (\d+) ms(?: \((\d+) per minute\))?, ([+-]?[\d.]+) mV", words)
    assert found is not None, words
    assert found[3] is None or int(found[3]) == round(60_000 / int(found[2]))
    return found[1], int(found[2]), float(found[4])


@pytest.mark.parametrize("size", ["Fit", "200 %"])
def test_calipers_from_beat_to_beat_measure_what_the_recording_holds(page: "Page", size: str) -> None:
    settled(page)
    page.get_by_text(size, exact=True).click()
    page.wait_for_function("wide => (document.querySelector('img.lw-ecg').width > 1500) === wide", arg=size != "Fit")
    settled(page)
    page.locator(".lw-paper").evaluate("paper => paper.scrollIntoView({block: 'start', behavior: 'instant'})")
    (x, y), (next_x, next_y), *_ = r_peaks(page)
    whole = simulated_examples()["MI"].record.signal_mv[:, 0]
    lead = whole[:250] - np.median(whole)
    beats = [k for k in range(20, 230) if lead[k] == lead[k - 20 : k + 21].max() and lead[k] > lead.max() / 2]
    pixel_s = 1 / (25 * page.locator("img.lw-ecg").evaluate("image => image.width") / 282)

    page.mouse.move(x, y)
    name, second, level = re.split(" s | mV|  ", page.locator(".lw-cursor").inner_text())[:3]
    assert name == "I"
    assert float(second) == pytest.approx(beats[0] / 100, abs=pixel_s)
    assert float(level) == pytest.approx(lead[beats[0]], abs=0.05)
    page.mouse.down()
    page.mouse.move(next_x, next_y, steps=3)
    page.mouse.up()
    name, ms, mv = told(page)
    assert name == "I"
    assert ms == pytest.approx((beats[1] - beats[0]) * 10, abs=1000 * pixel_s)
    assert mv == pytest.approx(lead[beats[1]] - lead[beats[0]], abs=0.05)

    page.mouse.click((x + next_x) / 2, y)
    assert page.locator(".lw-told").inner_text() == ""
    assert page.locator(".lw-box").is_hidden()
    page.get_by_role("button", name="Calipers").click()
    page.get_by_text("Fit", exact=True).click()
    page.wait_for_function("document.querySelector('img.lw-ecg').width < 1300")


def test_calipers_are_set_and_moved_by_keyboard(page: "Page") -> None:
    settled(page)
    page.locator(".lw-paper").scroll_into_view_if_needed()
    page.get_by_role("button", name="Calipers").focus()
    page.keyboard.press("Enter")
    name, first_ms, first_mv = told(page)
    sync_api.expect(page.get_by_role("slider", name="Caliper start")).to_be_focused()
    page.keyboard.press("Shift+ArrowRight")
    assert told(page) == (name, pytest.approx(first_ms - 100, abs=1), first_mv)
    page.keyboard.press("Tab")
    end = page.get_by_role("slider", name="Caliper end")
    sync_api.expect(end).to_be_focused()
    for key in ("ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert told(page) == (name, pytest.approx(first_ms - 90, abs=1), pytest.approx(first_mv + 0.1))
    assert "mV" in (end.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Escape")
    assert page.locator(".lw-told").inner_text() == ""
    sync_api.expect(page.get_by_role("button", name="Calipers")).to_be_focused()
    assert page.locator(".lw-toggle").get_attribute("aria-pressed") == "false"


def test_a_finger_moves_the_paper_until_calipers_are_asked_for(browser: "Browser", address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    phone = context.new_page()
    phone.set_default_timeout(PATIENCE_MS)
    phone.goto(address)
    phone.wait_for_selector(".lw-toggle")
    settled(phone)
    touch = context.new_cdp_session(phone)

    def swipe(from_x: float, to_x: float) -> None:
        """Over the paper."""
        phone.locator(".lw-paper").evaluate("paper => paper.scrollIntoView({block: 'start', behavior: 'instant'})")
        area = phone.locator(".lw-paper").bounding_box()
        assert area is not None
        for k in range(9):
            finger = {"x": from_x + (to_x - from_x) * k / 8, "y": area["y"] + 120}
            kind = "touchMove" if k else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [finger]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def scrolled() -> float:
        return float(phone.locator(".lw-paper").evaluate("paper => paper.scrollLeft"))

    paper = "document.querySelector('.lw-paper')"
    phone.evaluate(f"{paper}.addEventListener('scrollend', () => window.scrolled = true, {{once: true}})")
    swipe(300, 150)
    phone.wait_for_function("window.scrolled")
    before = scrolled()
    assert before > 50
    assert phone.locator(".lw-told").inner_text() == ""
    phone.get_by_role("button", name="Calipers").tap()
    swipe(120, 260)
    assert scrolled() == before
    assert told(phone)[1] == pytest.approx(140 / (25 * 640 / 282) * 1000, abs=50)
    context.close()


def downloaded(page: "Page", button: str) -> bytes:
    settled(page)
    with page.expect_download() as download:
        page.get_by_text(button, exact=True).click()
    return Path(download.value.path()).read_bytes()


def test_what_can_be_taken_along(page: "Page", package_folder: Path) -> None:
    pdf = downloaded(page, "Report, PDF")
    assert pdf.startswith(b"%PDF")
    assert b"/MediaBox [ 0 0 841.8" in pdf, "A4 across"
    png = Image.open(io.BytesIO(downloaded(page, "Report, PNG")))
    assert png.size == pytest.approx((2970, 2100), abs=1)
    answer = json.loads(downloaded(page, "Answer, JSON"))
    request = json.loads(downloaded(page, "Request, JSON"))
    (again,) = Scorer.load(package_folder).score(request["inputs"], **request["params"])
    assert again == answer
    assert "curl -s http://127.0.0.1:5001/invocations" in page.locator("code").last.inner_text()


FORMATS = ("wfdb", "hl7")
"""Several files at once, and one that names the patient; the others are read alike, which ``test_entrance`` asks."""


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_understood_and_answered(desk: "Page", ecg_files: ModuleType, tmp_path: Path, kind: str) -> None:
    microvolts = np.round(simulate_record("CD", 5).signal_mv.astype(float) * 1000)
    one = ecg_files.Ecg(microvolts, 100)
    if kind == "wfdb":
        given = ecg_files.wfdb_files(one, tmp_path / "record").items()
    else:
        given = [("walk-in.xml", ecg_files.WRITERS[kind](one))]
    upload(desk, *given)
    desk.wait_for_selector("img.lw-ecg")
    settled(desk)
    understood = desk.locator(".lw-facts").inner_text()
    assert "100 Hz" in understood
    assert ", ".join(LEADS) in understood
    assert desk.locator("img.lw-ecg").count() == 1
    if kind == "hl7":
        assert "58 years, female" in understood
        assert "Secret" not in desk.content()
    take_away(desk)
    assert desk.locator(".lw-class").count() == 0


def test_a_wrong_file_gives_a_sentence_and_no_traceback(desk: "Page") -> None:
    upload(desk, ("<img src=x onerror=document.title='pwned'>.csv", b"\0\1\2"))
    said = desk.locator(".lw-error").inner_text()
    assert "This cannot be read" in said
    assert "Traceback" not in desk.content()
    assert desk.title() == "Leadwise"
    assert desk.locator(".lw-class").count() == 0
    take_away(desk)


def test_people_at_once_get_their_own_answers(
    browser: "Browser", address: str, package_folder: Path, npz: Callable[..., bytes]
) -> None:
    names = [f"person-{number}" for number in range(PEOPLE)]
    records = [simulate_record(SUPERCLASSES[number % 5], 30 + number) for number in range(PEOPLE)]
    pages = [open_page(browser, address) for _ in names]
    for one in pages:
        one.get_by_text("My own file", exact=True).click()
    for number, (one, name, record) in enumerate(zip(pages, names, records, strict=True)):
        upload(one, (f"{name}.npz", npz(record, age=40.0 + number)))
    scorer = Scorer.load(package_folder)
    for number, (one, name, record) in enumerate(zip(pages, names, records, strict=True)):
        one.locator(".lw-class").last.wait_for()
        understood = one.locator(".lw-facts").inner_text()
        assert f"{name}.npz" in understood
        assert f"{40 + number} years" in understood
        (answer,) = scorer.score([{"signal": record.signal_mv, "fs_hz": 100.0, "age": 40.0 + number}])
        shown = one.locator(".lw-class .lw-percent").all_inner_texts()
        assert shown == [percent(answer["probabilities"][superclass]) for superclass in SUPERCLASSES]
        assert not any(other in one.content() for other in names if other != name)
    for one in pages:
        one.context.close()


def test_the_page_asks_nobody_but_its_own_server(browser: "Browser", address: str) -> None:
    """Nothing is fetched from elsewhere, nor named to be: a browser without a screen does not fetch an icon."""
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    opened.on("websocket", lambda socket: asked.append(socket.url))
    opened.goto(address)
    opened.wait_for_selector(".lw-class")
    opened.get_by_text("No recording", exact=True).click()
    settled(opened)
    # The icon is set when the page has run.
    opened.wait_for_function("!document.querySelector('link[rel~=icon]').href.endsWith('favicon.png')")
    asked += opened.evaluate("[...document.querySelectorAll('link[href], [src]')].map(e => e.href || e.src)")
    context.close()
    own = (f"{address}/", f"ws://{address.removeprefix('http://')}/", "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []


def test_no_other_site_may_show_the_page_in_a_frame_unless_it_was_named(address: str) -> None:
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.headers.get_all("content-security-policy") == ["frame-ancestors 'self'"]


def test_a_narrow_screen_scrolls_down_only(browser: "Browser", address: str) -> None:
    narrow = open_page(browser, address, width=390)
    narrow.wait_for_selector("img.lw-ecg")
    settled(narrow)
    overflow = narrow.evaluate(
        "(() => {const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth})()"
    )
    assert overflow <= 1
    foot = narrow.locator(".lw-foot").bounding_box()
    assert foot is not None
    assert foot["height"] < 40, "one line"
    assert narrow.get_by_text("swipe it sideways").is_visible()
    assert foot["y"] + foot["height"] == pytest.approx(900, abs=2)
    narrow.context.close()
