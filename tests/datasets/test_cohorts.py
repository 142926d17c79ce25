"""What every dataset has to be for a model to be scored on it: one contract, whoever made the recordings."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohort_sources import CHALLENGE_CODES, LUDB_FINDINGS, SPH_CODES, TABLE_ROWS, WRITERS, ecg_mv

from leadwise.contract import LEADS, SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import cohort_in, cohort_named, cohorts, datasets
from leadwise.datasets.checks.cohort import check_cohort
from leadwise.datasets.cohort import CohortError, cohort_columns, label_counts
from leadwise.datasets.store import open_store
from leadwise.ecg.formats import ReaderError
from leadwise.ecg.record import Recording
from leadwise.features import asked_names

NAMES = tuple(cohorts())
SMALL = {
    "ludb": len(LUDB_FINDINGS),
    "challenge2021": len(CHALLENGE_CODES),
    "sph": len(SPH_CODES),
    "table": len(TABLE_ROWS),
}
"""Recordings in the small sources of the datasets that nothing is trained on."""


@pytest.fixture(scope="module")
def source_of(tmp_path_factory: pytest.TempPathFactory, simulated_tree: Path) -> Callable[[str], Path]:
    """A small source of a dataset, written once. Read only."""
    folder, made = tmp_path_factory.mktemp("cohorts"), dict[str, Path]()

    def of(name: str) -> Path:
        if name not in made:
            made[name] = WRITERS[name](folder / name, simulated_tree)
        return made[name]

    return of


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_and_is_recognised_by_its_source_alone(
    name: str, source_of: Callable[[str], Path], tmp_path: Path
) -> None:
    one, source = cohort_named(name), source_of(name)
    assert one.name == name
    assert all((one.title, one.citation, one.licence))
    assert one.traps or name in datasets()
    assert all(option.description for option in one.options_type.model_fields.values())
    assert [other.name for other in cohorts().values() if other.is_in(source)] == [name] == [cohort_in(source).name]
    with pytest.raises(CohortError, match=rf"{name}: colour: received 'red'.*options: labels"):
        cohort_named(name, colour="red")
    with pytest.raises(CohortError, match=rf"{name}: labels: received 'loose'"):
        cohort_named(name, labels="loose")
    with pytest.raises(LeadwiseError, match=str(tmp_path)):
        one.records(tmp_path)
    with pytest.raises(CohortError, match=f"{tmp_path}: holds none of the datasets"):
        cohort_in(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_its_table_and_recordings_have_the_form_of_all_others(name: str, source_of: Callable[[str], Path]) -> None:
    one = cohort_named(name)
    table = one.records(source_of(name))
    assert tuple(table) == cohort_columns()
    assert table["record_id"].is_unique and table["record_id"].notna().all()
    assert len(table) == SMALL.get(name, len(table)) > 0
    for column in SUPERCLASSES:
        assert str(table[column].dtype) == "boolean"
    for column in asked_names():
        assert table[column].dtype == np.float64
    for row in table.head(5).to_dict("records"):
        recording = one.read(row)
        signal_mv = recording.record.signal_mv
        assert signal_mv.dtype == np.float32 and signal_mv.shape == (len(signal_mv), len(LEADS))
        assert np.isfinite(signal_mv).all() and 0.2 < np.abs(signal_mv).max() < 20
        assert one.rate_hz() in (None, recording.record.fs_hz)
        assert recording.record.record_id == row["record_id"]
        known = {fact: row[fact] for fact in asked_names() if not pd.isna(row[fact])}
        assert known
        assert {fact: recording.record.patient[fact] for fact in known} == known


@pytest.mark.parametrize("name", SMALL)
def test_it_passes_the_gate_and_every_recording_is_handed_over_once(
    name: str, source_of: Callable[[str], Path], tmp_path: Path
) -> None:
    seen: list[tuple[str, Recording]] = []

    def use(row: Mapping[str, Any], recording: Recording) -> None:
        seen.append((row["record_id"], recording))

    one, source = cohort_named(name), source_of(name)
    checked = check_cohort(one, source, tmp_path / "report", max_unreadable_share=0, use=use)
    assert [record for record, _ in seen] == checked.table["record_id"].tolist()
    assert checked.table["record_id"].tolist() == one.records(source)["record_id"].tolist()
    assert checked.left_out.empty
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "report" / "records.parquet"), checked.table)
    told = json.loads((tmp_path / "report" / "cohort.json").read_text())
    assert told["citation"] == one.citation and told["licence"] == one.licence
    assert told["assumptions"] == list(one.assumptions())
    assert all(sum(states.values()) == len(checked.table) for states in told["counts"]["all"].values())
    assert (tmp_path / "report" / "data_docs" / "cohort_signals.html").is_file()


def test_the_test_fold_is_scored_as_another_hospitals_recordings(
    simulated_tree: Path, simulated_store: Path, tmp_path: Path
) -> None:
    signals: list[np.ndarray] = []
    checked = check_cohort(
        cohort_named("synthetic"),
        simulated_tree,
        tmp_path / "report",
        max_unreadable_share=0,
        split="test",
        use=lambda _, recording: signals.append(recording.record.signal_mv),
    )
    store = open_store(simulated_store)
    rows = store.rows("test")
    records = store.records.iloc[rows]
    assert checked.table["record_id"].tolist() == records["ecg_id"].astype(str).tolist()
    assert checked.table["patient_id"].tolist() == records["patient_id"].astype(str).tolist()
    np.testing.assert_array_equal(checked.table[list(SUPERCLASSES)].to_numpy(dtype=float), store.labels()[rows])
    for name in asked_names():
        np.testing.assert_array_equal(checked.table[name], records[name].astype(float))
    np.testing.assert_allclose(np.stack(signals), store.signals[rows] / 1000, atol=1e-6)
    counts = label_counts(checked.table)
    assert counts.loc["all", ("MI", "present")] == store.labels()[rows][:, 1].sum()
    with pytest.raises(CohortError, match=r"split: received 'fold 10'; there is test, train, validation"):
        check_cohort(
            cohort_named("synthetic"), simulated_tree, tmp_path / "other", max_unreadable_share=0, split="fold 10"
        )


@pytest.mark.parametrize("name", SMALL)
def test_what_is_read_is_what_was_recorded_and_a_file_that_is_gone_is_named(
    name: str, source_of: Callable[[str], Path]
) -> None:
    one = cohort_named(name)
    rows = one.records(source_of(name)).to_dict("records")
    # Files are listed in the order of their names, in which they were written, but for two collections.
    for number, row in enumerate(rows):
        number = list(CHALLENGE_CODES).index(row["record_id"]) if name == "challenge2021" else number
        # SPH stores half precision: 11 bits.
        tolerance = {"rtol": 1e-3, "atol": 1e-4} if name == "sph" else {"atol": 1e-6}
        np.testing.assert_allclose(one.read(row).record.signal_mv, ecg_mv(number), **tolerance)
    with pytest.raises(ReaderError, match=r"nothing\.npz"):
        one.read(rows[0] | {"path": str(Path(rows[0]["path"]).with_name("nothing.npz"))})
