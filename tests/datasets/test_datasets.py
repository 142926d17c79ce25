"""What every registered dataset has to be, and a dataset that is registered from outside."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from leadwise.contract import LEADS, SUPERCLASSES, StoredRate
from leadwise.datasets.base import DATASETS, Cleaned, Dataset, DatasetTables, dataset_in, dataset_named, datasets
from leadwise.datasets.cohort import CohortError
from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import SPLIT_FOLDS, open_store, record_columns
from leadwise.datasets.synthetic import simulate_record


@dataclass(frozen=True)
class WardTables(DatasetTables):
    """The one table of this test's dataset."""

    table: pd.DataFrame

    @property
    def filenames(self) -> pd.Series:
        return "traces/" + self.table["trace"]


def microvolts(seed: int) -> np.ndarray:
    """An ECG ``(time, lead)``."""
    return np.round(simulate_record("NORM", seed).signal_mv * 1000).astype(np.int64)


class Ward(Dataset[WardTables]):
    """A dataset with other columns, other words for its labels, and three parts in place of folds."""

    name = "ward"
    title = "the ward's ECGs"
    citation = "none"
    licence = "none"
    model_name = "leadwise-ward"

    def is_in(self, tree: Path) -> bool:
        return (tree / "ward.csv").is_file()

    def read_tables(self, tree: Path, rate: StoredRate) -> WardTables:
        content = (tree / "ward.csv").read_bytes()
        table = pd.read_csv(tree / "ward.csv")
        return WardTables(tree, rate, {"ward.csv": hashlib.sha256(content).hexdigest()}, table)

    def clean(self, tables: WardTables) -> Cleaned:
        table = tables.table
        records = pd.DataFrame({name: [None] * len(table) for name in record_columns()})
        records["ecg_id"], records["patient_id"] = table["number"], table["bed"]
        records["strat_fold"] = table["part"].map({"learn": 1, "choose": 9, "judge": 10})
        records["age"], records["sex"] = table["years"].astype(float), (table["gender"] == "w").astype(float)
        for name in ("height_cm", "weight_kg", "site"):
            records[name] = np.nan
        records["pacemaker"] = 0
        for name in SUPERCLASSES:
            records[name] = table["finding"] == {"NORM": "healthy", "MI": "infarct"}.get(name)
        records["scp_codes"], records["filename"] = "{}", tables.filenames
        order = records["ecg_id"].sort_values().index
        nothing = pd.DataFrame({"age_in_months": [False] * len(table)})
        return Cleaned(*(rows.loc[order].reset_index(drop=True) for rows in (records, nothing)))


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of six of its records, and the dataset registered for one test."""
    datasets()
    monkeypatch.setitem(DATASETS, "ward", Ward())
    tree = tmp_path / "ward"
    (tree / "traces").mkdir(parents=True)
    rows = []
    for number, (part, finding) in enumerate(
        [("judge", "healthy"), ("learn", "infarct"), ("learn", "healthy"), ("choose", "infarct"), ("learn", "other")]
    ):
        signal = microvolts(number)
        wfdb.wrsamp(
            f"t{number}", fs=100, units=["mV"] * 12, sig_name=list(LEADS), d_signal=signal, fmt=["16"] * 12,
            adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(tree / "traces"),
        )  # fmt: skip
        rows.append((50 - number, number, part, finding, 40 + number, "mw"[number % 2], f"t{number}"))
    columns = ["number", "bed", "part", "finding", "years", "gender", "trace"]
    pd.DataFrame(rows, columns=columns).to_csv(tree / "ward.csv", index=False)
    return tree


def test_a_tree_is_recognised_by_one_dataset_and_read_to_the_columns_of_the_store(simulated_tree: Path) -> None:
    assert [one.name for one in datasets().values() if one.is_in(simulated_tree)] == ["synthetic"]
    one = dataset_in(simulated_tree)
    tables = one.read_tables(simulated_tree, 100)
    cleaned = one.clean(tables)
    assert tuple(cleaned.records) == record_columns()
    assert len(cleaned.records) == len(cleaned.repairs) == one.counts(tables)["rows"]
    assert cleaned.records["ecg_id"].is_monotonic_increasing
    assert set(cleaned.records["strat_fold"]) <= {fold for folds in SPLIT_FOLDS.values() for fold in folds}
    assert set(one.frames(tables, ())) == {"files", "schema", "table", "labels", "folds"}


@pytest.mark.real
def test_the_real_tree_is_recognised(ptbxl_tree: Path) -> None:
    assert [one.name for one in datasets().values() if one.is_in(ptbxl_tree)] == ["ptbxl"]


@pytest.mark.parametrize("asked", ["", "ward"])
def test_a_dataset_registered_from_outside_is_ingested(ward: Path, tmp_path: Path, asked: str) -> None:
    done = ingest(ward, tmp_path / "store", max_unreadable_share=0.0, dataset=asked)
    assert (done.manifest["dataset"], done.manifest["simulated"], done.manifest["release"]) == (
        "ward",
        False,
        "unknown",
    )
    store = open_store(tmp_path / "store")
    assert store.records["ecg_id"].tolist() == [46, 47, 48, 49, 50]
    assert {split: store.records["ecg_id"][store.rows(split)].tolist() for split in SPLIT_FOLDS} == {
        "train": [46, 48, 49],
        "validation": [47],
        "test": [50],
    }
    np.testing.assert_array_equal(store.labels()[:, :2], [[0, 0], [0, 1], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(store.signals[4], microvolts(0))
    assert ingest(ward, tmp_path / "store", max_unreadable_share=0.0).unchanged
    assert (tmp_path / "store" / "validation" / "data_docs" / "signals.html").is_file()


@pytest.mark.parametrize("name", datasets())
def test_a_dataset_and_its_store_say_what_they_are(name: str, simulated_tree: Path, tmp_path: Path) -> None:
    """Checked with `mlcroissant validate` when it was written; here, that it says all and that the hashes are right."""
    manifest = ingest(simulated_tree, tmp_path / "store", max_unreadable_share=0.0, dataset=name).manifest
    found = json.loads((tmp_path / "store" / "croissant.json").read_text(encoding="utf-8"))
    one = dataset_named(name)
    assert [other.name for other in datasets().values() if other.model_name == one.model_name] == [name]
    assert one.about_patients == (name != "synthetic")
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert (found["name"], found["license"], found["citeAs"]) == (one.title, one.licence, one.citation)
    assert (found["version"], found["identifier"]) == (manifest["release"], f"sha256:{manifest['digest']}")
    assert found.get("url", "").removeprefix("https://doi.org/") in one.citation
    assert len(found.get("creator", [])) == (5 if name == "ptbxl" else 0)
    assert {file["@id"] for file in found["distribution"]} == {"signals.npy", "records.parquet", "manifest.json"}
    for file in found["distribution"]:
        content = (tmp_path / "store" / file["contentUrl"]).read_bytes()
        assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(content).hexdigest(), f"{len(content)} B")
    (records,) = found["recordSet"]
    kinds = {field["source"]["extract"]["column"]: field["dataType"] for field in records["field"]}
    assert tuple(kinds) == record_columns()
    assert [kinds[column] for column in ("ecg_id", "age", "MI", "scp_codes")] == [
        "sc:Integer", "sc:Float", "sc:Boolean", "sc:Text",
    ]  # fmt: skip


def test_a_name_that_no_dataset_has_is_refused_with_those_there_are(ward: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"dataset: received 'wards'; allowed: ptbxl, synthetic, ward"):
        ingest(ward, tmp_path / "store", max_unreadable_share=0.0, dataset="wards")
