"""The pages: readable offline, in any browser, on any machine, and the same for the same data."""

import dataclasses
import json
import re
import shutil
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leadwise.datasets.checks.data_docs import write_data_docs
from leadwise.datasets.checks.expectations import read_suite, suite_values
from leadwise.datasets.checks.validation import run_suite
from leadwise.datasets.store import open_store
from leadwise.reports.validation_page import OUTSIDE, draw_histogram, write_validation_page


class Links(HTMLParser):
    """What a page loads, what it links to, and whether it runs anything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.scripts = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("link", "img", "script", "iframe", "object", "image", "use"):
            self.loaded.append(str(values.get("href") or values.get("src") or values.get("data")))
        if tag == "a":
            self.linked.append(str(values.get("href")))
        self.scripts += tag == "script" or any(name.startswith("on") for name in values)


def pages(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*.html"))}


def test_pages_load_nothing_run_nothing_and_link_to_each_other_only(
    simulated_store: Path, simulated_tree: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(simulated_store / "validation", tmp_path / "validation")
    outcomes = json.loads((folder / "validation.json").read_text())["outcomes"]
    page = write_validation_page(folder, open_store(simulated_store).manifest).read_text()
    assert all(escape(outcome["says"], quote=False) in page for outcome in outcomes)
    found = pages(folder)
    assert {"summary.html", "data_docs/index.html", "data_docs/signals.html", "data_docs/table.html"} <= set(found)
    for name, text in found.items():
        links = Links(text)
        assert [one for one in links.loaded if not one.startswith("data:")] == [], name
        assert links.scripts == 0, name
        assert "://" not in text, name
        assert "url(" not in text, name
        for link in (one for one in links.linked if not one.startswith("#")):
            assert ((folder / name).parent / link).is_file(), (name, link)
        for path in (simulated_store, simulated_tree.parent, Path.home()):
            assert str(path) not in text, name
    assert sum(map(len, found.values())) < 2_000_000


def test_every_expectation_stands_in_the_data_docs(simulated_store: Path) -> None:
    text = (simulated_store / "validation" / "data_docs" / "signals.html").read_text()
    suite = read_suite("signals", suite_values("simulated", {}, 0.0))
    for check in suite.checks.values():
        assert check.says.replace("&", "&amp;") in text
        assert check.why in text
    assert "__none__" not in text


def results(rows: int) -> dict[str, object]:
    frame = pd.DataFrame(
        {
            "record": [f"ecg_id {number}" for number in range(rows)],
            "not_as_listed": pd.Series(["<b>another</b>" if row % 2 else None for row in range(rows)], dtype=object),
            "written_otherwise": pd.Series([None] * rows, dtype=object),
        }
    )
    suite = read_suite("files", suite_values("1.0.3", {}, 0.1))
    return {"files": (suite, run_suite(suite, frame)[1])}


def test_the_same_data_give_the_same_pages(tmp_path: Path) -> None:
    for name in ("once", "again"):
        write_data_docs(results(50), tmp_path / name, "1.0.3")
    assert pages(tmp_path / "once") == pages(tmp_path / "again")


def test_text_of_the_data_is_no_markup_and_many_failures_stay_small(tmp_path: Path) -> None:
    write_data_docs(results(20_000), tmp_path, "1.0.3")
    text = (tmp_path / "files.html").read_text()
    assert "<b>another" not in text
    assert "10000 unexpected values" in text.replace(",", "")
    assert len(text) < 100_000


def test_a_share_is_one_of_all_rows(tmp_path: Path) -> None:
    heights = pd.Series([6.0, 170.0, *[None] * 8])
    frame = pd.DataFrame({"record": [f"ecg_id {row}" for row in range(10)], "height": heights})
    suite = read_suite("table", suite_values("1.0.3", {}, 0.1))
    suite = dataclasses.replace(suite, checks={"height_range": suite.checks["height_range"]})
    write_data_docs({"table": (suite, run_suite(suite, frame)[1])}, tmp_path, "1.0.3")
    text = re.sub("<[^>]*>", "", (tmp_path / "table.html").read_text())
    assert re.search(r"1 unexpected values? found\. +10% of 10 total rows", text)


def test_a_failed_suite_is_marked_in_the_index(tmp_path: Path) -> None:
    write_data_docs(results(3), tmp_path, "1.0.3")
    index = (tmp_path / "index.html").read_text()
    assert "class='n warning'>1 of 2 held" in index


@pytest.mark.parametrize("values", [[1.0], [50.0], [0.0, 50.0, 50.1], [0.0] * 9, [2.0, 1e9]])
def test_a_histogram_holds_every_value_and_is_red_beyond_the_limit_only(values: list[float]) -> None:
    axes = Figure().subplots()
    draw_histogram(axes, np.array(values), [50.0])
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_height() > 0]
    red = sum(bar.get_height() for bar in bars if to_hex(bar.get_facecolor()).upper() == OUTSIDE)
    assert sum(bar.get_height() for bar in bars) == len(values)
    assert red == sum(value > 50 for value in values)
