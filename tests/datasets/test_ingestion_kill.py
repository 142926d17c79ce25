"""Killed at any moment the store is whole or absent, the next ingestion completes it, and nothing is left behind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from killed import KILLED, Nursery, nursery

from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import content_digest, open_store, record_hash

DATABASE = "ptbxl_database.csv"
UNCHANGED = 10
WORK = f"""
from pathlib import Path
import great_expectations.expectations
from leadwise.datasets.ingest import ingest

def work(tree, store, workers):
    done = ingest(Path(tree), Path(store), max_unreadable_share=0.0, workers=workers)
    return {UNCHANGED} if done.unchanged else 0
"""
MOMENTS = {
    "no older store": ("open:.store.lock", "open:signals.npy", "open:manifest.json"),
    "over an older store": ("os.mkdir:data_docs", "shutil.rmtree:.store.partial-", "os.rename:.store.partial-"),
}
"""Audit events of Python, up to the one in which the store would take its place."""


@pytest.fixture(scope="module")
def working() -> Iterator[Nursery]:
    with nursery(WORK) as program:
        yield program


@pytest.fixture(scope="module")
def changed_tree(simulated_tree, tmp_path_factory) -> Path:
    """Another tree than that of ``simulated_store``."""
    tree = Path(shutil.copytree(simulated_tree, tmp_path_factory.mktemp("changed") / "tree"))
    table = pd.read_csv(tree / DATABASE, dtype=str)
    table.loc[3, "age"] = "41"
    table.to_csv(tree / DATABASE, index=False)
    return tree


def digest_of(store: Path) -> str:
    """That of a store, which is whole."""
    opened = open_store(store)
    digest: str = opened.manifest["digest"]
    assert content_digest(opened.records, map(record_hash, opened.signals)) == digest
    return digest


@pytest.mark.parametrize("case", MOMENTS)
def test_killed_at_any_moment_the_store_is_whole_or_absent(
    working: Nursery, changed_tree: Path, simulated_store: Path, tmp_path: Path, case: str
) -> None:
    older = case == "over an older store"
    before, store = digest_of(simulated_store), tmp_path / "workspace" / "store"
    store.parent.mkdir()
    if older:
        shutil.copytree(simulated_store, store)
    for number, moment in enumerate(MOMENTS[case]):
        assert working.run(moment, changed_tree, store, 1 + number % 2) == [KILLED], moment
        assert digest_of(store) == before if older else not store.exists()
    if older:
        assert working.run("shutil.rmtree:.store.replaced-", changed_tree, store, 1) == [KILLED]
        assert digest_of(store) != before
    assert working.run("", changed_tree, store, 2)[0] in (0, UNCHANGED)
    assert digest_of(store) != before
    assert {path.name for path in store.parent.iterdir()} <= {"store", ".store.lock"}
    assert ingest(changed_tree, store, max_unreadable_share=0.0).unchanged


def test_two_at_once_into_one_folder_make_one_store(working: Nursery, changed_tree: Path, tmp_path: Path) -> None:
    store = tmp_path / "workspace" / "store"
    assert sorted(working.run("", changed_tree, store, 0, times=2)) == [0, UNCHANGED]
    digest_of(store)
    assert [path.name for path in store.parent.iterdir()] == ["store"]
