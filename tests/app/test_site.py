"""The static site: its figures are those of their sources, and in a browser the page answers inside its frame."""

import functools
import http.server
import importlib.util
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from free_port import free_port
from page_server import CHROMIUM, NEEDS_CHROMIUM, page_served

from leadwise.config import PROJECT_ROOT
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES
from leadwise.registry.load import BUNDLED

pytest.importorskip("streamlit")
pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leadwise_site", PROJECT_ROOT / "scripts" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_figures_are_those_of_card_package_and_results(site: ModuleType) -> None:
    text = site.site("https://page.example")
    card = (BUNDLED / "MODEL_CARD.md").read_text(encoding="utf-8")
    tested = json.loads((BUNDLED / "model.json").read_text(encoding="utf-8"))["test_records"]
    (auroc,) = re.findall(r"^\| macro AUROC \| (.*?) \|", card, flags=re.MULTILINE)
    per_class = re.findall(r"^\| (NORM|MI|STTC|CD|HYP): .*? \| [\d,]+ \| (.*?) \|", card, flags=re.MULTILINE)
    assert len(per_class) == 5
    for figure in (auroc, f"{tested:,}", "21,799", "18,869", "9,514", *(area for _, area in per_class)):
        assert figure in text, figure
    results = (PROJECT_ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| clinical \| `(\w+)` \| (.*?) \|", results, flags=re.MULTILINE)[:3]:
        assert row[1] in text, row
    assert all(name in text for name in (*SUPERCLASS_NAMES.values(), DISCLAIMER))


def test_it_needs_nothing_else_and_is_light(site: ModuleType) -> None:
    text = site.site("https://page.example")
    assert len(text.encode()) < 30_000
    assert "<script" not in text
    loaded = re.findall(r"(?:src|srcset|poster)=\"([^\"]+)\"|<link[^>]+href=\"([^\"]+)\"|url\(([^)]+)\)", text)
    assert [next(filter(None, found)) for found in loaded] == ["https://page.example/?embed=true"]
    assert "<iframe" not in site.site()


@pytest.mark.parametrize("page", ["ftp://a", "https://a.example/path", 'https://a"onload='])
def test_an_address_that_is_none_is_refused(site: ModuleType, page: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="site: error: page: received"):
        site.main(["--page", page, "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_a_figure_is_named(site: ModuleType) -> None:
    with pytest.raises(site.LeadwiseError, match="no row of fusion_augmented"):
        site.model_cards("<!-- ptbxl: written by scripts/readme.py -->\n| features | model |\n|---|---|\n"
                         "| clinical | `fusion` |\n| clinical | `metadata` |\n")  # fmt: skip


@pytest.fixture(scope="module")
def origins(
    site: ModuleType, package_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The site at the origin that the page names, and the same site at one that it does not name."""
    page_port, folder = free_port(), tmp_path_factory.mktemp("site")
    site.main(["--page", f"http://127.0.0.1:{page_port}", "--out", str(folder)])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    named, other = (f"http://localhost:{server.server_port}" for server in servers)
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT_ROOT / "deploy" / "page" / "streamlit_app.py")]
    command += [f"--server.port={page_port}", "--server.address=127.0.0.1", "--server.headless=true"]
    environment = {"LEADWISE_APP_EMBED_FROM": named, "LEADWISE_APP_MODEL": str(package_folder), "PYTHONPATH": ""}
    with page_served(command, page_port, environment, tmp_path_factory.mktemp("elsewhere")):
        yield named, other
    for server in servers:
        server.shutdown()
        server.server_close()


@NEEDS_CHROMIUM
def test_the_page_answers_in_the_frame_of_the_named_origin_and_of_no_other(origins: tuple[str, str]) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    named, other = origins
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        opened = browser.new_page(viewport={"width": 390, "height": 844})
        opened.set_default_timeout(60_000)
        opened.goto(named)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390, "scrolls down only"
        frame = opened.frame_locator("iframe")
        frame.locator(".lw-class").last.wait_for()
        before = frame.locator(".lw-true").inner_text()
        frame.get_by_text("hypertrophy", exact=True).first.click()
        frame.get_by_text("Simulated with: hypertrophy").wait_for()
        assert before != "Simulated with: hypertrophy"
        assert frame.get_by_role("heading", name="Answer:").count() == 1
        assert len(frame.locator(".lw-class .lw-percent").all_inner_texts()) == 5

        stranger = browser.new_page()
        with stranger.expect_console_message(lambda message: "frame-ancestors" in message.text, timeout=30_000):
            stranger.goto(other)
        assert stranger.frame_locator("iframe").locator(".lw-class").count() == 0
        browser.close()
