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
from leadwise.datasets.tables import LONGEST_LINE, TableError, read_tables
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


@pytest.mark.parametrize(("damage", "reason"), UNREADABLE.items(), ids=[damage.__name__ for damage in UNREADABLE])
def test_a_damaged_record_is_left_out_by_name_and_too_many_stop_the_run(
    damaged: Damaged, listed: bool, damage: Callable[[Path, int], None], reason: str
) -> None:
    ecg_id = OF_RECORD[damage]
    row = damaged.left_out[ecg_id]
    assert row["filename"] == record(ecg_id)
    said = re.search(rf"ecg_id {ecg_id}: (.*?)(?:; ecg_id|\)$)", damaged.stopped, re.MULTILINE)
    assert said is not None
    for text in (said[1], str(row["reason"])):
        assert re.search(rf"{reason}|differs? from {SUMS}" if listed else reason, text)
    assert ecg_id not in set(open_store(damaged.done.folder).records["ecg_id"])
    assert f"<td>{ecg_id}</td><td>{record(ecg_id)}</td>" in summary_page(damaged)


def summary_page(damaged: Damaged) -> str:
    return write_validation_page(damaged.done.folder / "validation", damaged.done.manifest).read_text()


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


def duplicated_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[table["ecg_id"] == "1"]])


def patient_across_folds(table: pd.DataFrame) -> pd.DataFrame:
    second, third = table["ecg_id"] == "2", table["ecg_id"] == "3"
    folds = ["1", "10"]
    table.loc[second | third, "patient_id"] = "999999"
    table.loc[second | third, "strat_fold"] = folds
    return table


def setting(ecg_id: int, column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["ecg_id"] == str(ecg_id), column] = value
        return table

    return change


IN_THE_TABLE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "duplicated row": (duplicated_row, r"No ecg_id occurs twice: 2 of .*\(ecg_id 1\b"),
    "patient across folds": (
        patient_across_folds,
        r"No patient is in two of training, validation and test: \d of .*ecg_id 2: 2; ecg_id 3: 2",
    ),
    "unknown code": (setting(4, "scp_codes", "{'XYZ': 100.0}"), r"SCP statements are known: 1 of .*ecg_id 4: XYZ"),
    "text for a fold": (setting(5, "strat_fold", "three"), r"Number columns.*ecg_id 5: strat_fold: three"),
    "text for an age": (setting(6, "age", "old"), r"Number columns.*ecg_id 6: age: old"),
    "path out of the tree": (
        setting(7, "filename_lr", "../../etc/passwd"),
        r"inside the tree: 2 of .*ecg_id 7: \.\./\.\./etc/passwd",
    ),
    "absolute path": (setting(8, "filename_lr", "/etc/passwd"), r"inside the tree: 2 of .*ecg_id 8: /etc/passwd"),
}


@pytest.fixture(scope="module")
def refused(copied: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> ValidationFailed:
    """What is said of a table with all of these in it."""
    tree, store = copied(), tmp_path_factory.mktemp("workspace") / "store"
    table = pd.read_csv(tree / DATABASE, dtype=str)
    for change, _ in IN_THE_TABLE.values():
        table = change(table)
    table.to_csv(tree / DATABASE, index=False)
    with pytest.raises(ValidationFailed) as stopped:
        ingest(tree, store, max_unreadable_share=0.01, workers=1)
    assert not store.exists()
    return stopped.value


@pytest.mark.parametrize("case", IN_THE_TABLE)
def test_a_damaged_table_stops_the_run_by_name(refused: ValidationFailed, case: str) -> None:
    _, message = IN_THE_TABLE[case]
    (failure,) = [str(failure) for failure in refused.failures if re.search(message, str(failure))]
    assert failure in str(refused)


@pytest.mark.parametrize("file", [DATABASE, STATEMENTS])
def test_a_line_of_ten_megabytes_stops_the_run_by_name(copied: Callable[[], Path], file: str, tmp_path: Path) -> None:
    tree = copied()
    table = pd.read_csv(tree / file, dtype=str)
    table.iloc[3, -1] = 10_000_000 * "ä"
    table.to_csv(tree / file, index=False)
    with pytest.raises(TableError, match=rf"{file}: line 5 has 10,000,\d\d\d characters.*more than 100,000"):
        ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)
    assert not (tmp_path / "store").exists()


def test_a_line_is_long_by_its_characters(ptbxl_tables: Callable[[str], Path], tmp_path: Path) -> None:
    tree = Path(shutil.copytree(ptbxl_tables("1.0.3"), tmp_path / "tree"))
    content = (tree / DATABASE).read_text()
    first, second, rest = content.split("\n", 2)
    (tree / DATABASE).write_text(f"{first}\n{second.ljust(LONGEST_LINE, 'ß')}\n{rest}")
    assert len(read_tables(tree).database) == 21_799
    (tree / DATABASE).write_text(f"{first}\n{second.ljust(LONGEST_LINE + 1, 'ß')}\n{rest}")
    with pytest.raises(TableError, match="line 2 has 100,001 characters"):
        read_tables(tree)


SPREADSHEET: dict[str, Callable[[bytes], bytes]] = {
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "BOM and CRLF": lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("written", SPREADSHEET)
def test_a_table_as_a_spreadsheet_saves_it_reads_the_same(
    ptbxl_tables: Callable[[str], Path], tmp_path: Path, written: str
) -> None:
    source = ptbxl_tables("1.0.3")
    for name in (DATABASE, STATEMENTS):
        (tmp_path / name).write_bytes(SPREADSHEET[written]((source / name).read_bytes()))
    found, expected = read_tables(tmp_path), read_tables(source)
    pd.testing.assert_frame_equal(found.database, expected.database)
    assert (found.classes, found.statements) == (expected.classes, expected.statements)


def test_a_table_as_a_spreadsheet_saves_it_is_told_and_changes_nothing(
    copied: Callable[[], Path], tmp_path: Path, ptbxl_store: Path, listed: bool
) -> None:
    tree, undamaged = copied(), open_store(ptbxl_store).manifest
    (tree / DATABASE).write_bytes(SPREADSHEET["BOM and CRLF"]((tree / DATABASE).read_bytes()))
    done = ingest(tree, tmp_path / "store", max_unreadable_share=0.0, workers=1)
    assert done.manifest["digest"] == undamaged["digest"]
    assert done.manifest["inputs"]["not_as_listed"] == ([DATABASE] if listed else [])
    more = done.manifest["validation"]["failed_warning"] - undamaged["validation"]["failed_warning"]
    assert more == (2 if listed else 1)
    told = f"{DATABASE}: begins with a byte order mark; its lines end as on Windows (CR LF)"
    assert told in write_validation_page(tmp_path / "store" / "validation", done.manifest).read_text()
