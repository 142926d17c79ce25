"""Other hospitals' recordings: their traps, what stops before anything is scored, and the real ones."""

import csv
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from cohort_sources import ecg_mv, write_challenge, write_ludb, write_sph, write_table

from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.base import cohort_named
from leadwise.datasets.checks.cohort import check_cohort
from leadwise.datasets.checks.validation import ValidationFailed
from leadwise.datasets.cohort import CohortError, label_counts
from leadwise.ecg.formats import ReaderError


def labels(table: pd.DataFrame, record: str) -> list[bool | None]:
    """Of one recording in the order of ``SUPERCLASSES``."""
    row = table.set_index("record_id").loc[record]
    return [None if pd.isna(row[name]) else bool(row[name]) for name in SUPERCLASSES]


def test_the_gains_of_ludb_hide_amplitudes_unless_the_true_scale_is_taken(tmp_path: Path) -> None:
    source = write_ludb(tmp_path / "ludb", {"1": ["Rhythm: Sinus rhythm"]})
    spans = {}
    for gain in ("true_scale", "header"):
        one = cohort_named("ludb", gain=gain)
        spans[gain] = np.ptp(one.read(one.records(source).iloc[0]).record.signal_mv, axis=0)
    np.testing.assert_allclose(spans["true_scale"], np.ptp(ecg_mv(0), axis=0), atol=1e-5)
    np.testing.assert_allclose(spans["header"], 1, atol=1e-5)
    checked = check_cohort(cohort_named("ludb", gain="header"), source, tmp_path / "report", max_unreadable_share=0)
    assert any("Leads are not scaled one by one" in warning for warning in checked.warnings)
    assert any("I + III = II" in warning for warning in checked.warnings)
    assert "amplitudes mean nothing" in cohort_named("ludb", gain="header").assumptions()[0]
    assert "1000 units per mV" in cohort_named("ludb").assumptions()[0]


def test_the_wrong_gain_of_georgia_is_put_right_and_any_other_is_believed(tmp_path: Path) -> None:
    for gain, georgia_gain, factor in [(4880, "true_scale", 1), (4880, "header", 1 / 4.88), (500, "true_scale", 2)]:
        source = write_challenge(tmp_path / f"{gain}-{georgia_gain}", {"E00001": "426783006"}, gain=gain)
        one = cohort_named("challenge2021", georgia_gain=georgia_gain)
        read = one.read(one.records(source).iloc[0]).record.signal_mv
        np.testing.assert_allclose(read, ecg_mv(0) * factor, atol=1e-5)
    # A Chinese recording with such a gain would have it.
    source = write_challenge(tmp_path / "other", {"JS00001": "426783006"}, gain=4880)
    one = cohort_named("challenge2021")
    np.testing.assert_allclose(one.read(one.records(source).iloc[0]).record.signal_mv, ecg_mv(0) / 4.88, atol=1e-5)


def test_each_collection_of_the_challenge_is_told_by_the_names_of_its_records(tmp_path: Path) -> None:
    names = ["A0001", "Q0001", "E00001", "JS10646", "JS10647", "HR00001", "S0001", "I0001", "X1"]
    source = write_challenge(tmp_path, dict.fromkeys(names, "426783006"))
    table = cohort_named("challenge2021").records(source).set_index("record_id")
    used = table[table["excluded"].isna()]
    assert used["source"].to_dict() == {
        "A0001": "CPSC2018", "Q0001": "CPSC-Extra", "E00001": "Georgia", "JS10646": "Chapman-Shaoxing",
        "JS10647": "Ningbo",
    }  # fmt: skip
    left = table[table["excluded"].notna()]
    assert set(left.index) == {"HR00001", "S0001", "I0001", "X1"}
    assert "on which models are trained" in left.loc["HR00001", "excluded"]
    assert left[list(SUPERCLASSES)].isna().all(axis=None)


def test_cpsc2018_tells_nothing_of_infarction_and_hypertrophy(tmp_path: Path) -> None:
    source = write_challenge(tmp_path, {"A0001": "59118001", "A0002": "426783006", "A0003": "429622005"})
    strict = cohort_named("challenge2021").records(source)
    assert labels(strict, "A0001") == [False, None, None, True, None]
    assert labels(strict, "A0002") == [True, None, None, False, None]
    assert labels(strict, "A0003") == [None, None, None, False, None]
    wide = cohort_named("challenge2021", labels="wide").records(source)
    assert labels(wide, "A0001") == [False, None, False, True, None]
    assert labels(wide, "A0003") == [False, None, True, False, None]


def test_commas_twice_codes_and_ages_that_are_none_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    source = write_challenge(tmp_path, {"JS00344": "284470004,,426783006,284470004,"}, age="NaN")
    row = cohort_named("challenge2021").records(source).iloc[0]
    assert row["codes"] == "284470004;426783006"
    assert np.isnan(row["age"]) and row["sex"] == 1
    assert pd.isna(row["fact_problems"])


def test_recordings_of_a_few_leads_are_left_out_by_name(tmp_path: Path) -> None:
    source = write_challenge(tmp_path / "few", {"E07502": "426783006"}, leads=LEADS[:6])
    with pytest.raises(CohortError, match=r"all 1 recordings .* are left out: no 12-lead ECG: holds I, II.*V1, V2"):
        check_cohort(cohort_named("challenge2021"), source, tmp_path / "report", max_unreadable_share=0)
    write_challenge(tmp_path / "few", {"E00001": "426783006"})
    checked = check_cohort(cohort_named("challenge2021"), tmp_path / "few", tmp_path / "report", max_unreadable_share=0)
    assert checked.table["record_id"].tolist() == ["E00001"]
    assert checked.left_out["record_id"].tolist() == ["E07502"]


def test_an_unlisted_code_is_named_and_many_of_them_stop(tmp_path: Path) -> None:
    codes = {f"JS{number:05d}": "426783006" for number in range(1, 20)} | {"JS20006": "251238007"}
    source = write_challenge(tmp_path / "few", codes)
    report = tmp_path / "report"
    checked = check_cohort(cohort_named("challenge2021"), source, report, max_unreadable_share=0)
    assert any("JS20006: 251238007" in warning for warning in checked.warnings)
    assert labels(checked.table, "JS20006") == [None] * 5
    write_challenge(tmp_path / "few", {"JS20007": "12345"})
    with pytest.raises(ValidationFailed, match=r"knows all codes of 95 % .*2 of 21 do not .*JS20007: 12345"):
        check_cohort(cohort_named("challenge2021"), source, report, max_unreadable_share=0)
    flagged = pd.read_csv(report / "flagged.csv")
    assert {"JS20006", "JS20007"} <= set(flagged.loc[flagged["severity"] == "critical", "record"])


def test_files_of_sph_that_are_broken_are_refused_by_name(tmp_path: Path) -> None:
    source = write_sph(tmp_path / "sph", ["1"] * 8)
    records = source / "records"
    (records / "A00001.h5").write_bytes(b"no HDF5")
    with h5py.File(records / "A00002.h5", "w") as file:
        file["signal"] = np.zeros((12, 5000))
    with h5py.File(records / "A00003.h5", "w") as file:
        file["ecg"] = np.zeros((5000, 12))
    with h5py.File(records / "A00004.h5", "w") as file:
        file["ecg"] = np.full((12, 5000), np.nan)
    with h5py.File(records / "A00005.h5", "w") as file:
        file["ecg"] = ecg_mv(4).T * 300
    (records / "A00006.h5").unlink()
    with h5py.File(records / "A00007.h5", "w") as file:
        file["ecg"] = h5py.ExternalLink("A00008.h5", "ecg")
    one = cohort_named("sph")
    problems = []
    *rows, whole = one.records(source).to_dict("records")
    assert one.read(whole).record.signal_mv.shape == (5000, 12)
    for row in rows:
        with pytest.raises(ReaderError) as caught:
            one.read(row)
        assert str(caught.value).startswith(f"{row['record_id']}.h5: ")
        problems.append(caught.value.problem)
    for found, told in zip(
        problems,
        [
            "cannot be decoded",
            "holds no dataset ecg",
            r"received shape \(5000, 12\)",
            "100% of the samples of lead I are missing",
            r"at most 50 mV",
            "No such file",
            "holds no dataset ecg",
        ],
        strict=True,
    ):
        assert re.search(told, found)
    with pytest.raises(ValidationFailed, match=r"At most 10.000% of the files are absent: 1 of 8"):
        check_cohort(one, source, tmp_path / "report", max_unreadable_share=0.1)


def test_no_id_of_a_table_leads_out_of_its_folder(tmp_path: Path) -> None:
    source = write_sph(tmp_path / "sph", ["1", "1"])
    text = (source / "metadata.csv").read_text().replace("A00002", "../../A00002")
    (source / "metadata.csv").write_text(text)
    table = cohort_named("sph").records(source)
    assert pd.isna(table["path"].iloc[1])
    with pytest.raises(ValidationFailed, match=r"\.\./\.\./A00002: no file is named"):
        check_cohort(cohort_named("sph"), source, tmp_path / "report", max_unreadable_share=0)


@pytest.mark.parametrize("name", ["records.csv", "records.parquet"])
def test_a_table_of_ones_own_says_which_column_holds_what(name: str, tmp_path: Path) -> None:
    rows = [
        {"trace": "a.npz", "who": 7, "infarct": 1, "hyper": 0.0, "years": 61, "gender": 0, "paced": 1, "part": "test"},
        {
            "trace": "b.npz",
            "who": 8,
            "infarct": 0,
            "hyper": None,
            "years": None,
            "gender": 1,
            "paced": 0,
            "part": "test",
        },
    ]
    source = write_table(tmp_path, [{"file": row["trace"]} | row for row in rows], name=name) / name
    columns = {
        "file": "trace", "patient_id": "who", "MI": "infarct", "HYP": "hyper", "age": "years", "sex": "gender",
        "pacemaker": "paced", "split": "part",
    }  # fmt: skip
    one = cohort_named("table", columns=columns, sexes={"0": "male", "1": "female"})
    table = one.records(source)
    assert labels(table, "a.npz") == [None, True, None, None, False]
    assert labels(table, "b.npz") == [None, False, None, None, None]
    assert table["patient_id"].tolist() == ["7", "8"]
    assert table["split"].tolist() == ["test", "test"]
    assert one.read(table.iloc[0]).record.patient == {"age": 61, "sex": 0, "pacemaker": 1}
    assert np.isnan(table["age"].iloc[1])


@pytest.mark.parametrize(
    ("rows", "options", "problem"),
    [
        ([{"file": "a.npz", "MI": "maybe"}], {}, r"records\.csv, row 1: MI: received 'maybe'; allowed: 1, 0, true"),
        ([{"file": "a.npz", "AF": 1}], {}, "received columns file, AF; needed: file, and at least one of NORM, MI"),
        ([{"file": "a.npz", "MI": 1}], {"columns": {"age": "years"}}, "column years missing; received file, MI"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_its_place(
    rows: list[dict[str, object]], options: dict[str, object], problem: str, tmp_path: Path
) -> None:
    source = write_table(tmp_path, rows)
    with pytest.raises(CohortError, match=problem):
        cohort_named("table", **options).records(source)


def test_a_column_that_no_cohort_has_is_refused() -> None:
    with pytest.raises(CohortError, match="heart is none of record_id, patient_id"):
        cohort_named("table", columns={"heart": "x"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"record_id": "same"}, r"No id occurs twice: 2 of 2 do not \(same: same"),
        ({"file": "a.npz", "MI": 0}, r"No file belongs to two recordings: 2 of 2"),
        ({"patient_id": "p"}, r"No patient is in two parts of a split: 2 of 2"),
        (
            {"file": "absent.npz"},
            r"At most 0.000% of the files are absent: 1 of 2 do not \(two: absent\.npz does not exist",
        ),
        ({"age": "old", "sex": "?"}, r"understood in 80 % of the recordings: 1 of 2"),
    ],
)
def test_what_would_falsify_every_figure_stops_with_what_failed(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    first = {"record_id": "one", "patient_id": "p", "split": "a", "file": "a.npz", "age": 61, "sex": "female", "MI": 1}
    second = {"record_id": "two", "patient_id": "q", "split": "b", "file": "b.npz", "age": 70, "sex": "male", "MI": 0}
    if "record_id" in change:
        first |= change
    source = write_table(tmp_path / "data", [first, second | change])
    if (absent := tmp_path / "data" / "absent.npz").exists():
        absent.unlink()
    with pytest.raises(ValidationFailed, match=problem):
        check_cohort(cohort_named("table"), source, tmp_path / "report", max_unreadable_share=0)
    assert len(pd.read_csv(tmp_path / "report" / "flagged.csv"))
    assert not (tmp_path / "report" / "records.parquet").exists()


def test_an_age_that_nobody_has_is_unknown_and_said(tmp_path: Path) -> None:
    rows = [{"file": f"{name}.npz", "MI": 0, "age": 50} for name in "abcde"]
    source = write_table(tmp_path / "data", [*rows, {"file": "f.npz", "MI": 1, "age": 300}])
    checked = check_cohort(cohort_named("table"), source, tmp_path / "report", max_unreadable_share=0)
    assert np.isnan(checked.table["age"].iloc[5])
    assert any("f.npz: The file gives age as 300 years" in warning for warning in checked.warnings)


def _in_the_table(tree: Path) -> dict[str, set[str]]:
    """Of LUDB's own table: record -> all findings, in small letters."""
    with (tree / "ludb.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    texts = {
        row["ID"].strip(): [text for name, text in row.items() if name not in ("ID", "Sex", "Age")] for row in rows
    }
    return {
        record: {line.strip().casefold() for text in cells for line in text.splitlines() if line.strip()}
        for record, cells in texts.items()
    }


@pytest.mark.real
def test_ludb_is_read_whole_and_its_labels_are_those_of_its_table(ludb_tree: Path, tmp_path: Path) -> None:
    strict = cohort_named("ludb").records(ludb_tree)
    in_table = _in_the_table(ludb_tree)
    assert set(strict["record_id"]) == set(in_table) and len(in_table) == 200
    for row in strict.to_dict("records"):
        found = in_table[row["record_id"]] - {"pacemaker presence, undefined"}
        assert {code.casefold().removeprefix("rhythm: ") for code in row["codes"].split("; ")} == found
        hypertrophy = {one for one in found if re.search("hypertrophy|atrial overload", one)}
        assert row["HYP"] is bool(hypertrophy) or (not hypertrophy and "left ventricular overload" in found)
        infarcts = {one for one in found if one.startswith(("stemi", "scar"))}
        assert row["MI"] is bool(infarcts) or any(one.startswith("undefined ischemia/scar") for one in found)
        blocks = {one for one in found if re.search("block$|hemiblock|conduction delay", one)}
        # Sinoatrial block and aberrant conduction are none that PTB-XL has a statement for.
        assert bool(blocks) if row["CD"] is True else not blocks
    counts = label_counts(strict).loc["all"]
    assert {name: counts[name, "present"] for name in SUPERCLASSES} == {
        "NORM": 23, "MI": 23, "STTC": 67, "CD": 65, "HYP": 142,
    }  # fmt: skip
    wide = label_counts(cohort_named("ludb", labels="wide").records(ludb_tree)).loc["all"]
    assert {name: wide[name, "present"] for name in SUPERCLASSES} == {
        "NORM": 25, "MI": 37, "STTC": 88, "CD": 65, "HYP": 142,
    }  # fmt: skip
    checked = check_cohort(cohort_named("ludb"), ludb_tree, tmp_path / "report", max_unreadable_share=0)
    assert len(checked.table) == 200 and checked.left_out.empty
    assert checked.measured["limb_leads_uv"].max() < 50
    assert checked.table["age"].notna().all() and set(checked.table["sex"]) == {0, 1}


@pytest.mark.real
def test_the_recordings_of_the_challenge_are_read_or_left_out_with_the_reason(
    challenge_tree: Path, tmp_path: Path
) -> None:
    checked = check_cohort(cohort_named("challenge2021"), challenge_tree, tmp_path / "report", max_unreadable_share=0)
    assert checked.table["source"].value_counts().to_dict() == {
        "Ningbo": 37, "Chapman-Shaoxing": 10, "CPSC-Extra": 10, "CPSC2018": 7, "Georgia": 6,
    }  # fmt: skip
    assert len(checked.left_out) == 49
    assert checked.left_out["reason"].str.startswith("no 12-lead ECG: holds I, II, III").all()
    # Leads of zeros, and the one recording with the wrong gain.
    flat = checked.measured.set_index("record")["flat_leads"].dropna()
    assert set(flat.index) == {"JS11438", "JS45544", "JS45551"}
    georgia = checked.measured.set_index("record").loc["E00015", "largest_mv"]
    believed = cohort_named("challenge2021", georgia_gain="header")
    row = checked.table.set_index("record_id", drop=False).loc["E00015"]
    assert np.abs(believed.read(row).record.signal_mv).max() * 4.88 == pytest.approx(georgia, rel=1e-5)
    counts = checked.counts.loc["all"]
    assert {name: (counts[name, "present"], counts[name, "unknown"]) for name in SUPERCLASSES} == {
        "NORM": (5, 41), "MI": (0, 10), "STTC": (9, 18), "CD": (7, 0), "HYP": (0, 15),
    }  # fmt: skip
