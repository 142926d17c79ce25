"""The page in a real browser: upload, figure, export, errors, a narrow screen."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import leadwise.app
from leadwise.contract import LEADS
from leadwise.data.simulator import simulate_record

pytest.importorskip("streamlit")
sync_api = pytest.importorskip("playwright.sync_api")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE = Path(leadwise.app.__file__).parent / "page.py"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READY_S = 180

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
    pytest.mark.xdist_group("page"),
]


@pytest.fixture(scope="module")
def address(page_package: Path) -> Iterator[str]:
    """A running page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"LEADWISE_APP_PACKAGE": str(page_package), "PYTHONPATH": str(PAGE.parents[2])}
    options = ["--server.headless=true", f"--server.port={port}", "--server.address=127.0.0.1"]
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE), *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + READY_S
        while time.monotonic() < ends and server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: "Browser", address: str, request: pytest.FixtureRequest) -> Iterator["Page"]:
    """A new session; the marker's parameter is the width."""
    width = getattr(request, "param", 1280)
    context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.goto(address)
    opened.wait_for_selector(".lw-classes")
    yield opened
    context.close()


def upload(page: "Page", *files: dict[str, Any]) -> None:
    page.get_by_text("My own file", exact=True).click()
    page.locator("input[type=file]").set_input_files(list(files))


def npz(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "walk-in.npz"
    signal = simulate_record("CD", 5).signal_mv
    np.savez(file, signal=signal, fs_hz=100.0, units="mV", leads=np.array(LEADS), age=66.0)
    return {"name": file.name, "mimeType": "application/zip", "buffer": file.read_bytes()}


def test_the_ecg_is_drawn_and_grows(page: "Page") -> None:
    figure = page.locator("img.lw-ecg")
    assert figure.evaluate("image => image.naturalWidth") > 0
    before = figure.bounding_box()
    page.get_by_text("200 %", exact=True).click()
    page.wait_for_function("document.querySelector('img.lw-ecg').getBoundingClientRect().width > 2000")
    after = figure.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > 1.5 * before["width"]
    assert "12-lead ECG" in (figure.get_attribute("alt") or "")


def test_an_upload_is_understood_and_answered(page: "Page", tmp_path: Path) -> None:
    upload(page, npz(tmp_path))
    page.get_by_text("walk-in.npz, read as NPZ").wait_for()
    page.get_by_text("66 years").first.wait_for()
    page.get_by_text("Answer:").wait_for()


def test_a_wrong_file_gives_a_sentence_and_no_traceback(page: "Page") -> None:
    upload(page, {"name": "scan.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 nothing"})
    page.get_by_text("This cannot be read").wait_for()
    assert "Traceback" not in page.content()
    assert page.locator(".lw-classes").count() == 0


@pytest.mark.parametrize(
    ("button", "begins"), [("Report, PDF", b"%PDF"), ("Report, PNG", b"\x89PNG"), ("Answer, JSON", b"{")]
)
def test_what_can_be_taken_along(page: "Page", button: str, begins: bytes) -> None:
    with page.expect_download() as download:
        page.get_by_text(button, exact=True).click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(begins)
    if begins == b"{":
        assert set(json.loads(content)["probabilities"]) == {"NORM", "MI", "STTC", "CD", "HYP"}


@pytest.mark.parametrize("page", [390], indirect=True)
def test_a_narrow_screen_scrolls_down_only(page: "Page") -> None:
    overflow = page.evaluate(
        "(() => {const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth})()"
    )
    assert overflow <= 1
    foot = page.locator(".lw-foot").bounding_box()
    assert foot is not None
    assert foot["height"] < 0.2 * 900
    assert foot["y"] + foot["height"] == pytest.approx(900, abs=2)
