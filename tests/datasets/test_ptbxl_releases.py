"""What is known of both releases of the real PTB-XL."""

import shutil

import pandas as pd
import pytest

from leadwise.datasets.ingest import ingest
from leadwise.datasets.ptbxl import WITHDRAWN, PtbXl
from leadwise.datasets.store import SPLIT_FOLDS
from leadwise.datasets.tables import clean, read_tables

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ptbxl")]

COUNTS = {
    "1.0.1": {"rows": 21837, "patients": 18885, "NORM": 9528, "MI": 5486, "STTC": 5250, "CD": 4907, "HYP": 2655}
    | {"unlabelled": 407},
    "1.0.3": {"rows": 21799, "patients": 18869, "NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
    | {"unlabelled": 411},
}


@pytest.mark.parametrize("release", ["1.0.1", "1.0.3"])
def test_the_counts_of_the_labels_match_the_release(ptbxl_tables, release):
    tables = read_tables(ptbxl_tables(release))
    counts = PtbXl().counts(tables)
    assert counts == COUNTS[release]
    assert PtbXl().release(tables, counts) == release


def test_the_folds_match_and_the_test_fold_holds_the_known_positives(ptbxl_tables):
    cleaned = clean(read_tables(ptbxl_tables("1.0.3")))
    records = cleaned.records
    sizes = {split: records["strat_fold"].isin(folds).sum() for split, folds in SPLIT_FOLDS.items()}
    assert sizes == {"train": 17418, "validation": 2183, "test": 2198}
    classes = ["NORM", "MI", "STTC", "CD", "HYP"]
    test_fold = records[records["strat_fold"] == 10]
    assert test_fold[classes].sum().tolist() == [963, 550, 521, 496, 262]
    assert test_fold["patient_id"].nunique() == 1904
    labelled = records[records[classes].any(axis=1)]
    assert [labelled["strat_fold"].isin(folds).sum() for folds in SPLIT_FOLDS.values()] == [17084, 2146, 2158]
    assert cleaned.repairs["age_300_to_90"].sum() == 293
    assert records["age"].max() == 90


def test_the_records_that_were_withdrawn_are_the_ones_that_release_1_0_3_lacks(ptbxl_tables):
    old, new = (read_tables(ptbxl_tables(release)).database for release in ("1.0.1", "1.0.3"))
    assert set(old["ecg_id"].astype(int)) - set(new["ecg_id"].astype(int)) == WITHDRAWN


def test_real_records_are_ingested_and_absent_withdrawn_ones_are_listed(ptbxl_tree, ptbxl_tables, tmp_path):
    tree = shutil.copytree(ptbxl_tree, tmp_path / "tree")
    table = pd.read_csv(tree / "ptbxl_database.csv", dtype=str)
    old = pd.read_csv(ptbxl_tables("1.0.1") / "ptbxl_database.csv", dtype=str)
    withdrawn = old[old["ecg_id"].isin(map(str, WITHDRAWN)) & ~old["patient_id"].isin(table["patient_id"])]
    pd.concat([table, withdrawn]).to_csv(tree / "ptbxl_database.csv", index=False)
    manifest = ingest(tree, tmp_path / "store", max_unreadable_share=0.0).manifest
    assert manifest["records"] == len(table)
    assert {row["ecg_id"] for row in manifest["missing_waveforms"]} == set(withdrawn["ecg_id"].astype(int))
    assert manifest["unreadable"] == []
    assert manifest["simulated"] is False
    assert manifest["table_counts"]["rows"] == len(table) + len(withdrawn)


def test_release_1_0_2_is_known_by_its_rows(ptbxl_tables, tmp_path):
    shutil.copytree(ptbxl_tables("1.0.3"), tmp_path / "tree")
    old = pd.read_csv(ptbxl_tables("1.0.1") / "ptbxl_database.csv", dtype=str)
    withdrawn = old[old["ecg_id"].isin(map(str, WITHDRAWN))]
    # Release 1.0.2 dropped 36 of the 38; which two it kept is not known here.
    old.drop(withdrawn.index[:36]).to_csv(tmp_path / "tree" / "ptbxl_database.csv", index=False)
    tables = read_tables(tmp_path / "tree")
    assert PtbXl().release(tables, PtbXl().counts(tables)) == "1.0.2"
