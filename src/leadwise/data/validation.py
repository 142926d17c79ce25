"""The gate between the files and everything else: checks run, reported, and obeyed.

Importing this module is cheap; Great Expectations (five seconds) is imported when the first suite runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LeadwiseError
from leadwise.data.data_docs import write_data_docs
from leadwise.data.expectations import CRITICAL, Suite, read_suite, suite_values
from leadwise.data.frames import file_frame, fold_frame, label_frame, schema_frame, signal_frame, table_frame
from leadwise.data.ingest_metrics import RESULTS_FILE
from leadwise.data.outcomes import Outcome, run_suite
from leadwise.data.report import summary_page
from leadwise.data.tables import RELEASES, Tables

PAGE_FILE = "summary.html"
SIGNALS_TABLE = "signals.parquet"
FLAGGED_TABLE = "flagged.csv"
DOCS_FOLDER = "data_docs"

MEASURES = ("largest_mv", "steepest_mv_per_ms", "baseline_mv", "hum_uv", "noise_uv", "limb_leads_uv")
QUANTILES = {"median": 0.5, "p99": 0.99, "max": 1.0}


class ValidationFailed(LeadwiseError):
    """A critical check failed; the message lists each with counts and examples, and names the report."""

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
        self._results: dict[str, tuple[Suite, Any]] = {}
        self._tables: Tables | None = None
        self._summary: pd.DataFrame | None = None

    def check_tables(self, tables: Tables, not_as_listed: Sequence[str] | None = None) -> None:
        """Run the suites that need no waveforms: ``files``, ``schema``, ``table``, ``labels`` and ``folds``.

        Args:
            tables: what to check.
            not_as_listed: tables whose bytes are not those that the tree's checksum list has; None: it has no list.
        """
        self._tables = tables
        self._run("files", file_frame(tables, not_as_listed or ()), is_listed=not_as_listed is not None)
        self._run("schema", schema_frame(tables))
        self._run("table", table_frame(tables))
        self._run("labels", label_frame(tables))
        self._run("folds", fold_frame(tables))

    def check_signals(self, summary: pd.DataFrame, max_unreadable_share: float) -> None:
        """Run the suite ``signals`` over ``Reading.summary``."""
        self._summary = summary
        self._run("signals", signal_frame(summary, self._tables), max_unreadable_share)

    def _run(self, name: str, frame: pd.DataFrame, max_unreadable_share: float = 0, *, is_listed: bool = False) -> None:
        counts = RELEASES.get(self.release, {})
        values = suite_values(self.release, counts, max_unreadable_share, is_listed=is_listed)
        suite = read_suite(name, values)
        outcomes, result = run_suite(suite, frame)
        self._results[name] = suite, result
        self.outcomes += outcomes

    def tally(self) -> dict[str, int]:
        """Expectations that held, and that failed by severity."""
        return _tally(self.outcomes)

    def stop_if_critical(self, folder: Path) -> None:
        """Raise ``ValidationFailed`` if a critical check failed, after writing the report to ``folder``."""
        failures = [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == CRITICAL]
        if failures:
            with folder_written_atomically(folder) as beside:
                self.write_report(beside, {"release": self.release})
            raise ValidationFailed(self.source, failures, folder, self.tally())

    def write_report(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write everything that was found.

        ``validation.json``, every outcome; ``summary.html``, one page to read; ``flagged.csv``, every row that breaks
        a check; ``data_docs/``, the pages of Great Expectations; and, once the waveforms were read,
        ``signals.parquet``, what was measured in each.
        """
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "source": str(self.source),
            "release": self.release,
            "tally": self.tally(),
            "suites": {
                name: {"title": suite.title} | _tally([one for one in self.outcomes if one.suite == name])
                for name, (suite, _) in self._results.items()
            },
            "measures": _measures(self._summary),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }
        (folder / RESULTS_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / PAGE_FILE).write_text(summary_page(content, manifest, self._summary), encoding="utf-8")
        flagged = [
            (name, outcome.suite, outcome.check, outcome.severity)
            for outcome in self.outcomes
            for name in outcome.records
        ]
        table = pd.DataFrame(flagged, columns=["record", "suite", "check", "severity"])
        table.to_csv(folder / FLAGGED_TABLE, index=False)
        if self._summary is not None:
            self._summary.to_parquet(folder / SIGNALS_TABLE, index=False)
        write_data_docs(self._results, folder / DOCS_FOLDER, self.release)


def _tally(outcomes: Sequence[Outcome]) -> dict[str, int]:
    failed = [outcome.severity for outcome in outcomes if not outcome.success]
    critical = failed.count(CRITICAL)
    return {
        "passed": len(outcomes) - len(failed),
        "failed_critical": critical,
        "failed_warning": len(failed) - critical,
    }


def _measures(summary: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Median, 99th percentile and largest of what was measured in the signals."""
    if summary is None or not summary[MEASURES[0]].notna().any():
        return {}
    return {
        name: {label: float(summary[name].quantile(share)) for label, share in QUANTILES.items()} for name in MEASURES
    }
