"""From a tree to the store: what is right arrives unchanged, what is wrong is caught and named."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadwise.contract import LeadwiseError
from leadwise.datasets.base import dataset_named
from leadwise.datasets.checks.validation import ValidationFailed
from leadwise.datasets.ingest import IngestionError, fingerprint, ingest
from leadwise.datasets.store import StoreError, content_digest, open_store, record_hash
from leadwise.datasets.synthetic import write_simulated_tree
from leadwise.datasets.tables import read_tables
from leadwise.datasets.waveforms import read_record
from leadwise.reports.validation_page import write_validation_page

DATABASE = "ptbxl_database.csv"


@pytest.fixture
def tree(simulated_tree, tmp_path) -> Path:
    """A tree that may be damaged."""
    return shutil.copytree(simulated_tree, tmp_path / "tree")


def edit(tree: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Change the table, every column as text."""
    table = pd.read_csv(tree / DATABASE, dtype=str)
    changed = change(table)
    (table if changed is None else changed).to_csv(tree / DATABASE, index=False)


def setter(row: int, column: str, value: str | None) -> Callable[[pd.DataFrame], None]:
    def change(table: pd.DataFrame) -> None:
        table.loc[row, column] = value

    return change


def test_signals_and_records_are_those_of_the_tree(simulated_tree, simulated_store):
    store = open_store(simulated_store)
    table = pd.read_csv(simulated_tree / DATABASE)
    assert store.manifest["records"] == len(table)
    assert store.manifest["simulated"] is True
    assert store.manifest["release"] == "simulated"
    np.testing.assert_array_equal(store.records["ecg_id"], sorted(table["ecg_id"]))
    for row in (0, 1, len(table) - 1):
        np.testing.assert_array_equal(
            store.signals[row], read_record(simulated_tree / store.records.loc[row, "filename"])
        )
    original = table.set_index("ecg_id").loc[store.records["ecg_id"]]
    np.testing.assert_array_equal(store.records["sex"], original["sex"])
    np.testing.assert_array_equal(store.records["strat_fold"], original["strat_fold"])
    assert content_digest(store.records, map(record_hash, store.signals)) == store.manifest["digest"]


def test_a_second_ingestion_returns_at_once_and_the_same_input_gives_the_same_digest(
    simulated_tree, simulated_store, tree, tmp_path
):
    before = (simulated_store / "manifest.json").read_bytes()
    again = ingest(simulated_tree, simulated_store, max_unreadable_share=0.0)
    assert again.unchanged
    assert (simulated_store / "manifest.json").read_bytes() == before
    edit(tree, lambda table: table.sample(frac=1, random_state=0))
    elsewhere = ingest(tree, tmp_path / "elsewhere" / "store", max_unreadable_share=0.5)
    assert not elsewhere.unchanged
    assert elsewhere.manifest["digest"] == again.manifest["digest"]


TABLE_DAMAGE = {
    "duplicated row": (
        lambda table: pd.concat([table, table.iloc[[4]]]),
        r"No ecg_id occurs twice: 2 of .* do not \(ecg_id 5",
    ),
    "unknown statement": (
        setter(6, "scp_codes", "{'NORM': 100.0, 'WAT': 0.0}"),
        r"SCP statements are known: 1 of .* \(ecg_id 7: WAT\)",
    ),
    "unsafe statement": (
        setter(7, "scp_codes", "__import__('os').getcwd()"),
        r"SCP statements can be read: 1 of .*ecg_id 8",
    ),
    "text in a number column": (
        setter(8, "height", "one meter eighty"),
        r"Number columns hold numbers.*: 2 of .*ecg_id 9: height: one meter eighty",
    ),
    "half a fold": (setter(9, "strat_fold", "3.5"), r"Number columns.*: 2 of .*ecg_id 10: strat_fold: 3.5"),
    "fold 11": (setter(10, "strat_fold", "11"), r"Folds are 1 to 10: 1 of .*ecg_id 11: 11"),
    "no fold": (setter(11, "strat_fold", None), r"Every record has a fold: 1 of .*ecg_id 12"),
    "path out of the tree": (
        setter(12, "filename_lr", "../../etc/passwd"),
        r"Every waveform lies inside the tree: 2 of .*ecg_id 13: ../../etc/passwd",
    ),
    "absolute path": (setter(13, "filename_lr", "/etc/passwd"), r"inside the tree: 2 of .*ecg_id 14: /etc/passwd"),
    "third sex": (setter(14, "sex", "7"), r"Sex is 0 \(male\) or 1 \(female\): 1 of .*ecg_id 15: 7"),
    "patient across folds": (lambda table: table.assign(patient_id="77"), r"No patient is in two folds: \d+ of "),
    "patient across splits": (
        lambda table: None,
        r"No patient is in two of training, validation and test: \d+ of .*ecg_id 1",
    ),
}
"""Damages of one table, each in a row of its own, and what must be said about each."""


@pytest.fixture(scope="module")
def refused(simulated_tree, tmp_path_factory) -> ValidationFailed:
    """What an ingestion says of a table that holds them all."""
    tree = shutil.copytree(simulated_tree, tmp_path_factory.mktemp("refused") / "tree")
    for change, _ in TABLE_DAMAGE.values():
        edit(tree, change)
    store = tree.parent / "workspace" / "store"
    with pytest.raises(ValidationFailed) as caught:
        ingest(tree, store, max_unreadable_share=0.0)
    return caught.value


@pytest.mark.parametrize("case", TABLE_DAMAGE)
def test_a_damaged_table_stops_with_every_damage_named(refused, case):
    _, message = TABLE_DAMAGE[case]
    (failure,) = [str(failure) for failure in refused.failures if re.search(message, str(failure))]
    assert failure in str(refused)


def test_what_was_stopped_leaves_a_report_and_no_store(refused):
    workspace = refused.report.parent
    assert [path.name for path in workspace.iterdir()] == [refused.report.name] == ["validation-failed"]
    assert len(refused.failures) > 0
    assert "Stopped" in write_validation_page(refused.report, {}).read_text()


def damage_waveforms(tree: Path) -> dict[int, str]:
    """Damage four records; their ids, and what must be said about each."""
    table = pd.read_csv(tree / DATABASE).set_index("ecg_id")
    record = {ecg_id: tree / filename for ecg_id, filename in table["filename_lr"].items()}
    truncated = record[2].with_suffix(".dat")
    truncated.write_bytes(truncated.read_bytes()[:-1])
    flipped = bytearray(record[3].with_suffix(".dat").read_bytes())
    flipped[1200] ^= 1
    record[3].with_suffix(".dat").write_bytes(flipped)
    shutil.copy(record[5].with_suffix(".hea"), record[4].with_suffix(".hea"))
    record[6].with_suffix(".dat").unlink()
    return {2: "23999 bytes", 3: "checksum", 4: "record_name", 6: "does not exist"}


def test_unreadable_records_are_left_out_and_named_up_to_the_allowed_share(tree, tmp_path):
    damaged = damage_waveforms(tree)
    store = tmp_path / "workspace" / "store"
    with pytest.raises(ValidationFailed, match=r"absent or unreadable: 4 of .*ecg_id 2: unreadable: .*23999 bytes"):
        ingest(tree, store, max_unreadable_share=0.001)
    assert not store.exists()

    manifest = ingest(tree, store, max_unreadable_share=0.2).manifest
    listed = {row["ecg_id"]: row["reason"] for row in manifest["unreadable"] + manifest["missing_waveforms"]}
    assert listed.keys() == damaged.keys()
    assert all(damaged[ecg_id] in reason for ecg_id, reason in listed.items())
    assert [row["ecg_id"] for row in manifest["missing_waveforms"]] == [6]
    opened = open_store(store)
    assert content_digest(opened.records, map(record_hash, opened.signals)) == opened.manifest["digest"]
    assert manifest["records"] == manifest["table_counts"]["rows"] - 4 == len(opened.signals)
    assert not set(damaged) & set(opened.records["ecg_id"])
    np.testing.assert_array_equal(opened.signals[-1], read_record(tree / opened.records["filename"].iloc[-1]))
    assert not (store.parent / "validation-failed").exists()
    assert [path.name for path in store.parent.iterdir()] == ["store"]


def test_leads_that_changed_their_names_are_noticed_without_checksums(tree, tmp_path):
    (tree / "SHA256SUMS.txt").unlink()
    header = tree / "records100/00000/00009_lr.hea"
    lines = header.read_text().splitlines()
    # Every checksum in the header stays right.
    lines[1], lines[2] = re.sub(r" I$", " II", lines[1]), re.sub(r" II$", " I", lines[2])
    header.write_text("\n".join(lines) + "\n")
    ingest(tree, tmp_path / "store", max_unreadable_share=0.0)
    flagged = pd.read_csv(tmp_path / "store" / "validation" / "flagged.csv")
    assert "limb_leads" in flagged.loc[flagged["record"] == "ecg_id 9", "check"].tolist()


@pytest.mark.parametrize("file", [DATABASE, "scp_statements.csv"])
def test_a_line_of_ten_megabytes_stops_the_run_by_name(tree, tmp_path, file):
    table = pd.read_csv(tree / file, dtype=str)
    table.iloc[3, -1] = 10_000_000 * "ä"
    table.to_csv(tree / file, index=False)
    with pytest.raises(LeadwiseError, match=rf"{file}: line 5 has 10,000,\d\d\d characters.*more than 100,000"):
        ingest(tree, tmp_path / "store", max_unreadable_share=0.01)
    assert not (tmp_path / "store").exists()


def test_impossible_values_are_repaired_and_counted(tree, simulated_store, tmp_path):
    first = open_store(simulated_store).manifest

    def change(table: pd.DataFrame) -> None:
        table.loc[0:5, "age"] = ["300", "50", "3", "40", "999", "50"]
        table.loc[0:5, "height"] = ["170", "6", "90", "90", "170", "170"]
        table.loc[0:5, "weight"] = ["70", "5", "12", "17", "900", None]
        table.loc[0:2, "pacemaker"] = ["ja, pacemaker", "PACE????, nan", None]
        table.loc[0:1, "infarction_stadium1"] = ["Stadium II", "Stadium 99"]

    edit(tree, change)
    second = ingest(tree, tmp_path / "store", max_unreadable_share=0.0)
    assert second.manifest["digest"] != first["digest"]
    records = open_store(tmp_path / "store").records.head(6)
    np.testing.assert_array_equal(records["age"], [90, 50, 3, 40, np.nan, 50])
    np.testing.assert_array_equal(records["height_cm"], [170, np.nan, 90, np.nan, 170, 170])
    np.testing.assert_array_equal(records["weight_kg"], [70, np.nan, 12, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(records["pacemaker"][:3], [1, 0, 0])
    assert records["infarction_stadium1"][0] == "Stadium II"
    assert pd.isna(records["infarction_stadium1"][1])
    gained = {name: count - first["repairs"][name] for name, count in second.manifest["repairs"].items()}
    assert gained["age_impossible_to_missing"] == 1
    assert gained["height_impossible_to_missing"] == 1
    assert gained["infarction_stadium1_not_a_stage"] == 1
    assert gained["pacemaker_uncertain_to_no"] == 1


def test_a_tree_without_tables_or_columns_says_so(tree, tmp_path):
    with pytest.raises(LeadwiseError, match="no such folder"):
        read_tables(tmp_path / "nothing")
    edit(tree, lambda table: table.drop(columns=["scp_codes", "sex"]))
    with pytest.raises(LeadwiseError, match=f"{DATABASE}: column sex, scp_codes missing"):
        read_tables(tree)
    (tree / DATABASE).unlink()
    with pytest.raises(LeadwiseError, match="does not exist"):
        read_tables(tree)


def test_the_store_lists_every_file_that_was_read(simulated_tree, simulated_store):
    check = ["sha256sum", "--check", "--strict", "--quiet", str(simulated_store / "inputs.sha256")]
    subprocess.run(check, cwd=simulated_tree, check=True)
    listed = [line.split("  ", 1)[1] for line in (simulated_store / "inputs.sha256").read_text().splitlines()]
    there = [file.relative_to(simulated_tree).as_posix() for file in simulated_tree.rglob("*") if file.is_file()]
    assert listed == sorted(there)
    inputs = open_store(simulated_store).manifest["inputs"]
    assert inputs["files"] == len(there)
    assert inputs["as_listed"] == len(there) - 1
    assert inputs["not_listed"] == 0
    assert inputs["not_as_listed"] == []
    assert inputs["tables"].keys() == {DATABASE, "scp_statements.csv", "simulation.json"}


def test_a_file_that_is_not_the_listed_one_is_left_out_and_a_table_is_a_warning(tree, tmp_path):
    first, *_ = pd.read_csv(tree / DATABASE)["filename_lr"]
    header = tree / f"{first}.hea"
    header.write_text(header.read_text() + "# a remark that changes nothing else\n")
    edit(tree, setter(3, "device", "another device"))
    manifest = ingest(tree, tmp_path / "store", max_unreadable_share=0.1).manifest
    assert [(row["filename"], row["reason"]) for row in manifest["unreadable"]] == [
        (first, "00001_lr.hea differs from SHA256SUMS.txt")
    ]
    assert manifest["inputs"]["not_as_listed"] == [DATABASE, f"{first}.hea"]
    results = json.loads((tmp_path / "store" / "validation" / "validation.json").read_text())
    failed = [outcome for outcome in results["outcomes"] if outcome["suite"] == "files" and not outcome["success"]]
    assert [(outcome["check"], outcome["severity"]) for outcome in failed] == [("as_listed", "warning")]
    assert DATABASE in str(failed)


def test_a_checksum_list_that_is_none_stops_the_ingestion(tree, tmp_path):
    (tree / "SHA256SUMS.txt").write_text("not a list\n")
    with pytest.raises(LeadwiseError, match=r"SHA256SUMS\.txt: line 1: received 'not a list'"):
        ingest(tree, tmp_path / "store", max_unreadable_share=0.1)
    assert list(tmp_path.iterdir()) == [tree]


def test_whatever_changes_in_the_files_or_the_configuration_is_noticed(tree, tmp_path):
    def seen(**configuration: float) -> str:
        return fingerprint(
            dataset_named("synthetic"), read_tables(tree), {"rate": 100, "max_unreadable_share": 0.1} | configuration
        )

    first = seen()
    assert seen() == first
    assert seen(max_unreadable_share=0.2) != first
    found = {first}
    data = tree / f"{pd.read_csv(tree / DATABASE)['filename_lr'][4]}.dat"
    before = data.stat()
    samples = bytearray(data.read_bytes())
    samples[100] ^= 1
    data.write_bytes(samples)
    # A program can put back the time of change, but not the time of change of that.
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    found.add(seen())
    edit(tree, setter(3, "device", "another device"))
    found.add(seen())
    (tree / "SHA256SUMS.txt").unlink()
    found.add(seen())
    data.unlink()
    found.add(seen())
    assert len(found) == 5


@pytest.fixture(scope="module")
def tree_with_500_hz(tmp_path_factory) -> Path:
    """A small simulated tree at both rates. Read only."""
    return write_simulated_tree(tmp_path_factory.mktemp("fine") / "tree", patients=300, seed=1, rate=500)


def test_records_are_ingested_at_500_hz_and_training_refuses_them(tree_with_500_hz, tmp_path):
    folder = tmp_path / "workspace" / "store"
    fine = ingest(tree_with_500_hz, folder, max_unreadable_share=0.0, rate=500).manifest
    store = open_store(folder, fs_hz=500)
    assert content_digest(store.records, map(record_hash, store.signals)) == store.manifest["digest"]
    assert store.signals.shape == (fine["records"], 5000, 12)
    assert store.records["filename"].str.startswith("records500/").all()
    np.testing.assert_array_equal(store.signals[7], read_record(tree_with_500_hz / store.records["filename"][7], 500))
    with pytest.raises(
        StoreError, match=r"ingested at 500 Hz, but 100 Hz is needed.*run the ingest stage with rate=100"
    ):
        open_store(folder)
    assert ingest(tree_with_500_hz, folder, max_unreadable_share=0.0, rate=500, workers=3).unchanged
    fine_signals = np.array(store.signals[:, ::5])

    coarse = ingest(tree_with_500_hz, folder, max_unreadable_share=0.0, rate=100)
    assert not coarse.unchanged
    assert (fine["fs_hz"], coarse.manifest["fs_hz"]) == (500.0, 100.0)
    assert fine["digest"] != coarse.manifest["digest"]
    assert fine["counts"] == coarse.manifest["counts"]
    np.testing.assert_allclose(fine_signals[:, 5:-5], open_store(folder).signals[:, 5:-5], atol=60)


def test_a_tree_without_the_rate_says_how_to_get_it(simulated_tree, tmp_path):
    with pytest.raises(IngestionError, match=r"no records500 in this tree.*leadwise download .* --rate 500"):
        ingest(simulated_tree, tmp_path / "store", max_unreadable_share=1.0, rate=500)
    assert list(tmp_path.iterdir()) == []
