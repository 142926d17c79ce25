"""The store: opened whole or refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.store import StoreError, content_digest, open_store, record_columns, record_hash


@pytest.fixture
def copied_store(simulated_store, tmp_path):
    return shutil.copytree(simulated_store, tmp_path / "store")


def test_rows_of_the_splits_follow_the_folds_and_cover_everything(simulated_store):
    store = open_store(simulated_store)
    rows = {split: store.rows(split) for split in ("train", "validation", "test")}
    folds = store.records["strat_fold"].to_numpy()
    assert set(folds[rows["train"]]) == set(range(1, 9))
    assert set(folds[rows["validation"]]) == {9}
    assert set(folds[rows["test"]]) == {10}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(len(folds)))
    with pytest.raises(StoreError, match="'holdout'; allowed: train, validation, test"):
        store.rows("holdout")


def test_labels_and_patients_have_the_order_of_the_contract(simulated_store):
    store = open_store(simulated_store)
    assert store.labels().dtype == np.float32
    for number, name in enumerate(SUPERCLASSES):
        assert store.labels()[:, number].sum() == store.manifest["counts"][name]
    assert list(store.patients()) == [
        *("age", "sex", "height_cm", "weight_kg", "pacemaker"),
        *("infarction_stadium1", "infarction_stadium2"),
    ]
    assert tuple(store.records) == record_columns()


def test_the_digest_is_that_of_the_content(copied_store):
    store = open_store(copied_store)
    hashes = [record_hash(signal) for signal in store.signals]
    assert content_digest(store.records, hashes) == store.manifest["digest"]
    signals = np.load(copied_store / "signals.npy", mmap_mode="r+")
    signals[3, 500, 2] += 1
    signals.flush()
    changed = open_store(copied_store)
    assert content_digest(changed.records, map(record_hash, changed.signals)) != store.manifest["digest"]
    assert content_digest(store.records.assign(age=91.0), hashes) != store.manifest["digest"]


@pytest.mark.parametrize("name", ["signals.npy", "records.parquet", "manifest.json"])
def test_an_incomplete_or_damaged_store_is_refused(copied_store, name):
    file = copied_store / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError, match=r"ingest"):
        open_store(copied_store)
    file.unlink()
    with pytest.raises(StoreError, match=rf"{name} is missing\); run the ingest stage first"):
        open_store(copied_store)


def test_files_that_disagree_or_a_manifest_of_something_else_are_refused(copied_store):
    records = pd.read_parquet(copied_store / "records.parquet")
    records.iloc[:-1].to_parquet(copied_store / "records.parquet")
    with pytest.raises(StoreError, match="the files disagree"):
        open_store(copied_store)
    (copied_store / "manifest.json").write_text(json.dumps(["not", "ours"]))
    with pytest.raises(StoreError, match="not the manifest of a store"):
        open_store(copied_store)
