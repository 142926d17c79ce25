"""What validation looks at, against plain loops over the table."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.ptbxl import file_frame, fold_frame, label_frame, schema_frame, table_frame
from leadwise.datasets.tables import Tables, read_tables


@pytest.fixture
def tables(simulated_tree: Path) -> Tables:
    read = read_tables(simulated_tree)
    return dataclasses.replace(read, database=read.database.copy())


def test_columns_that_are_absent_unknown_or_of_another_kind_are_told(tables: Tables) -> None:
    table = tables.database.drop(columns=["nurse"]).assign(site=np.nan, mood="good")
    table.loc[3, "recording_date"] = "32.13.1999"
    table.loc[[4, 5], "second_opinion"] = "maybe"
    changed = dataclasses.replace(tables, database=table, statements=tables.statements - {"LVH", "AFIB"})
    frame = schema_frame(changed).set_index("record")
    assert frame["absent"].dropna().index.tolist() == ["column nurse", "column site"]
    assert frame["unknown"].dropna().to_dict() == {"column mood": "not a column of PTB-XL"}
    kinds = frame["wrong_kind"].dropna()
    rows = f"{len(table):,}"
    assert kinds["column recording_date"] == f"1 of {rows} are not a date, first '32.13.1999'"
    assert kinds["column second_opinion"] == f"2 of {rows} are not True or False, first 'maybe'"
    assert frame["statements_missing"].dropna().to_dict() == {"scp_statements.csv": "LVH, AFIB"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: b"\xef\xbb\xbf" + raw, "begins with a byte order mark"),
        (lambda raw: raw.replace(b"\n", b"\r\n"), "its lines end as on Windows (CR LF)"),
    ],
)
def test_a_table_that_a_spreadsheet_has_saved_is_named(
    simulated_tree: Path, tmp_path: Path, change: Callable[[bytes], bytes], told: str
) -> None:
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(simulated_tree / name, tmp_path)
    file = tmp_path / "ptbxl_database.csv"
    file.write_bytes(change(file.read_bytes()))
    read = read_tables(tmp_path)
    pd.testing.assert_frame_equal(read.database, read_tables(simulated_tree).database)
    frame = file_frame(read, []).set_index("record")
    assert frame["written_otherwise"].dropna().to_dict() == {"ptbxl_database.csv": told}


def test_rows_are_named_and_patients_of_two_sexes_and_adults_of_impossible_shape_counted(tables: Tables) -> None:
    table = tables.database
    table.loc[2, "ecg_id"] = None
    table.loc[[0, 1], "patient_id"] = "4711"
    table.loc[[0, 1], "sex"] = ["0", "1"]
    table.loc[[0, 1, 2], "age"] = ["40", "3", "300"]
    table.loc[[0, 1, 2], "height"] = "200"
    table.loc[[0, 1, 2], "weight"] = "20"
    frame = table_frame(tables)
    assert frame["record"][[0, 1, 2]].tolist() == ["ecg_id 1", "ecg_id 2", "line 4 (no ecg_id)"]
    assert frame["sexes_of_patient"][[0, 1]].tolist() == [2, 2]
    np.testing.assert_array_equal(frame["adult_bmi"][[0, 1, 2]], [5, np.nan, 5])


def test_folds_are_compared_in_standard_errors(tables: Tables) -> None:
    labels, frame = label_frame(tables), fold_frame(tables).set_index("record")
    folds = tables.numbers()["strat_fold"]
    for name in SUPERCLASSES:
        share = labels[name].mean()
        for fold in range(1, 11):
            inside = labels.loc[folds == fold, name]
            error = (share * (1 - share) / len(inside)) ** 0.5
            assert frame.loc[f"fold {fold}", name] == pytest.approx((inside.mean() - share) / error)
            assert frame.loc[f"fold {fold}", f"{name}_records"] == inside.sum()
            assert frame.loc[f"fold {fold}", "share"] == pytest.approx(len(inside) / len(labels))
