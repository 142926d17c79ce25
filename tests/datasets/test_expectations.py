"""Every check of every suite holds at its limit and fails beyond it, naming the row."""

from collections.abc import Mapping

import pandas as pd
import pytest
import yaml

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.checks.expectations import (
    CRITICAL,
    SUITES,
    SuiteError,
    parse_suite,
    read_suite,
    suite_values,
)
from leadwise.datasets.checks.validation import Outcome, run_suite
from leadwise.datasets.store import SPLIT_FOLDS
from leadwise.datasets.tables import HEIGHT_CM, RELEASES, WEIGHT_KG
from leadwise.features import FEATURES

MAX_AGE = FEATURES["age"].high
STAGES = FEATURES["infarction_stadium1"].codes
ROWS = 10
COUNTS = {"NORM": 5, "MI": 3, "STTC": 2, "CD": 2, "HYP": 2, "unlabelled": 1}

GOOD: Mapping[str, Mapping[str, object]] = {
    "files": {"not_as_listed": None, "written_otherwise": None},
    "schema": dict.fromkeys(["absent", "unknown", "wrong_kind", "statements_missing"]),
    "table": {
        **dict.fromkeys(
            ["not_a_number", "impossible_fact", "outside_the_tree", "unreadable_statements", "unknown_statements"]
        ),
        "ecg_id": range(ROWS),
        "patient_id": 7.0,
        "filename": [f"a/{number}" for number in range(ROWS)],
        "strat_fold": [1.0, 10.0] * 5,
        "split": ["train", "validation", "test", "train", "train"] * 2,
        **dict.fromkeys(["splits_of_patient", "folds_of_patient", "sexes_of_patient"], 1),
        "sex": [0.0, 1.0] * 5,
        "age_or_hidden": [0.0, MAX_AGE] * 5,
        "age_is_known": 0.951,
        "height_is_known": 0.25,
        "weight_is_known": 0.35,
        "height": [*map(float, HEIGHT_CM), 170.0, *[None] * 7],
        "weight": [*map(float, WEIGHT_KG), 70.0, 80.0, *[None] * 6],
        "adult_bmi": [12.0, 60.0, *[None] * 8],
        "pacemaker": ["ja, pacemaker", None] * 5,
        "infarction_stadium1": [*STAGES, None, None, None, None],
        "infarction_stadium2": [*STAGES, None, None, None, None],
    },
    "labels": {
        **{name: [1] * count + [0] * (ROWS - count) for name, count in COUNTS.items()},
        "unlabelled": 0,
        "NORM_and_other": 0,
        "NORM_and_MI": 0,
    },
    "folds": {
        "share": [0.05, 0.2] * 5,
        **dict.fromkeys(SUPERCLASSES, 4.0),
        **{f"{name}_records": 1 for name in SUPERCLASSES},
    },
    "signals": {
        "status": ["read"] * (ROWS - 1) + ["read"],
        "missing_samples": 0,
        "largest_mv": [0.2, 10.0, 5, 5, 5, 5, 5, 5, 5, 5],
        "steepest_mv_per_ms": 0.6,
        **dict.fromkeys(["flat_leads", "clipped_leads", "limb_reversal", "chest_reversal", "same_as"]),
        "same_as_elsewhere": None,
        "baseline_mv": 5.0,
        "hum_uv": 25.0,
        "noise_uv": 40.0,
        "limb_leads_uv": 50.0,
        "augmented_leads_uv": 50.0,
    },
    "cohort": {
        "record_id": [f"r{number}" for number in range(ROWS)],
        "path": [f"a/{number}" for number in range(ROWS)],
        **dict.fromkeys(["absent_file", "unknown_codes", "fact_problems"]),
        "labels_known": 1,
        "norm_and_other": 0,
        "age": [0.0, 120.0] * 5,
        "sex": [0.0, 1.0] * 5,
        "age_is_known": 0.5,
        "patient_id": "p",
        "splits_of_patient": 1,
    },
    "cohort_signals": {
        "status": "read",
        **dict.fromkeys(["other_rate", "scaled_leads", "flat_leads", "clipped_leads"]),
        **dict.fromkeys(["limb_reversal", "chest_reversal", "same_as"]),
        "seconds": [10.0, 60.0] * 5,
        "largest_mv": [0.2, 10.0, 5, 5, 5, 5, 5, 5, 5, 5],
        "filled_samples": 0,
        "baseline_mv": 5.0,
        "limb_leads_uv": 50.0,
        "augmented_leads_uv": 50.0,
    },
}
"""Frames at the limit of every check."""

BAD: Mapping[str, Mapping[str, tuple[object, object]]] = {
    "files": dict.fromkeys(GOOD["files"], ("in another way", "in another way")),
    "schema": dict.fromkeys(GOOD["schema"], ("wrong", "wrong")),
    "table": {
        **dict.fromkeys(
            ("not_a_number", "impossible_fact", "outside_the_tree", "unreadable_statements"), ("what?", "what?")
        ),
        "unknown_statements": ("WAT", "WAT"),
        "patient_id": (None, None),
        "splits_of_patient": (2, 2),
        "folds_of_patient": (2, 2),
        "sexes_of_patient": (2, 2),
        "pacemaker": ("PACE????, nan", "PACE????, nan"),
        "infarction_stadium1": ("Stadium IX", "Stadium IX"),
        "infarction_stadium2": ("stadium i", "stadium i"),
        "adult_bmi": (11.9, 60.1),
    },
    "labels": {},
    "folds": {"share": (0.049, 0.21), **dict.fromkeys(SUPERCLASSES, (-4.1, 4.1))},
    "signals": {
        "status": ("missing: a/3.dat does not exist", "unreadable: checksum"),
        "missing_samples": (1, 2),
        "largest_mv": (0.19, 10.1),
        "steepest_mv_per_ms": (0.61, 2),
        "flat_leads": ("V5", "II, III"),
        "clipped_leads": ("V2", "V3"),
        "limb_reversal": ("LA-RA", "LA-LL"),
        "chest_reversal": ("V1-V2", "V1-V3"),
        "same_as": ("ecg_id 2", "ecg_id 2"),
        "same_as_elsewhere": ("ecg_id 2 (test)", "ecg_id 2 (test)"),
        "baseline_mv": (5.1, 9),
        "hum_uv": (25.1, 60),
        "noise_uv": (40.1, 60),
        "limb_leads_uv": (50.1, 900),
        "augmented_leads_uv": (50.1, 900),
    },
    "cohort": {
        "absent_file": ("a/3 does not exist", "a/4 does not exist"),
        "unknown_codes": ("251238007", "6180003"),
        "norm_and_other": (1, 1),
        "patient_id": (None, None),
        "splits_of_patient": (2, 2),
    },
    "cohort_signals": {
        "status": ("leads: missing V1", "signal: is a flat line in every lead"),
        "other_rate": ("250 Hz, not 500", "100 Hz, not 500"),
        "seconds": (9.9, 60.1),
        "scaled_leads": ("all 12 leads span 1 mV", "all 12 leads span 2 mV"),
        "filled_samples": (1, 2),
        "clipped_leads": ("V2", "V3"),
        "baseline_mv": (5.1, 9),
        "limb_leads_uv": (50.1, 900),
        "augmented_leads_uv": (50.1, 900),
        "limb_reversal": ("LA-RA", "LA-LL"),
        "chest_reversal": ("V1-V2", "V1-V3"),
        "same_as": ("2", "2"),
    },
}
"""What rows 3 and 4 hold instead, one beyond each limit."""

WHOLE: Mapping[str, Mapping[str, object]] = {
    "table": {
        "ecg_id": [None, *[3] * 9],
        "filename": [None, *["a/3"] * 9],
        "strat_fold": [None, 0.0, 11.0, *[1.0] * 7],
        "split": "train",
        "sex": [None, 2.0, -1.0, *[0.0] * 7],
        "age_or_hidden": [None, -1.0, MAX_AGE + 1.0, *[50.0] * 7],
        "age_is_known": 0.949,
        "height_is_known": 0.24,
        "weight_is_known": 0.34,
        "height": [HEIGHT_CM[0] - 0.1, HEIGHT_CM[1] + 0.1, *[None] * 8],
        "weight": [WEIGHT_KG[0] - 0.1, WEIGHT_KG[1] + 0.1, 70.0, *[None] * 7],
    },
    "labels": {
        **{name: [1] * 8 + [0] * 2 for name in SUPERCLASSES},
        "unlabelled": 1,
        "NORM_and_other": 1,
        "NORM_and_MI": 1,
    },
    "folds": {f"{name}_records": [0, *[1] * 9] for name in SUPERCLASSES},
    "signals": {"largest_mv": [5.1, 5.1, 5.1, 0.19, 10.1, *[5.1] * 5]},
    "cohort": {
        "record_id": [None, *["3"] * 9],
        "path": ["a/3"] * ROWS,
        "labels_known": [0] * 6 + [1] * 4,
        "age": [-1.0, 121.0, *[50.0] * 8],
        "sex": [2.0, -1.0, *[0.0] * 8],
        "fact_problems": ["age is what?"] * 3 + [None] * 7,
        "age_is_known": 0.49,
    },
    "cohort_signals": {
        "largest_mv": [5.1, 5.1, 5.1, 0.19, 10.1, *[5.1] * 5],
        "flat_leads": ["V5"] * 3 + [None] * 7,
    },
}
"""Columns that are wrong as a whole."""


def frame(columns: Mapping[str, object]) -> pd.DataFrame:
    table = pd.DataFrame({"record": [f"ecg_id {number}" for number in range(ROWS)]})
    for name, values in columns.items():
        table[name] = pd.Series([values] * ROWS if values is None else values, index=table.index)
        if values is None:
            table[name] = table[name].astype(object)
    return table


def outcomes(name: str, columns: Mapping[str, object], counts: Mapping[str, int] | None = None) -> dict[str, Outcome]:
    suite = read_suite(name, suite_values("1.0.3", counts or {}, 0.1))
    return {outcome.check: outcome for outcome in run_suite(suite, frame(columns))}


def broken(name: str) -> dict[str, object]:
    columns = dict(GOOD[name])
    for column, (third, fourth) in BAD[name].items():
        good = list(frame({column: GOOD[name][column]})[column])
        columns[column] = [*good[:3], third, fourth, *good[5:]]
    return columns | WHOLE.get(name, {})


@pytest.mark.parametrize("name", SUITES)
def test_every_check_holds_at_its_limit(name: str) -> None:
    found = outcomes(name, GOOD[name], COUNTS | {"unlabelled": 0} if name == "labels" else None)
    assert [str(outcome) for outcome in found.values() if not outcome.success] == []


@pytest.mark.parametrize("name", SUITES)
def test_every_check_fails_beyond_its_limit_and_names_the_rows(name: str) -> None:
    found = outcomes(name, broken(name), COUNTS if name == "labels" else None)
    assert [check for check, outcome in found.items() if outcome.success] == []
    for outcome in found.values():
        assert outcome.says in str(outcome)
        if outcome.unexpected is not None:
            assert outcome.value == outcome.unexpected == len(outcome.records)
            assert all(record in "; ".join(outcome.examples) for record in outcome.records[:10])
            assert outcome.examples[0] in str(outcome)
    for column, (third, fourth) in BAD[name].items():
        for outcome in found.values():
            if outcome.column == column and outcome.unexpected == 2 and third is not None:
                shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in (third, fourth)]
                assert outcome.examples == (f"ecg_id 3: {shown[0]}", f"ecg_id 4: {shown[1]}")


def test_a_class_without_records_stops_an_unknown_release() -> None:
    found = outcomes("labels", GOOD["labels"] | {"HYP": 0})
    assert not found["HYP_some"].success
    assert found["HYP_some"].severity == CRITICAL
    assert found["MI_some"].success


def test_what_cannot_be_checked_fails_and_says_why() -> None:
    signals = {name: values for name, values in GOOD["signals"].items() if name != "noise_uv"}
    found = outcomes("signals", signals)["noise"]
    assert not found.success
    assert "noise_uv" in str(found)


def test_the_suites_say_what_the_code_repairs_and_splits() -> None:
    checks = read_suite("table", suite_values("1.0.3", {}, 0.1)).checks
    limits = {
        name: (check.arguments.get("min_value"), check.arguments.get("max_value")) for name, check in checks.items()
    }
    assert limits["height_range"] == HEIGHT_CM
    assert limits["weight_range"] == WEIGHT_KG
    assert limits["age_range"] == (0, MAX_AGE)
    assert checks["all_splits"].arguments["value_set"] == list(SPLIT_FOLDS)
    for stage in ("stage_1_known", "stage_2_known"):
        assert checks[stage].arguments["value_set"] == list(STAGES)


def test_values_of_the_ingestion_stand_where_they_are_named() -> None:
    values = suite_values("1.0.1", RELEASES["1.0.1"], 0.0025)
    labels = read_suite("labels", values).checks
    assert labels["NORM_count"].says == "9,528 records of release 1.0.1 are NORM"
    assert labels["NORM_count"].arguments == {"min_value": 9528, "max_value": 9528}
    assert "NORM_some" not in labels
    left_out = read_suite("signals", values).checks["left_out_share"]
    assert left_out.says == "At most 0.250% of the records are absent or unreadable"
    assert left_out.arguments["mostly"] == pytest.approx(0.9975)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": "fatal"}, "severity"),
        ({"check": "values_to_be_nice"}, "check"),
        ({"limit": 3}, "limit"),
        ({"says": "{unheard_of}"}, "unheard_of"),
        ({"when": "unheard_of"}, "unheard_of"),
    ],
)
def test_a_suite_that_is_not_written_right_is_refused(change: dict[str, object], message: str) -> None:
    check = {"says": "x", "why": "y", "severity": "warning", "column": "z", "check": "values_to_be_null"} | change
    text = yaml.safe_dump({"title": "T", "about": "A", "checks": {"one": check}})
    with pytest.raises(SuiteError, match=rf"signals\.yaml.*{message}"):
        parse_suite("signals", text, suite_values("1.0.3", {}, 0.1))


@pytest.mark.parametrize("text", ["", "[]", "title: 3", "checks: {one: {}}", "{"])
def test_a_file_that_is_no_suite_is_refused(text: str) -> None:
    with pytest.raises(SuiteError, match=r"signals\.yaml"):
        parse_suite("signals", text, {})
