"""A damaged copy of the real PTB-XL: whatever is wrong in it is caught, and the message names it.

Every damage is tried twice: where the tree has its ``SHA256SUMS.txt``, and without it, so that no check leans on it.
One tree holds all damages of a kind, each at a record of its own.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadwise.datasets.checks.validation import ValidationFailed
from leadwise.datasets.ingest import Ingested, ingest
from leadwise.datasets.store import open_store
from leadwise.datasets.tables import TableError
from leadwise.reports.validation_page import write_validation_page

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("damaged-ptbxl")]

DATABASE, STATEMENTS, SUMS = "ptbxl_database.csv", "scp_statements.csv", "SHA256SUMS.txt"


@pytest.fixture(scope="module", params=["with checksums", "without checksums"])
def listed(request: pytest.FixtureRequest) -> bool:
    """Whether the tree has a list of checksums."""
    return bool(request.param == "with checksums")


@pytest.fixture(scope="module")
def copied(ptbxl_tree: Path, tmp_path_factory: pytest.TempPathFactory, listed: bool) -> Callable[[], Path]:
    """Make a copy of the tree."""

    def copy() -> Path:
        tree = Path(shutil.copytree(ptbxl_tree, tmp_path_factory.mktemp("damaged") / "ptbxl"))
        if not listed:
            (tree / SUMS).unlink()
        return tree

    return copy


def record(ecg_id: int) -> str:
    return f"records100/00000/{ecg_id:05d}_lr"


def truncated(tree: Path, ecg_id: int) -> None:
    file = tree / f"{record(ecg_id)}.dat"
    file.write_bytes(file.read_bytes()[:-100])


def header_of_another_record(tree: Path, ecg_id: int) -> None:
    shutil.copy(tree / f"{record(20)}.hea", tree / f"{record(ecg_id)}.hea")


def flipped_bit(tree: Path, ecg_id: int) -> None:
    file = tree / f"{record(ecg_id)}.dat"
    content = bytearray(file.read_bytes())
    content[12_345] ^= 0x10
    file.write_bytes(content)


def samples_of_another_record(tree: Path, ecg_id: int) -> None:
    shutil.copy(tree / f"{record(20)}.dat", tree / f"{record(ecg_id)}.dat")


def samples_of_two_leads_exchanged(tree: Path, ecg_id: int) -> None:
    file = tree / f"{record(ecg_id)}.dat"
    samples = np.frombuffer(file.read_bytes(), "<i2").reshape(1000, 12)
    file.write_bytes(samples[:, [1, 0, *range(2, 12)]].tobytes())


def long_line_in_the_header(tree: Path, ecg_id: int) -> None:
    with (tree / f"{record(ecg_id)}.hea").open("a") as header:
        header.write("# " + 10_000_000 * "x" + "\n")


def no_samples(tree: Path, ecg_id: int) -> None:
    (tree / f"{record(ecg_id)}.dat").unlink()


def no_header(tree: Path, ecg_id: int) -> None:
    (tree / f"{record(ecg_id)}.hea").unlink()


def leads_renamed(tree: Path, ecg_id: int) -> None:
    """I and II change their names: every checksum in the header stays right."""
    file = tree / f"{record(ecg_id)}.hea"
    lines = file.read_text().splitlines()
    lines[1], lines[2] = re.sub(r" I$", " II", lines[1]), re.sub(r" II$", " I", lines[2])
    file.write_text("\n".join(lines) + "\n")


UNREADABLE: dict[Callable[[Path, int], None], str] = {
    truncated: "23900 bytes",
    header_of_another_record: "record_name.*00020_lr",
    flipped_bit: "checksum",
    samples_of_another_record: "checksum|first sample",
    samples_of_two_leads_exchanged: "lead I: checksum",
    long_line_in_the_header: "longer than",
    no_samples: r"0000\d_lr\.dat does not exist",
    no_header: r"0000\d_lr\.hea does not exist",
}
"""What is done to the samples or the header of one record -> what is said of it."""

OF_RECORD = {damage: ecg_id for ecg_id, damage in enumerate([*UNREADABLE, leads_renamed], start=1)}


@dataclass(frozen=True)
class Damaged:
    """A tree with a damage at each of its first records.

    Attributes:
        stopped: the message if one record less may be absent or unreadable.
        done: the ingestion if as many may be.
        left_out: the records that it leaves out, by ``ecg_id``.
    """

    stopped: str
    done: Ingested
    left_out: dict[int, dict[str, object]]


@pytest.fixture(scope="module")
def damaged(
    copied: Callable[[], Path], listed: bool, ptbxl_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Damaged:
    tree, store = copied(), tmp_path_factory.mktemp("workspace") / "store"
    for damage, ecg_id in OF_RECORD.items():
        damage(tree, ecg_id)
    expected = len(UNREADABLE) + listed
    records = len(open_store(ptbxl_store).records)
    with pytest.raises(ValidationFailed) as stopped:
        ingest(tree, store, max_unreadable_share=(expected - 0.5) / records, workers=1)
    assert not store.exists()
    done = ingest(tree, store, max_unreadable_share=(expected + 0.5) / records, workers=1)
    rows = [*done.manifest["unreadable"], *done.manifest["missing_waveforms"]]
    return Damaged(str(stopped.value), done, {row["ecg_id"]: row for row in rows})


def test_damaged_records_are_left_out_by_name_and_too_many_stop_the_run(damaged: Damaged, listed: bool) -> None:
    page = write_validation_page(damaged.done.folder / "validation", damaged.done.manifest).read_text()
    for damage, reason in UNREADABLE.items():
        ecg_id = OF_RECORD[damage]
        row = damaged.left_out[ecg_id]
        assert row["filename"] == record(ecg_id)
        said = re.search(rf"ecg_id {ecg_id}: (.*?)(?:; ecg_id|\)$)", damaged.stopped, re.MULTILINE)
        assert said is not None
        for text in (said[1], str(row["reason"])):
            assert re.search(rf"{reason}|differs? from {SUMS}" if listed else reason, text)
        assert f"<td>{ecg_id}</td><td>{record(ecg_id)}</td>" in page


def test_every_other_record_is_read(damaged: Damaged, listed: bool, ptbxl_store: Path) -> None:
    unreadable = {OF_RECORD[damage] for damage in UNREADABLE} | ({OF_RECORD[leads_renamed]} if listed else set())
    assert damaged.left_out.keys() == unreadable
    there = set(open_store(ptbxl_store).records["ecg_id"])
    assert set(open_store(damaged.done.folder).records["ecg_id"]) == there - unreadable


def test_leads_that_changed_their_names_are_noticed(damaged: Damaged, listed: bool) -> None:
    ecg_id = OF_RECORD[leads_renamed]
    if listed:
        assert damaged.left_out[ecg_id]["reason"] == f"{ecg_id:05d}_lr.hea differs from {SUMS}"
    else:
        folder = damaged.done.folder / "validation"
        summary = pd.read_parquet(folder / "signals.parquet").set_index("ecg_id")
        assert summary.loc[ecg_id, "limb_leads_uv"] > 50
        flagged = pd.read_csv(folder / "flagged.csv")
        of_record = flagged.loc[flagged["record"] == f"ecg_id {ecg_id}", "check"]
        assert "limb_leads" in of_record.tolist()


@pytest.mark.parametrize("file", [DATABASE, STATEMENTS])
def test_a_line_of_ten_megabytes_stops_the_run_by_name(copied: Callable[[], Path], file: str, tmp_path: Path) -> None:
    tree = copied()
    table = pd.read_csv(tree / file, dtype=str)
    table.iloc[3, -1] = 10_000_000 * "ä"
    table.to_csv(tree / file, index=False)
    with pytest.raises(TableError, match=rf"{file}: line 5 has 10,000,\d\d\d characters.*more than 100,000"):
        ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)
    assert not (tmp_path / "store").exists()
