"""A damaged copy of the real PTB-XL: whatever is wrong in it is caught, and the message names it.

Every damage is tried twice: where the tree has its ``SHA256SUMS.txt``, and without it, so that no check leans on it.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from leadwise.data.ingestion import Ingested, ingest
from leadwise.data.tables import TableError
from leadwise.data.validation import ValidationFailed

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("damaged-ptbxl")]

DATABASE = "ptbxl_database.csv"
FIRST, SECOND = "records100/00000/00001_lr", "records100/00000/00002_lr"
NAMED = r"\b1\b"
"""The ``ecg_id`` of ``FIRST``."""


@pytest.fixture(params=["with checksums", "without checksums"])
def tree(request: pytest.FixtureRequest, ptbxl_tree: Path, tmp_path: Path) -> Path:
    copy = shutil.copytree(ptbxl_tree, tmp_path / "ptbxl")
    if request.param == "without checksums":
        (copy / "SHA256SUMS.txt").unlink()
    return copy


@pytest.fixture(scope="session")
def undamaged(ptbxl_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingest(ptbxl_tree, tmp_path_factory.mktemp("undamaged") / "store", max_unreadable_share=0.0, workers=1)


def truncated(tree: Path) -> None:
    file = tree / f"{FIRST}.dat"
    file.write_bytes(file.read_bytes()[:-100])


def header_of_another_record(tree: Path) -> None:
    shutil.copy(tree / f"{SECOND}.hea", tree / f"{FIRST}.hea")


def flipped_bit(tree: Path) -> None:
    file = tree / f"{FIRST}.dat"
    content = bytearray(file.read_bytes())
    content[12_345] ^= 0x10
    file.write_bytes(content)


def samples_of_another_record(tree: Path) -> None:
    shutil.copy(tree / f"{SECOND}.dat", tree / f"{FIRST}.dat")


def long_line_in_the_header(tree: Path) -> None:
    with (tree / f"{FIRST}.hea").open("a") as header:
        header.write("# " + 10_000_000 * "x" + "\n")


def no_samples(tree: Path) -> None:
    (tree / f"{FIRST}.dat").unlink()


def no_header(tree: Path) -> None:
    (tree / f"{FIRST}.hea").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncated, "11900|23900 bytes"),
        (header_of_another_record, "00002_lr|record_name|another record|name"),
        (flipped_bit, "checksum"),
        (samples_of_another_record, "checksum|first sample"),
        (long_line_in_the_header, "longer than"),
        (no_samples, r"00001_lr\.dat does not exist"),
        (no_header, r"00001_lr\.hea does not exist"),
    ],
)
def test_a_damaged_record_is_left_out_by_name_and_too_many_stop_the_run(
    tree: Path, tmp_path: Path, undamaged: Ingested, damage: Callable[[Path], None], reason: str
) -> None:
    damage(tree)
    with pytest.raises(ValidationFailed, match=NAMED) as stopped:
        ingest(tree, tmp_path / "store", max_unreadable_share=0.0, workers=1)
    assert not (tmp_path / "store").exists()
    assert re.search(f"{reason}|SHA256SUMS", str(stopped.value))

    done = ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)
    (left_out,) = [*done.manifest["unreadable"], *done.manifest["missing_waveforms"]]
    assert (left_out["ecg_id"], left_out["filename"]) == (1, FIRST)
    if not (tree / "SHA256SUMS.txt").exists():
        assert re.search(reason, str(left_out["reason"]))
    assert done.manifest["records"] == undamaged.manifest["records"] - 1
    assert FIRST in (tmp_path / "store" / "validation" / "summary.html").read_text()


def test_leads_that_changed_their_names_are_noticed(tree: Path, tmp_path: Path) -> None:
    file = tree / f"{FIRST}.hea"
    lines = file.read_text().splitlines()
    lines[1], lines[2] = re.sub(r" I$", " II", lines[1]), re.sub(r" II$", " I", lines[2])
    file.write_text("\n".join(lines) + "\n")
    done = ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)
    if (tree / "SHA256SUMS.txt").exists():
        (left_out,) = done.manifest["unreadable"]
        assert left_out["ecg_id"] == 1
        assert "SHA256SUMS.txt" in left_out["reason"]
    else:
        summary = pd.read_parquet(tmp_path / "store" / "validation" / "signals.parquet").set_index("ecg_id")
        assert summary.loc[1, "limb_leads_uv"] > 50
        report = (tmp_path / "store" / "validation" / "validation.json").read_text()
        assert re.search(r'I \+ III = II[^}]*"success": false[^}]*ecg_id 1\b', report, re.DOTALL)


def duplicated_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:1]])


def patient_across_folds(table: pd.DataFrame) -> pd.DataFrame:
    twin = table.iloc[:1].assign(
        ecg_id=table["ecg_id"].iloc[1], filename_lr=table["filename_lr"].iloc[1], strat_fold="10"
    )
    assert table["strat_fold"].iloc[0] != "10"
    return pd.concat([table.drop(index=1), twin])


def setting(column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[0, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (duplicated_row, r"No ecg_id occurs twice.*ecg_id 1\b"),
        (patient_across_folds, r"No patient is in two.*ecg_id [12]\b"),
        (setting("scp_codes", "{'XYZ': 100.0}"), r"SCP statements are known.*ecg_id 1: XYZ"),
        (setting("strat_fold", "three"), r"ecg_id 1: strat_fold: three"),
        (setting("age", "old"), r"ecg_id 1: age: old"),
        (setting("filename_lr", "../../etc/passwd"), r"inside the tree.*ecg_id 1: \.\./\.\./etc/passwd"),
        (setting("filename_lr", "/etc/passwd"), r"inside the tree.*ecg_id 1: /etc/passwd"),
    ],
)
def test_a_damaged_table_stops_the_run_by_name(
    tree: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    change(pd.read_csv(tree / DATABASE, dtype=str)).to_csv(tree / DATABASE, index=False)
    with pytest.raises(ValidationFailed) as stopped:
        ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)
    assert re.search(message, str(stopped.value))
    assert not (tmp_path / "store").exists()


def test_a_line_of_ten_megabytes_stops_the_run_by_name(tree: Path, tmp_path: Path) -> None:
    table = pd.read_csv(tree / DATABASE, dtype=str)
    setting("report", 10_000_000 * "x")(table).to_csv(tree / DATABASE, index=False)
    with pytest.raises(TableError, match=r"ptbxl_database\.csv.*line 2.*characters"):
        ingest(tree, tmp_path / "store", max_unreadable_share=0.01, workers=1)


@pytest.mark.parametrize("written", ["BOM", "CRLF"])
def test_a_table_as_a_spreadsheet_saves_it_reads_the_same_and_is_told(
    tree: Path, tmp_path: Path, undamaged: Ingested, written: str
) -> None:
    content = (tree / DATABASE).read_bytes()
    changed = b"\xef\xbb\xbf" + content if written == "BOM" else content.replace(b"\n", b"\r\n")
    (tree / DATABASE).write_bytes(changed)
    done = ingest(tree, tmp_path / "store", max_unreadable_share=0.0, workers=1)
    assert done.manifest["digest"] == undamaged.manifest["digest"]
    listed = (tree / "SHA256SUMS.txt").exists()
    assert done.manifest["inputs"]["not_as_listed"] == ([DATABASE] if listed else [])
    more = done.manifest["validation"]["failed_warning"] - undamaged.manifest["validation"]["failed_warning"]
    assert more == (1 if listed else 0)
