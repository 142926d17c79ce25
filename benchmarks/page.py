"""How long a person waits: from the upload of a recording until its answer, and the whole page, is there.

Chromium uploads simulated recordings to a page that Leadwise serves, one after another; the first ones warm it up.
Beside it, in turn: the same recordings read, scored and drawn in this process, without a page.

    python benchmarks/page.py                           # the model that ships; half a minute
    python benchmarks/page.py --model models:/leadwise@champion --uploads 50
"""

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from free_port import free_port
from playwright.sync_api import Page, expect, sync_playwright

from leadwise.app.figure import drawn_ecg
from leadwise.app.inputs import case_of_file
from leadwise.app.model_source import ModelSource, local_model
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.formats import read_ecg

WARM_UP = 3
READY_S = 60
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"


def recordings(count: int) -> list[bytes]:
    """Ten seconds each, as NPZ files that leave no question open."""
    files = []
    for number in range(count):
        record = simulate_record(SUPERCLASSES[number % len(SUPERCLASSES)], number)
        stream = io.BytesIO()
        np.savez(stream, signal=record.signal_mv, fs_hz=record.fs_hz, units="mV", leads=np.array(LEADS))
        files.append(stream.getvalue())
    return files


@contextmanager
def served(model: str) -> Iterator[str]:
    """The address of a page, started as a user starts it."""
    port = free_port()
    command = [sys.executable, "-m", "leadwise.cli", "app", "--model", model, "--port", str(port)]
    environment = os.environ | {"STREAMLIT_SERVER_HEADLESS": "true"}
    server = subprocess.Popen([*command, "--address", "127.0.0.1"], env=environment, stdout=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + READY_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5)
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > ends:
                    raise SystemExit("the page did not start") from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def by_page(page: Page, name: str, content: bytes) -> tuple[float, float]:
    """Seconds until the answer is shown, and until all of the page is; then the recording is taken away again."""
    started = time.perf_counter()
    page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": content}]
    )
    page.wait_for_selector(".lw-class")
    answered = time.perf_counter() - started
    page.wait_for_selector(SETTLED)
    whole = time.perf_counter() - started
    crosses = page.locator("button[aria-label^='Remove ']")
    crosses.first.click()
    expect(crosses).to_have_count(0)
    page.get_by_text("Drag a file into the field above").wait_for()
    page.wait_for_selector(SETTLED)
    return answered, whole


def without_page(model: ModelSource, name: str, content: bytes) -> float:
    """Seconds to read, score and draw a recording."""
    started = time.perf_counter()
    case = case_of_file(read_ecg(content, name=name))
    model.ask(case.row(case.facts), None)
    assert case.record is not None
    drawn_ecg(case.record, name)
    return time.perf_counter() - started


def told(name: str, seconds: Sequence[float], reference: float) -> str:
    """One line of the table."""
    middle, slow = statistics.median(seconds), float(np.quantile(seconds, 0.95))
    return f"| {name} | {middle * 1000:.0f} ms | {slow * 1000:.0f} ms | {middle / reference:.1f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pretrained", help="models:/NAME@ALIAS, pretrained, or a package folder")
    parser.add_argument("--uploads", type=int, default=20)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    model, files = local_model(options.model), recordings(WARM_UP + options.uploads)
    answered, whole, bare = [], [], []
    with served(options.model) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.get_by_text("My own file", exact=True).click()
        page.wait_for_selector("input[type=file]", state="attached")
        for number, content in enumerate(files):
            times = by_page(page, f"recording-{number}.npz", content), without_page(model, f"{number}.npz", content)
            if number >= WARM_UP:
                (first, last), alone = times
                answered.append(first)
                whole.append(last)
                bare.append(alone)
        browser.close()
    reference = statistics.median(bare)
    print(f"{options.uploads} recordings of 10 s, one after another\n")
    print("| from the upload until | median | 95 % within | times the work alone |\n|---|--:|--:|--:|")
    print(told("the answer is shown", answered, reference))
    print(told("the whole page is", whole, reference))
    print(told("read, scored and drawn without a page", bare, reference))


if __name__ == "__main__":
    main()
