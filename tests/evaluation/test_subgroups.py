"""Subgroups hold the right records, their AUROC is that of scikit-learn on these, and small ones stay silent."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.store import Store
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.subgroups import (
    FEWEST_CASES,
    FEWEST_RECORDS,
    Subgroup,
    SubgroupResult,
    evaluate_subgroups,
    find_subgroups,
    signal_quality,
)

generator = np.random.default_rng(5)
RECORDS = 400
PATIENTS = generator.integers(0, 250, RECORDS)
LABELS = (generator.random((RECORDS, 5)) < 0.3).astype(float)
PROBABILITIES = 1 / (1 + np.exp(-(generator.normal(size=LABELS.shape) + 2 * LABELS - 1)))
WEIGHTS = patient_weights(PATIENTS, 100, 3)


def table(**columns: list[object]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    empty = dict.fromkeys(("sex", "age", "height_cm", "weight_kg", "site"), [np.nan] * rows)
    return pd.DataFrame({**empty, "device": [None] * rows, **columns})


def members(records: pd.DataFrame, quality: pd.DataFrame | None = None) -> dict[tuple[str, str], list[int]]:
    return {(g.kind, g.name): np.flatnonzero(g.members).tolist() for g in find_subgroups(records, quality)}


def evaluate(inside: np.ndarray, labels: np.ndarray = LABELS) -> SubgroupResult:
    return evaluate_subgroups([Subgroup("a", "b", inside)], labels, PROBABILITIES, PATIENTS, WEIGHTS)[0]


def test_records_are_in_the_subgroup_that_they_belong_to() -> None:
    found = members(
        table(
            sex=[0, 1, np.nan, 1],
            age=[49.9, 50, 90, np.nan],
            height_cm=[170, np.nan, 160, np.nan],
            weight_kg=[70, 60, np.nan, np.nan],
        ),
        pd.DataFrame({"noise_uv": [4.9, 5, 15, np.nan], "baseline_mv": [0.29, 0.3, 1.0, 9.0]}),
    )
    assert (found["sex", "male"], found["sex", "female"], found["sex", "unknown"]) == ([0], [1, 3], [2])
    assert (found["age", "under 50"], found["age", "50 to 59"], found["age", "80 and over"]) == ([0], [1], [2])
    assert found["age", "unknown"] == [3]
    assert [found["height and weight", name] for name in ("both known", "weight only", "height only")] == [
        [0],
        [1],
        [2],
    ]
    assert found["height and weight", "neither known"] == [3]
    assert (found["noise", "below 5 uV"], found["noise", "15 uV or more"], found["noise", "unknown"]) == ([0], [2], [3])
    assert found["baseline wander", "1 mV or more"] == [2, 3]
    assert ("age", "60 to 69") not in found


def test_rare_devices_and_sites_go_together() -> None:
    devices = ["CS-12   E"] * FEWEST_RECORDS + ["AT-6 C", "AT-60    3", None]
    found = members(table(device=devices, site=[2.0] * (FEWEST_RECORDS + 3)))
    assert len(found["device", "CS-12 E"]) == FEWEST_RECORDS
    assert found["device", "3 others"] == [FEWEST_RECORDS, FEWEST_RECORDS + 1, FEWEST_RECORDS + 2]
    assert len(found["site", "2"]) == len(devices)
    assert not any(kind == "noise" for kind, _ in found)


def test_every_record_is_in_one_subgroup_of_each_kind(store: Store) -> None:
    records = store.records
    groups = find_subgroups(records, signal_quality(store.folder, records["ecg_id"].tolist()))
    kinds = {group.kind for group in groups}
    assert kinds == {"sex", "age", "height and weight", "noise", "baseline wander", "device", "site"}
    for kind in kinds:
        times = np.sum([group.members for group in groups if group.kind == kind], axis=0)
        assert (times == 1).all(), kind


def test_figures_are_those_of_scikit_learn_on_the_members() -> None:
    inside = generator.random(RECORDS) < 0.5
    found = evaluate(inside)
    expected = roc_auc_score(LABELS[inside], PROBABILITIES[inside], average=None)
    assert [found.found[f"auroc/{name}"].value for name in SUPERCLASSES] == pytest.approx(list(expected))
    macro = found.found["macro_auroc"]
    assert macro.value == pytest.approx(expected.mean())
    assert macro.interval.low < expected.mean() < macro.interval.high
    assert (found.records, found.patients) == (inside.sum(), len(np.unique(PATIENTS[inside])))
    assert found.positives["MI"] == LABELS[inside, 1].sum()
    assert not found.suppressed


def test_a_small_subgroup_is_named_without_figures() -> None:
    found = evaluate(np.arange(RECORDS) < FEWEST_RECORDS - 1)
    assert found.found == {}
    assert found.suppressed["macro_auroc"] == f"{FEWEST_RECORDS - 1} records; {FEWEST_RECORDS} are needed"
    assert found.metrics() == {"test/subgroup/a/b/records": FEWEST_RECORDS - 1}
    assert evaluate(np.arange(RECORDS) < FEWEST_RECORDS).found


@pytest.mark.parametrize("cases", [0, FEWEST_CASES - 1, RECORDS - FEWEST_CASES + 1, RECORDS])
def test_a_class_with_too_few_cases_takes_the_mean_with_it(cases: int) -> None:
    labels = LABELS.copy()
    labels[:, 4] = np.arange(RECORDS) < cases
    found = evaluate(np.ones(RECORDS, dtype=bool), labels)
    assert set(found.found) == {f"auroc/{name}" for name in SUPERCLASSES[:4]}
    assert found.suppressed["macro_auroc"] == found.suppressed["auroc/HYP"]
    assert found.suppressed["auroc/HYP"].startswith(f"{cases} of {RECORDS} records have HYP")
    json.dumps(found.to_dict(), allow_nan=False)


def test_quality_is_that_of_the_record_and_unknown_where_it_was_not_measured(store: Store) -> None:
    ids = [*store.records["ecg_id"].tolist()[:3][::-1], -1]
    found = signal_quality(store.folder, ids)
    assert found is not None
    measured = pd.read_parquet(store.folder / "validation" / "signals.parquet").set_index("ecg_id")
    assert found["noise_uv"].tolist()[:3] == measured.loc[ids[:3], "noise_uv"].tolist()
    assert found.iloc[3].isna().all()
    assert signal_quality(store.folder / "nowhere", ids) is None
