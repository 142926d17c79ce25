"""The gate between the files and everything else: Great Expectations run, reported, and obeyed.

Importing this module is cheap; Great Expectations (five seconds) is imported when the first suite runs.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LeadwiseError
from leadwise.data import expectations
from leadwise.data.expectations import CRITICAL
from leadwise.data.frames import fold_frame, label_frame, signal_frame, table_frame
from leadwise.data.report import summary_page
from leadwise.data.tables import Tables

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

RESULTS_FILE = "validation.json"
PAGE_FILE = "summary.html"
MAX_EXAMPLES = 10


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation.

    Attributes:
        suite: ``table``, ``labels``, ``folds`` or ``signals``.
        says: what was expected, as a sentence.
        severity: ``critical`` or ``warning``.
        success: whether it held.
        unexpected: rows that do not fit; None where it is about the whole column.
        rows: rows looked at.
        observed: what was found, where it is about the whole column, or what stopped the check.
        examples: the first rows that do not fit: id, and what stands there.
        expectation: its type in Great Expectations, and ``arguments``, what it was given.
    """

    suite: str
    says: str
    severity: str
    success: bool
    unexpected: int | None
    rows: int
    observed: str | None
    examples: tuple[str, ...]
    expectation: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        if self.unexpected is None:
            return f"{self.suite}: {self.says}: found {self.observed}"
        examples = f" ({'; '.join(self.examples)})" if self.examples else ""
        return f"{self.suite}: {self.says}: {self.unexpected:,} of {self.rows:,} do not{examples}"


class ValidationFailed(LeadwiseError):
    """A critical expectation failed; the message lists each with counts and example ids, and names the report."""

    def __init__(self, source: Path, failures: Sequence[Outcome], report: Path, tally: Mapping[str, int]) -> None:
        count = f"{len(failures)} critical expectation{'s' if len(failures) > 1 else ''} failed"
        lines = "\n".join(f"  - {failure}" for failure in failures)
        super().__init__(f"{source}: {count}; nothing was written\n{lines}\nreport: {report / PAGE_FILE}")
        self.failures = tuple(failures)
        self.report = report
        self.tally = dict(tally)


class Validation:
    """The checks of one ingestion, collected as they run."""

    def __init__(self, source: Path, release: str) -> None:
        self.source, self.release = source, release
        self.outcomes: list[Outcome] = []

    def check_tables(self, tables: Tables) -> None:
        """Run the suites that need no waveforms: ``table``, ``labels`` and ``folds``."""
        self.outcomes += run_suite("table", expectations.table_suite(), table_frame(tables))
        self.outcomes += run_suite("labels", expectations.label_suite(self.release), label_frame(tables))
        self.outcomes += run_suite("folds", expectations.fold_suite(), fold_frame(tables))

    def check_signals(self, summary: pd.DataFrame, max_unreadable_share: float) -> None:
        """Run the suite ``signals`` over ``Reading.summary``."""
        suite = expectations.signal_suite(max_unreadable_share)
        self.outcomes += run_suite("signals", suite, signal_frame(summary))

    def tally(self) -> dict[str, int]:
        """Expectations that held, and that failed by severity."""
        failed = [outcome.severity for outcome in self.outcomes if not outcome.success]
        return {
            "passed": len(self.outcomes) - len(failed),
            "failed_critical": failed.count(CRITICAL),
            "failed_warning": len(failed) - failed.count(CRITICAL),
        }

    def stop_if_critical(self, folder: Path) -> None:
        """Raise ``ValidationFailed`` if a critical expectation failed, after writing the report to ``folder``."""
        failures = [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == CRITICAL]
        if failures:
            with folder_written_atomically(folder) as beside:
                self.write_report(beside, {"source": str(self.source), "release": self.release})
            raise ValidationFailed(self.source, failures, folder, self.tally())

    def write_report(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write ``validation.json``, every outcome, and ``summary.html``, one page to read."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "source": str(self.source),
            "release": self.release,
            "tally": self.tally(),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }
        (folder / RESULTS_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
        (folder / PAGE_FILE).write_text(summary_page(content, manifest), encoding="utf-8")


def run_suite(name: str, suite: "Sequence[Expectation]", frame: pd.DataFrame) -> list[Outcome]:
    """Validate a frame; its column ``record`` names the rows. In the order of the suite."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("ptbxl").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    results = batch.validate(
        gx.ExpectationSuite(name=name, expectations=list(suite)),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["record"]},
    )
    outcomes = [_outcome(name, result, len(frame)) for result in results.results]
    order = {expectation.description: place for place, expectation in enumerate(suite)}
    return sorted(outcomes, key=lambda outcome: order[outcome.says])


def _outcome(suite: str, result: Any, rows: int) -> Outcome:
    config, found = result.expectation_config, result.result
    column = config.kwargs.get("column", "")
    observed = found.get("observed_value")
    if absent := found.get("partial_missing_list"):
        observed = f"no {_readable(absent)}"
    if not found:
        observed = "; ".join(str(info.get("exception_message")) for info in result.exception_info.values())[:300]
    examples = [] if result.success else found.get("unexpected_index_list") or []
    return Outcome(
        suite=suite,
        says=str(config.description),
        severity=str(getattr(config.severity, "value", config.severity)),
        success=bool(result.success),
        unexpected=int(found["unexpected_count"]) if "unexpected_count" in found else None,
        rows=rows,
        observed=None if observed is None else _readable(observed),
        examples=tuple(_example(example, column) for example in examples[:MAX_EXAMPLES]),
        expectation=config.type,
        arguments={key: value for key, value in config.kwargs.items() if key != "batch_id"},
    )


def _example(example: Mapping[str, Any], column: str) -> str:
    record = str(example["record"])
    name = record if record.startswith(("fold", "without")) else f"ecg_id {record}"
    value = example.get(column)
    return name if value is None or pd.isna(value) else f"{name}: {_readable(value)[:150]}"


def _readable(value: Any) -> str:
    if isinstance(value, list | set | tuple):
        return ", ".join(_readable(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
