"""Privileged targets: what was written about the training records, kept apart from what a model may see."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadwise.datasets.privileged import privileged_targets
from leadwise.datasets.store import PRIVILEGED_COLUMNS, Store, StoreError, open_store, privileged_digest


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def column(store: Store, rows: np.ndarray, name: str) -> np.ndarray:
    targets = privileged_targets(store, rows)
    return targets.values[:, targets.names.index(name)]


def test_the_store_keeps_the_report_and_the_axis_apart(store: Store, simulated_tree: Path) -> None:
    table = store.privileged()
    assert tuple(table) == PRIVILEGED_COLUMNS
    assert not set(PRIVILEGED_COLUMNS) & set(store.records)
    raw = pd.read_csv(simulated_tree / "ptbxl_database.csv", dtype=str).set_index("ecg_id")
    read = raw.loc[store.records["ecg_id"].astype(str)]
    assert table["report"].tolist() == read["report"].tolist()
    assert table["heart_axis"].fillna("").tolist() == read["heart_axis"].fillna("").tolist()


def test_every_target_is_what_the_table_says(store: Store) -> None:
    rows = store.rows("train")
    targets = privileged_targets(store, rows)
    assert targets.values.shape == (len(rows), len(targets.names))
    assert targets.values.dtype == np.float32
    assert targets.values.min() == 0
    assert targets.values.max() == 1
    written, records = store.privileged().iloc[rows], store.records.iloc[rows]
    axis = written["heart_axis"].dropna().iloc[0]
    np.testing.assert_array_equal(column(store, rows, f"axis/{axis}"), written["heart_axis"] == axis)
    np.testing.assert_array_equal(
        column(store, rows, "stage1/Stadium II"), records["infarction_stadium1"] == "Stadium II"
    )
    percent = np.array([codes.get("NORM", -1) for codes in map(json.loads, records["scp_codes"])])
    expected = np.where(percent < 0, 0, np.where(percent == 0, 1, percent / 100))
    np.testing.assert_allclose(column(store, rows, "likelihood/NORM"), expected, atol=1e-6)


def test_words_are_neither_rare_nor_in_most_reports(store: Store) -> None:
    rows = store.rows("train")
    targets = privileged_targets(store, rows)
    words = [place for place, name in enumerate(targets.names) if name.startswith("word/")]
    share = targets.values[:, words].mean(axis=0)
    assert len(words) > 5
    assert 0.01 <= share.min() <= share.max() <= 0.6
    word = targets.names[words[0]].removeprefix("word/")
    said = store.privileged()["report"].iloc[rows].str.contains(rf"\b{word}\b", regex=True)
    np.testing.assert_array_equal(targets.values[:, words[0]], said)


def test_reports_without_words_give_no_words(simulated_store: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(simulated_store, tmp_path / "store")
    store = open_store(folder)
    empty = store.privileged().assign(report=None)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"privileged_digest": privileged_digest(empty)}
    empty.to_parquet(folder / "privileged.parquet", index=False)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    targets = privileged_targets(open_store(folder), store.rows("train"))
    assert not [name for name in targets.names if name.startswith("word/")]
    assert len(targets.names) > 71


def test_a_changed_or_absent_table_is_refused(simulated_store: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(simulated_store, tmp_path / "store")
    store = open_store(folder)
    store.privileged().iloc[::-1].to_parquet(folder / "privileged.parquet", index=False)
    with pytest.raises(StoreError, match=r"privileged.parquet: not what manifest.json says; run the ingest stage"):
        store.privileged()
    (folder / "privileged.parquet").unlink()
    with pytest.raises(StoreError, match=r"privileged.parquet: cannot be read"):
        store.privileged()
