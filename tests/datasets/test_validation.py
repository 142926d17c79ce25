"""The gate: what stops, what is listed, and the report and the pages that are left behind to read."""

import dataclasses
import json
import shutil
import subprocess
import sys
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from leadwise.datasets.base import dataset_named
from leadwise.datasets.checks.validation import (
    Validation,
    ValidationFailed,
    manifest_metrics,
    validation_metrics,
    validation_tags,
    validation_warnings,
)
from leadwise.datasets.ingest import ingest
from leadwise.datasets.reading import signal_frame
from leadwise.datasets.store import open_store
from leadwise.datasets.tables import Tables, read_tables
from leadwise.ecg.quality import quality_summary
from leadwise.reports.validation_page import OUTSIDE, draw_histogram, write_validation_page

REPORT = {"validation.json", "flagged.csv", "signals.parquet", "data_docs"}


@pytest.fixture(scope="module")
def tables(simulated_tree: Path) -> Tables:
    return read_tables(simulated_tree)


@pytest.fixture(scope="module")
def measured(simulated_store: Path) -> pd.DataFrame:
    """What reading the simulated tree gives."""
    store = open_store(simulated_store)
    rows = store.records[["ecg_id", "filename"]].assign(status="read", reason=None, same_as=np.nan)
    return rows.join(quality_summary(np.asarray(store.signals), 100))


def checked(tables: Tables, summary: pd.DataFrame) -> Validation:
    """The signals of a tree checked; its tables are known, their own checks left out as they take a while."""
    validation = Validation(tables.tree, "simulated", dataset_named("synthetic"))
    validation.measured = summary
    validation.check("signals", signal_frame(summary, tables.numbers().set_index("ecg_id")["strat_fold"]), 0.001)
    return validation


def test_importing_does_not_import_great_expectations() -> None:
    code = "import sys, leadwise.datasets.checks.validation; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_recording_in_two_splits_stops_and_is_named_and_one_in_a_single_split_is_a_warning(
    tables: Tables, measured: pd.DataFrame, tmp_path: Path
) -> None:
    fold = tables.numbers().set_index("ecg_id")["strat_fold"]
    train, test = sorted(fold[fold <= 8].index)[:2], fold[fold == 10].index[-1]
    copied = measured.assign(same_as=measured["ecg_id"].map({train[1]: train[0]}))
    validation = checked(tables, copied)
    validation.stop_if_critical(tmp_path / "failed")
    assert [one.check for one in validation.outcomes if not one.success and "duplicates" in one.check] == ["duplicates"]

    leaked = measured.assign(same_as=measured["ecg_id"].map({test: train[0]}))
    message = rf"occurs in another: 1 of .*ecg_id {test:.0f}: ecg_id {train[0]:.0f} \(train\)"
    with pytest.raises(ValidationFailed, match=message):
        checked(tables, leaked).stop_if_critical(tmp_path / "failed")


def test_one_odd_recording_is_a_warning_that_names_it(tables: Tables, measured: pd.DataFrame, tmp_path: Path) -> None:
    odd = measured.copy()
    odd.loc[7, ["flat_leads", "noise_uv", "limb_leads_uv"]] = ["V5", 99.0, 3000.0]
    validation = checked(tables, odd)
    validation.stop_if_critical(tmp_path / "failed")
    validation.write_report(tmp_path / "report")
    warnings = "\n".join(validation_warnings(tmp_path / "report"))
    ecg_id = odd.loc[7, "ecg_id"]
    assert f"No lead is flat (spans less than 0.05 mV): 1 of {len(odd)} do not (ecg_id {ecg_id}: V5)" in warnings
    assert f"ecg_id {ecg_id}: 99" in warnings
    assert f"ecg_id {ecg_id}: 3000" in warnings
    flagged = pd.read_csv(tmp_path / "report" / "flagged.csv")
    assert {"flat_leads", "noise", "limb_leads"} <= set(flagged.loc[flagged["record"] == f"ecg_id {ecg_id}", "check"])
    page = write_validation_page(tmp_path / "report", {}).read_text()
    assert "Passed, with" in page
    assert f"ecg_id {ecg_id}: V5" in page


def test_the_report_of_an_ingestion_is_whole_and_its_metrics_count_what_it_says(simulated_store: Path) -> None:
    folder, store = simulated_store / "validation", open_store(simulated_store)
    assert {path.name for path in folder.iterdir()} == REPORT
    content = json.loads((folder / "validation.json").read_text())
    assert set(content["suites"]) == {"files", "schema", "table", "labels", "folds", "signals"}
    for name in ("passed", "failed_critical", "failed_warning"):
        assert sum(suite[name] for suite in content["suites"].values()) == content["tally"][name]
    table = pd.read_parquet(folder / "signals.parquet")
    assert table["ecg_id"].tolist() == store.records["ecg_id"].tolist()
    np.testing.assert_allclose(table["largest_mv"], np.abs(np.asarray(store.signals).astype(int)).max((1, 2)) / 1000)

    metrics = validation_metrics(folder)
    assert metrics["ingest/signals/noise"] == (table["noise_uv"] > 40).sum()
    assert metrics["ingest/signals/left_out"] == 0
    assert metrics["ingest/measures/noise_uv/median"] == pytest.approx(table["noise_uv"].median())
    assert metrics["ingest/labels/NORM_share"] == pytest.approx(store.records["NORM"].mean())
    assert metrics["ingest/expectations/failed_critical"] == 0
    failed = [name for name in validation_tags(folder)["validation.failed"].split(", ") if name != "none"]
    assert len(failed) == metrics["ingest/expectations/failed_warning"] == len(validation_warnings(folder))
    assert validation_tags(folder)["validation.verdict"] == ("warnings" if failed else "clean")
    assert all(np.isfinite(value) for value in metrics.values())

    of_manifest = manifest_metrics(store.manifest)
    assert of_manifest["ingest/records/all"] == len(store.records)
    assert of_manifest["ingest/records/MI"] == store.records["MI"].sum()
    assert of_manifest["ingest/records/test"] == len(store.rows("test"))
    assert of_manifest["ingest/left_out/unreadable"] == of_manifest["ingest/inputs/not_as_listed"] == 0
    assert of_manifest["ingest/inputs/files"] >= 2 * len(store.records)


def test_a_stopped_ingestion_leaves_the_same_kind_of_report(simulated_tree: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(simulated_tree, tmp_path / "tree")
    table = pd.read_csv(tree / "ptbxl_database.csv", dtype=str)
    table.loc[4, "sex"] = "2"
    table.to_csv(tree / "ptbxl_database.csv", index=False)
    with pytest.raises(ValidationFailed) as caught:
        ingest(tree, tmp_path / "store", max_unreadable_share=0)
    folder = caught.value.report
    assert {path.name for path in folder.iterdir()} == REPORT - {"signals.parquet"}
    assert validation_metrics(folder)["ingest/table/sex_coded"] == 1
    tags = validation_tags(folder)
    assert tags["validation.verdict"] == "stopped"
    assert "table/sex_coded" in tags["validation.failed"].split(", ")
    page = write_validation_page(folder, {}).read_text()
    assert "Stopped: 1 critical check failed" in page
    assert "ecg_id 5: 2" in page
    assert "Nothing was written" in page


def test_repairs_and_records_left_out_stand_on_the_page(tables: Tables, measured: pd.DataFrame, tmp_path: Path) -> None:
    missing = measured.copy()
    missing.loc[3, ["status", "reason"]] = ["missing", "a/3.dat <does not exist>"]
    manifest = {
        "simulated": True,
        "records": 9,
        "patients": 8,
        "splits": {"train": 9},
        "counts": {"NORM": 4},
        "digest": "d1",
        "repairs": {"age_300_to_90": 293, "height_impossible_to_missing": 0},
        "unreadable": [],
        "missing_waveforms": [{"ecg_id": 4, "filename": "a/3", "reason": "a/3.dat <does not exist>"}],
    }
    checked(tables, missing).write_report(tmp_path)
    page = write_validation_page(tmp_path, manifest).read_text()
    assert "age 300, which means over 89, became 90</td><td>293<" in page
    assert "impossible height" not in page
    assert "Left out: 1 record<" in page
    assert "a/3.dat &lt;does not exist&gt;" in page
    assert "<does not exist>" not in page


@pytest.mark.real
def test_a_part_of_the_real_data_passes_and_its_middle_is_that_of_ptbxl(ptbxl_store: Path) -> None:
    metrics = validation_metrics(ptbxl_store / "validation")
    assert metrics["ingest/expectations/failed_critical"] == 0
    # Of all 21,799 records at 100 Hz, whose low pass leaves no mains hum.
    assert metrics["ingest/measures/largest_mv/median"] == pytest.approx(1.8, abs=0.2)
    assert metrics["ingest/measures/hum_uv/max"] < 1


class Links(HTMLParser):
    """What a page loads, what it links to, and whether it runs anything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.scripts = 0
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
    tables: Tables, tmp_path: Path
) -> None:
    dataset, texts = dataset_named("synthetic"), []
    changed = dataclasses.replace(tables, database=tables.database.assign(filename_lr="<b>/../x"))
    for name in ("once", "again"):
        validation = Validation(tables.tree, "simulated", dataset)
        for suite, frame in dataset.frames(changed, ()).items():
            validation.check(suite, frame)
        validation.write_report(tmp_path / name)
        texts.append(pages(tmp_path / name))
    assert texts[0] == texts[1]
    for outcome in validation.outcomes:
        page = unescape(texts[0][f"data_docs/{outcome.suite}.html"])
        assert all(text in page for text in (outcome.says, outcome.why, outcome.found))
    assert not any("<b>" in page for page in texts[0].values())
    assert sum(map(len, texts[0].values())) < 100_000
    held = [outcome.success for outcome in validation.outcomes if outcome.suite == "table"]
    assert held.count(False) >= 2
    assert f"{held.count(True)} of {len(held)} held" in texts[0]["data_docs/index.html"]


@pytest.mark.parametrize("values", [[1.0], [50.0], [0.0, 50.0, 50.1], [0.0] * 9, [2.0, 1e9]])
def test_a_histogram_holds_every_value_and_is_red_beyond_the_limit_only(values: list[float]) -> None:
    axes = Figure().subplots()
    draw_histogram(axes, np.array(values), [50.0])
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_height() > 0]
    red = sum(bar.get_height() for bar in bars if to_hex(bar.get_facecolor()).upper() == OUTSIDE)
    assert sum(bar.get_height() for bar in bars) == len(values)
    assert red == sum(value > 50 for value in values)
