"""The pages: readable offline, in any browser, on any machine, and the same for the same data."""

import dataclasses
import json
import shutil
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leadwise.datasets.base import dataset_named
from leadwise.datasets.checks.validation import Validation
from leadwise.datasets.store import open_store
from leadwise.datasets.tables import read_tables
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


def test_every_expectation_stands_in_the_data_docs_and_text_of_the_data_is_no_markup(
    simulated_tree: Path, tmp_path: Path
) -> None:
    tables = read_tables(simulated_tree)
    database = tables.database.assign(filename_lr="<b>/../x")
    texts = []
    for name in ("once", "again"):
        validation = Validation(tables.tree, "simulated", dataset_named("synthetic"))
        validation.check_tables(dataclasses.replace(tables, database=database), [])
        validation.write_report(tmp_path / name)
        texts.append(pages(tmp_path / name))
    assert texts[0] == texts[1]
    for outcome in validation.outcomes:
        page = texts[0][f"data_docs/{outcome.suite}.html"]
        assert all(escape(text) in page for text in (outcome.says, outcome.why, outcome.found))
    assert not any("<b>" in page for page in texts[0].values())
    assert sum(map(len, texts[0].values())) < 100_000
    failed = sum(not outcome.success for outcome in validation.outcomes if outcome.suite == "table")
    assert failed >= 2
    table = [outcome for outcome in validation.outcomes if outcome.suite == "table"]
    assert f"{len(table) - failed} of {len(table)} held" in texts[0]["data_docs/index.html"]


@pytest.mark.parametrize("values", [[1.0], [50.0], [0.0, 50.0, 50.1], [0.0] * 9, [2.0, 1e9]])
def test_a_histogram_holds_every_value_and_is_red_beyond_the_limit_only(values: list[float]) -> None:
    axes = Figure().subplots()
    draw_histogram(axes, np.array(values), [50.0])
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_height() > 0]
    red = sum(bar.get_height() for bar in bars if to_hex(bar.get_facecolor()).upper() == OUTSIDE)
    assert sum(bar.get_height() for bar in bars) == len(values)
    assert red == sum(value > 50 for value in values)
