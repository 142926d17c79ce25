"""The gate between the files and everything else: checks run, reported, and obeyed.

Importing this module is cheap; Great Expectations (five seconds) is imported when the first suite runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LeadwiseError
from leadwise.datasets.base import Dataset, DatasetTables
from leadwise.datasets.checks.expectations import CRITICAL, Suite, read_suite, suite_values
from leadwise.datasets.checks.frames import signal_frame
from leadwise.datasets.cohort import Cohort

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
        return f"{self.suite}: {self.says}: {self.found}"

    @property
    def found(self) -> str:
        """What was found, as a reader expects it."""
        if self.unexpected is None:
            return f"found {self.observed}"
        shown = "; ".join(self.examples) + ("; ..." if self.unexpected > len(self.examples) else "")
        examples = f" ({shown})" if self.examples else ""
        return f"{self.unexpected:,} of {self.rows:,} do not{examples}"


def run_suite(suite: Suite, frame: pd.DataFrame) -> list[Outcome]:
    """Check a frame, whose column ``record`` names the rows; the outcomes in the order of the suite."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # A context of its own holds nothing on disk.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("ptbxl").add_dataframe_asset(suite.name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = [check.expectation(name) for name, check in suite.checks.items()]
    result = batch.validate(
        gx.ExpectationSuite(name=suite.name, expectations=expectations),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["record"]},
    )
    by_check = {one.expectation_config.meta["check"]: one for one in result.results}
    return [_outcome(suite, name, by_check[name], len(frame)) for name in suite.checks]


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


RESULTS_FILE = "validation.json"


def manifest_metrics(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Records by class and split, repairs, records left out, and files that are not as their checksum list says."""
    groups = {
        "records": {"all": manifest["records"], **manifest["counts"], **manifest["splits"]},
        "repairs": manifest["repairs"],
        "left_out": {name: len(manifest[name]) for name in ("unreadable", "missing_waveforms")},
        "inputs": {
            "files": manifest["inputs"]["files"],
            "not_listed": manifest["inputs"]["not_listed"],
            "not_as_listed": len(manifest["inputs"]["not_as_listed"]),
        },
    }
    counts = {f"ingest/{group}/{name}": float(count) for group, of in groups.items() for name, count in of.items()}
    return {"ingest/patients": float(manifest["patients"])} | counts


def validation_metrics(folder: Path) -> dict[str, float]:
    """What a report says in numbers, named so that two ingestions can be compared.

    ``ingest/expectations/<suite>/passed`` counts checks, ``ingest/<suite>/<check>`` is the rows that do not fit or the
    number that was found, ``ingest/measures/<measure>/<median, p99 or max>`` describes all recordings.
    """
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    metrics = {f"ingest/expectations/{name}": float(count) for name, count in content["tally"].items()}
    for suite, tally in content["suites"].items():
        counts = {name: count for name, count in tally.items() if name != "title"}
        metrics |= {f"ingest/expectations/{suite}/{name}": float(count) for name, count in counts.items()}
    for outcome in content["outcomes"]:
        if outcome["value"] is not None:
            metrics[f"ingest/{outcome['suite']}/{outcome['check']}"] = outcome["value"]
    for measure, values in content["measures"].items():
        metrics |= {f"ingest/measures/{measure}/{label}": value for label, value in values.items()}
    return metrics


def validation_tags(folder: Path) -> dict[str, str]:
    """The verdict of a report: ``stopped``, ``warnings`` or ``clean``, and the checks that failed."""
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    failed = [f"{one['suite']}/{one['check']}" for one in content["outcomes"] if not one["success"]]
    verdict = "stopped" if content["tally"]["failed_critical"] else "warnings" if failed else "clean"
    return {"validation.verdict": verdict, "validation.failed": ", ".join(failed)[:4000] or "none"}


def validation_warnings(folder: Path) -> list[str]:
    """The warnings of a report, one line each."""
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    outcomes = [Outcome(**one) for one in content["outcomes"] if not one["success"] and one["severity"] != CRITICAL]
    return [str(outcome) for outcome in outcomes]


PAGE_FILE = "summary.html"
SIGNALS_TABLE = "signals.parquet"
FLAGGED_TABLE = "flagged.csv"
DOCS_FOLDER = "data_docs"
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.4rem .6rem;border-bottom:1px solid #dde3ea;text-align:left;
vertical-align:top;overflow-wrap:anywhere}td:nth-child(2),td:nth-child(3){white-space:nowrap}
"""

MEASURES = ("largest_mv", "steepest_mv_per_ms", "baseline_mv", "hum_uv", "noise_uv", "limb_leads_uv")
QUANTILES = {"median": 0.5, "p99": 0.99, "max": 1.0}


class ValidationFailed(LeadwiseError):
    """A critical check failed; the message lists each with counts and examples, and names the report."""

    def __init__(
        self,
        source: Path,
        failures: Sequence[Outcome],
        report: Path,
        tally: Mapping[str, int],
        page: str = PAGE_FILE,
    ) -> None:
        count = f"{len(failures)} critical expectation{'s' if len(failures) > 1 else ''} failed"
        lines = "\n".join(f"  - {failure}" for failure in failures)
        super().__init__(f"{source}: {count}; nothing was written\n{lines}\nreport: {report / page}")
        self.failures = tuple(failures)
        self.report = report
        self.tally = dict(tally)


class Validation:
    """The checks of one ingestion, collected as they run."""

    def __init__(
        self, source: Path, release: str, dataset: Cohort, *, has_summary: bool = True, runs: bool = True
    ) -> None:
        """``has_summary``: whoever runs the checks writes ``PAGE_FILE`` beside the report; ``runs``: they are made."""
        self.source, self.release, self.dataset, self.has_summary = source, release, dataset, has_summary
        self.runs = runs
        self.outcomes: list[Outcome] = []
        self._suites: dict[str, Suite] = {}
        self._summary: pd.DataFrame | None = None

    def check_tables(self, tables: DatasetTables, not_as_listed: Sequence[str] | None = None) -> None:
        """Run the suites of the dataset that need no waveforms.

        Args:
            tables: what to check.
            not_as_listed: tables whose bytes are not those that the tree's checksum list has; None: it has no list.
        """
        if not isinstance(self.dataset, Dataset):
            raise TypeError(f"{self.dataset.name} has no tables of a dataset that is trained on")
        for name, frame in self.dataset.frames(tables, not_as_listed or ()).items():
            self.check(name, frame, is_listed=not_as_listed is not None)

    def check_signals(self, summary: pd.DataFrame, max_unreadable_share: float, folds: pd.Series) -> None:
        """Run the suite ``signals`` over ``Reading.summary``; ``folds`` are the records' by ``ecg_id``."""
        self.measured(summary)
        self.check("signals", signal_frame(summary, folds), max_unreadable_share)

    def measured(self, summary: pd.DataFrame) -> None:
        """Keep what was measured of each recording, ``MEASURES`` among it, for the report."""
        self._summary = summary

    def check(
        self, name: str, frame: pd.DataFrame, max_unreadable_share: float = 0, *, is_listed: bool = False
    ) -> None:
        """Run a suite over a frame, whose column ``record`` names the rows."""
        if not self.runs:
            return
        counts = self.dataset.known_counts(self.release)
        values = suite_values(self.release, counts, max_unreadable_share, is_listed=is_listed)
        self._suites[name] = read_suite(name, values)
        self.outcomes += run_suite(self._suites[name], frame)

    def tally(self) -> dict[str, int]:
        """Expectations that held, and that failed by severity."""
        return _tally(self.outcomes)

    def stop_if_critical(self, folder: Path) -> None:
        """Raise ``ValidationFailed`` if a critical check failed, after writing the report to ``folder``."""
        failures = [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == CRITICAL]
        if failures:
            with folder_written_atomically(folder) as beside:
                self.write_report(beside)
            page = PAGE_FILE if self.has_summary else f"{DOCS_FOLDER}/index.html"
            raise ValidationFailed(self.source, failures, folder, self.tally(), page)

    def write_report(self, folder: Path) -> None:
        """Write everything that was found.

        ``validation.json``, every outcome; ``flagged.csv``, every row that breaks a check; ``data_docs/``, a page
        per suite; and, once the waveforms were read, ``signals.parquet``, what was measured in each.
        """
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "source": str(self.source),
            "release": self.release,
            "tally": self.tally(),
            "suites": {
                name: {"title": suite.title} | _tally([one for one in self.outcomes if one.suite == name])
                for name, suite in self._suites.items()
            },
            "measures": _measures(self._summary),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }
        (folder / RESULTS_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        flagged = [
            (name, outcome.suite, outcome.check, outcome.severity)
            for outcome in self.outcomes
            for name in outcome.records
        ]
        table = pd.DataFrame(flagged, columns=["record", "suite", "check", "severity"])
        table.to_csv(folder / FLAGGED_TABLE, index=False)
        if self._summary is not None:
            self._summary.to_parquet(folder / SIGNALS_TABLE, index=False)
        self._write_docs(folder / DOCS_FOLDER)

    def _write_docs(self, folder: Path) -> None:
        """A page per suite and one that lists them; they load nothing, and are the same for the same data."""
        folder.mkdir()
        index = []
        for name, suite in self._suites.items():
            outcomes = [one for one in self.outcomes if one.suite == name]
            rows = [
                (f"{one.says}. Why: {one.why}", one.severity, "held" if one.success else "failed", one.found)
                for one in outcomes
            ]
            about = f'<p><a href="index.html">All suites</a> · {escape(suite.about)}</p>'
            header = ("expected", "severity", "", "found")
            page = _page(f"{suite.title}: {self.dataset.title} {self.release}", about, header, rows)
            (folder / f"{name}.html").write_text(page, encoding="utf-8")
            index.append((f"{name}.html", suite.title, f"{_tally(outcomes)['passed']} of {len(outcomes)} held"))
        links = "".join(f'<li><a href="{file}">{escape(title)}</a>: {held}</li>' for file, title, held in index)
        summary = f'<p><a href="../{PAGE_FILE}">Summary</a></p>' if self.has_summary else ""
        about = f"{summary}<ul>{links}</ul>"
        page = _page(f"Data Docs: {self.dataset.title} {self.release}", about, (), ())
        (folder / "index.html").write_text(page, encoding="utf-8")


def _page(title: str, about: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML page with a table; ``about`` is HTML, all else is text."""
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    heads = "".join(f"<th>{escape(name)}</th>" for name in header)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>\n'
        f"<h1>{escape(title)}</h1>\n{about}\n<table><tr>{heads}</tr>\n{lines}</table></html>\n"
    )


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
