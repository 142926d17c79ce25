"""Pages and run summaries open without a network, say what was measured, and survive whatever fold 10 lacks."""

import base64
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import DISCLAIMER, SUPERCLASSES
from leadwise.datasets.store import Store
from leadwise.evaluation import write_json
from leadwise.evaluation.comparison import comparable
from leadwise.evaluation.evaluate import Evaluation, evaluate_model
from leadwise.reports.evaluation_page import write_evaluation
from leadwise.reports.overview import write_overview
from leadwise.reports.report_page import SIMULATED, number

PNG = b"\x89PNG\r\n\x1a\n"
CLOSED_BY_THEMSELVES = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Text, pictures and addresses of a page; fails where a tag is not closed, or where something is loaded or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.addresses, self.open, self.tags = "", [], [], set()
        self.feed(page)
        self.text = re.sub(r"\s+", " ", self.text)
        assert self.open == []
        assert self.tags.isdisjoint({"script", "link", "iframe", "form"})
        assert "url(" not in page
        for address in self.addresses:
            assert address.startswith(("#", "data:image/png;base64,"))
            if address.startswith("data:"):
                assert base64.b64decode(address.partition(",")[2])[:8] == PNG
        assert SIMULATED in self.text

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.text += " "
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag not in CLOSED_BY_THEMSELVES:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, store: Store, written: Path, guesser: Callable[..., Any]
) -> Path:
    """Two clinical models and a leaking one, evaluated."""
    folder = tmp_path_factory.mktemp("report") / "evaluation"
    shutil.copytree(written, folder / "clinical" / "fusion")
    metadata = evaluate_model(guesser(store, "metadata", noise=4.0), store, bootstrap=100, seed=1)
    write_evaluation(metadata, folder / "clinical" / "metadata")
    leaking = evaluate_model(guesser(store, feature_set="original", noise=4.0), store, bootstrap=100, seed=1)
    leave(leaking, folder / "original" / "fusion")
    return folder.parent


def leave(evaluation: Evaluation, folder: Path) -> None:
    """What a comparison needs of an evaluation, without its figures."""
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", evaluation.to_dict())
    write_json(folder / "decision.json", evaluation.decision.to_dict())
    evaluation.predictions.to_parquet(folder / "predictions.parquet")


@pytest.fixture(scope="module")
def overview(workspace: Path, store: Store) -> dict[str, Any]:
    return write_overview(workspace, "clinical", store, compare_with=None, bootstrap=100, seed=1)


def test_a_page_loads_nothing_and_runs_nothing(workspace: Path, overview: dict[str, Any]) -> None:
    pages = [*workspace.rglob("report.html")]
    assert len(pages) == 3
    for file in pages:
        assert Reader(file.read_text()).text.count(DISCLAIMER) == 2
        assert file.stat().st_size < 2_000_000


def test_the_page_says_what_was_measured(workspace: Path, evaluation: Evaluation) -> None:
    page = Reader((workspace / "evaluation" / "clinical" / "fusion" / "report.html").read_text())
    text = page.text
    titles = ("Overall", "The five classes", "Calibration", "Thresholds and predictive values", "Saying uncertain")
    for title in (*titles, "Secondary findings", "Subgroups", "Robustness", "What it cannot say"):
        assert title in text
    for name in ("test/binary_accuracy", "test/floor/binary_accuracy", "test/brier", "test/chosen/macro_f1"):
        assert number(evaluation.metrics[name].value) in text
    assert f"{evaluation.rows['test']} records of {evaluation.rows['test_patients']} patients" in text
    assert "evaluated by run 0123abcd" in text
    assert "20 records drawn from the fold" in text
    assert "Published" not in text
    targets = [address for address in page.addresses if address.startswith("#")]
    assert len(targets) == len(set(targets)) == 9


def test_sections_without_content_are_left_out(workspace: Path) -> None:
    text = Reader((workspace / "evaluation" / "clinical" / "metadata" / "report.html").read_text()).text
    assert "Secondary findings" not in text
    assert "Robustness" not in text
    assert "robustness.json" not in text


def test_all_models_side_by_side(workspace: Path, overview: dict[str, Any]) -> None:
    folder = workspace / "evaluation" / "clinical"
    text = Reader((folder / "report.html").read_text()).text
    assert [model["model"] for model in overview["models"]] == ["metadata", "fusion"]
    assert "clinical metadata − clinical fusion" in text
    assert "clinical fusion − original fusion" in text
    comparisons = json.loads((folder / "comparisons.json").read_text())
    assert len(comparisons["pairs"]) == 3
    leak = json.loads((folder / "leak.json").read_text())
    assert [pair["second"] for pair in leak["clinical_and_original"]] == ["original fusion"]
    assert 0.5 < leak["stadium_alone"]["auroc"] <= 1
    assert (folder / "robustness.png").is_file()


def test_a_fold_with_one_class_only_still_gets_its_pages(
    tmp_path: Path, store: Store, guesser: Callable[..., Any]
) -> None:
    records = store.records.copy()
    test = records["strat_fold"] == 10
    records.loc[test, list(SUPERCLASSES)] = False
    records.loc[test & (np.arange(len(records)) % 2 == 0), "NORM"] = True
    poor = dataclasses.replace(store, records=records)
    found = evaluate_model(guesser(poor), poor, bootstrap=100, seed=1, robustness=5)
    write_evaluation(found, tmp_path / "evaluation" / "clinical" / "fusion")
    write_overview(tmp_path, "clinical", poor, compare_with=None, bootstrap=100, seed=1)
    text = Reader((tmp_path / "evaluation" / "clinical" / "fusion" / "report.html").read_text()).text
    assert "n/a" in text
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text)
    assert "MI has 0 positives among" in text


@pytest.mark.parametrize(
    ("release", "simulated", "rows", "expected"),
    [("1.0.3", False, 2198, True), ("1.0.3", False, 300, False), ("simulated", True, 2198, False)],
)
def test_published_figures_stand_beside_all_rows_of_ptbxl_only(
    release: str, simulated: bool, rows: int, expected: bool
) -> None:
    assert comparable({"release": release, "simulated": simulated}, {"test": rows}) == expected
