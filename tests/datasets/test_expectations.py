"""Every check of every suite holds at its limit and fails beyond it, naming the rows."""

from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

import pandas as pd
import pytest

from leadwise.datasets.checks.validation import CRITICAL, SUITES, Check, Suite, read_suite, run_suite
from leadwise.datasets.releases import RELEASES

ROWS = 10
COUNTS = {"NORM": 5, "MI": 3, "STTC": 2, "CD": 2, "HYP": 2, "unlabelled": 1}


def column_by_check(name: str, counts: Mapping[str, int]) -> Suite:
    """A suite in which every check has a column of its own, as several may look at one."""
    suite = read_suite(name, "1.0.3", counts, 0.1)
    return suite.model_copy(
        update={"checks": {key: one.model_copy(update={"column": key}) for key, one in suite.checks.items()}}
    )


def of_rows(check: Check) -> tuple[list[Any], Any]:
    """Values that a check of single rows takes, the outermost that it does, and one that it does not."""
    given = check.arguments
    if check.check == "values_to_be_in_set":
        return given["value_set"], "neither" if isinstance(given["value_set"][0], str) else -7
    if check.check == "values_to_be_between":
        low, high = given.get("min_value"), given.get("max_value")
        return [float(one) for one in (low, high) if one is not None], (low - 0.01 if high is None else high + 0.01)
    return {"values_to_be_null": ([None], "what?"), "values_to_not_be_null": (["x"], None)}[check.check]


def of_column(check: Check) -> tuple[list[Any], list[Any]]:
    """A whole column at the limit of a check, and one beyond."""
    given = check.arguments
    if check.check == "values_to_be_unique":
        return list(range(ROWS)), [3] * ROWS
    if check.check == "distinct_values_to_contain_set":
        return list(islice(cycle(given["value_set"]), ROWS)), given["value_set"][:1] * ROWS
    low, high = given.get("min_value"), given.get("max_value")
    limit, beyond = (low, low - 0.01) if high is None else (high, high + 0.01)
    # A mean of one number is that number, without rounding.
    return [limit, *[None] * (ROWS - 1)], [beyond, *[None] * (ROWS - 1)]


def column(check: Check, *, holds: bool) -> list[Any]:
    if check.check.startswith(("distinct", "sum", "mean", "median")) or check.check == "values_to_be_unique":
        return of_column(check)[not holds]
    fine, wrong = of_rows(check)
    allowed = int((1 - check.arguments.get("mostly", 1)) * ROWS + 1e-9)
    count = allowed if holds else allowed + 1
    return [wrong] * count + list(islice(cycle(fine), ROWS - count))


def frame(suite: Suite, *, holds: bool) -> pd.DataFrame:
    table = pd.DataFrame({"record": [f"ecg_id {number}" for number in range(ROWS)]})
    for name, check in suite.checks.items():
        table[name] = pd.Series(column(check, holds=holds))
    return table


@pytest.mark.parametrize("counts", [{}, COUNTS], ids=["unknown release", "known release"])
@pytest.mark.parametrize("name", SUITES)
def test_every_check_holds_at_its_limit_and_fails_beyond_it_with_the_rows_named(
    name: str, counts: Mapping[str, int]
) -> None:
    suite = column_by_check(name, counts)
    assert [str(outcome) for outcome in run_suite(suite, frame(suite, holds=True)) if not outcome.success] == []
    beyond = frame(suite, holds=False)
    for outcome in run_suite(suite, beyond):
        assert not outcome.success, outcome.check
        assert outcome.says in str(outcome)
        if outcome.unexpected is None:
            continue
        values = column(suite.checks[outcome.check], holds=False)
        wrong = values if outcome.unexpected == ROWS else values[: outcome.unexpected]
        assert outcome.value == outcome.unexpected
        assert outcome.records == tuple(f"ecg_id {row}" for row in range(len(wrong)))
        shown = [f"{one:.4g}" if isinstance(one, float) else str(one) for one in wrong]
        told = [f"ecg_id {row}" + ("" if wrong[row] is None else f": {text}") for row, text in enumerate(shown)]
        assert outcome.examples == tuple(told)
        assert told[0] in str(outcome)


def test_what_cannot_be_checked_fails_and_says_why() -> None:
    suite = column_by_check("signals", {})
    (found,) = [one for one in run_suite(suite, frame(suite, holds=True).drop(columns="noise")) if one.check == "noise"]
    assert not found.success
    assert "noise" in str(found)


def test_values_of_the_ingestion_stand_where_they_are_named() -> None:
    labels = read_suite("labels", "1.0.1", RELEASES["1.0.1"], 0.0025).checks
    assert labels["NORM_count"].says == "9,528 records of release 1.0.1 are NORM"
    assert labels["NORM_count"].arguments == {"min_value": 9528, "max_value": 9528}
    assert "NORM_some" not in labels
    # A class without records stops an unknown release.
    assert read_suite("labels", "unknown", {}, 0.0025).checks["HYP_some"].severity == CRITICAL
    left_out = read_suite("signals", "1.0.1", {}, 0.0025).checks["left_out_share"]
    assert left_out.says == "At most 0.250% of the records are absent or unreadable"
    assert left_out.arguments["mostly"] == pytest.approx(0.9975)
