"""One suite, run by Great Expectations over a frame: what came of each check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadwise.data.expectations import Suite

MAX_EXAMPLES = 10
MAX_RECORDS = 1000
"""Names kept of what does not fit a check; a check that more rows break is about all of them."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        suite: the suite that it belongs to.
        check: its short name there.
        says: what was expected, as a sentence.
        why: what would go wrong otherwise.
        severity: ``critical`` or ``warning``.
        success: whether it held.
        unexpected: rows that do not fit; None where it is about the whole column.
        rows: rows looked at.
        observed: what was found, where it is about the whole column, or what stopped the check.
        value: the same as a number, or ``unexpected``; None where there is no number.
        examples: the first rows that do not fit: name, and what stands there.
        records: names of the rows that do not fit, ``MAX_RECORDS`` at most.
        column: the column looked at.
        arguments: the limits, as Great Expectations names them.
    """

    suite: str
    check: str
    says: str
    why: str
    severity: str
    success: bool
    unexpected: int | None
    rows: int
    observed: str | None
    value: float | None
    examples: tuple[str, ...]
    records: tuple[str, ...]
    column: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        if self.unexpected is None:
            return f"{self.suite}: {self.says}: found {self.observed}"
        shown = "; ".join(self.examples) + ("; ..." if self.unexpected > len(self.examples) else "")
        examples = f" ({shown})" if self.examples else ""
        return f"{self.suite}: {self.says}: {self.unexpected:,} of {self.rows:,} do not{examples}"


def run_suite(suite: Suite, frame: pd.DataFrame) -> tuple[list[Outcome], Any]:
    """Check a frame, whose column ``record`` names the rows.

    Returns:
        The outcomes in the order of the suite, and the result as Great Expectations gives it.
    """
    source = _data_source()
    import great_expectations as gx

    asset = source.add_dataframe_asset(suite.name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = [check.expectation(name) for name, check in suite.checks.items()]
    result = batch.validate(
        gx.ExpectationSuite(name=suite.name, expectations=expectations),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["record"]},
    )
    by_check = {one.expectation_config.meta["check"]: one for one in result.results}
    return [_outcome(suite, name, by_check[name], len(frame)) for name in suite.checks], result


def _data_source() -> Any:
    """A place for frames in a context of its own, which holds nothing on disk."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_pandas("ptbxl")


def _outcome(suite: Suite, name: str, result: Any, rows: int) -> Outcome:
    check, found = suite.checks[name], result.result
    observed, value = _observed(found, result.exception_info)
    unexpected = int(found["unexpected_count"]) if "unexpected_count" in found else None
    bad = [] if result.success else found.get("unexpected_index_list") or []
    return Outcome(
        suite=suite.name,
        check=name,
        says=check.says,
        why=check.why,
        severity=check.severity,
        success=bool(result.success),
        unexpected=unexpected,
        rows=rows,
        observed=observed,
        value=value if unexpected is None else float(unexpected),
        examples=tuple(_example(row, check.column) for row in bad[:MAX_EXAMPLES]),
        records=tuple(str(row["record"]) for row in bad[:MAX_RECORDS]),
        column=check.column,
        arguments=check.arguments,
    )


def _observed(found: Mapping[str, Any], exception_info: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """What was found about a whole column: as text, and as a number where it is one."""
    if not found:
        return "; ".join(str(info.get("exception_message")) for info in exception_info.values())[:300], None
    if absent := found.get("partial_missing_list"):
        return f"no {readable(absent)}", None
    observed = found.get("observed_value")
    number = float(observed) if isinstance(observed, int | float | np.number) else np.nan
    return None if observed is None else readable(observed), number if np.isfinite(number) else None


def _example(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    name = str(row["record"])
    return name if value is None or pd.isna(value) else f"{name}: {readable(value)[:150]}"


def readable(value: Any) -> str:
    """A value, or several, as a reader expects them."""
    if isinstance(value, list | set | tuple):
        return ", ".join(readable(item) for item in value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1000 else f"{number:.7g}"
    return str(value)
