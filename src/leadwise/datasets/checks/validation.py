"""The gate between the files and everything else: checks run, reported, and obeyed.

A suite of checks is read from ``suites/*.yaml`` and turned into Great Expectations. A critical check that fails stops
the pipeline; a warning is counted and listed. Every check says in one sentence what it asks for, and why;
``docs/validation.md`` is written from them.

Importing this module is cheap; Great Expectations (five seconds) is imported when the first suite runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field

from leadwise.atomic import folder_written_atomically
from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.cohort import Cohort

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Severity = Literal["critical", "warning"]
CRITICAL: Severity = "critical"
SUITES: tuple[str, ...] = ("files", "schema", "table", "labels", "folds", "signals", "cohort", "cohort_signals")


class Check(BaseModel):
    """One check of a suite.

    Attributes:
        says: what is expected, as a sentence.
        why: what would go wrong otherwise.
        severity: ``critical`` stops the pipeline, ``warning`` is counted and listed.
        column: the column of the frame that is looked at.
        check: what is asked of it, as Great Expectations names it without ``expect_column_``.
        arguments: ``with`` in the file: the limits, as Great Expectations names them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: str
    why: str
    severity: Severity
    column: str
    check: str
    arguments: dict[str, Any] = Field(default={}, alias="with")

    def expectation(self, name: str) -> "Expectation":
        """The same as an object of Great Expectations, which carries the check's short name."""
        import great_expectations.expectations as gxe

        kind = getattr(gxe, "ExpectColumn" + self.check.title().replace("_", ""))
        about = {"description": f"{self.says}.", "meta": {"check": name}}
        return kind(column=self.column, severity=self.severity, **about, **self.arguments)


class Suite(BaseModel):
    """A suite for one ingestion: its checks by their short names, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    about: str
    checks: dict[str, Check]


def read_suite(
    name: str, release: str, counts: Mapping[str, int], max_unreadable_share: float, *, is_listed: bool = True
) -> Suite:
    """Read ``suites/<name>.yaml``, a Jinja template that names the other arguments, and ``superclasses``.

    Args:
        name: one of ``SUITES``.
        release: of the dataset.
        counts: what must be counted in this release; empty where that is not known.
        max_unreadable_share: share of the records that may be missing.
        is_listed: whether the tree has a list of checksums.
    """
    from jinja2 import Environment, StrictUndefined

    text = (files("leadwise.datasets.checks") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
    values = {"release": release, "counts": counts, "max_unreadable_share": max_unreadable_share}
    values |= {"is_listed": is_listed, "superclasses": SUPERCLASSES}
    rendered = Environment(undefined=StrictUndefined).from_string(text).render(values)
    return Suite(name=name, **yaml.safe_load(rendered))


MAX_EXAMPLES = 10
MAX_RECORDS = 1000
"""Names kept of what does not fit a check; a check that more rows break is about all of them."""
PAGE_FILE, RESULTS_FILE, DOCS_FOLDER = "summary.html", "validation.json", "data_docs"
SIGNALS_TABLE, FLAGGED_TABLE = "signals.parquet", "flagged.csv"
MEASURES = ("largest_mv", "steepest_mv_per_ms", "baseline_mv", "hum_uv", "noise_uv", "limb_leads_uv")
QUANTILES = {"median": 0.5, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Outcome:
    """What came of one check; ``says`` to ``arguments`` as in ``Check``.

    Attributes:
        suite: the suite that it belongs to.
        check: its short name there.
        unexpected: rows that do not fit; None where it is about the whole column.
        rows: rows looked at.
        observed: what was found, where it is about the whole column, or what stopped the check.
        value: the same as a number, or ``unexpected``; None where there is no number.
        examples: the first rows that do not fit: name, and what stands there.
        records: names of the rows that do not fit, ``MAX_RECORDS`` at most.
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
        success=bool(result.success),
        unexpected=unexpected,
        rows=rows,
        observed=observed,
        value=value if unexpected is None else float(unexpected),
        examples=tuple(_example(row, check.column) for row in bad[:MAX_EXAMPLES]),
        records=tuple(str(row["record"]) for row in bad[:MAX_RECORDS]),
        **check.model_dump(exclude={"check"}),
    )


def _observed(found: Mapping[str, Any], exception_info: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """What was found about a whole column: as text, and as a number where it is one."""
    if not found:
        return "; ".join(str(info.get("exception_message")) for info in exception_info.values())[:300], None
    if absent := found.get("partial_missing_list"):
        return f"no {', '.join(map(readable, absent))}", None
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
        return ", ".join(map(readable, value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1000 else f"{number:.7g}"
    return str(value)


class ValidationFailed(LeadwiseError):
    """A critical check failed; the message lists each with counts and examples, and names the report."""

    def __init__(self, source: Path, failures: Sequence[Outcome], report: Path, page: str) -> None:
        count = f"{len(failures)} critical expectation{'s' if len(failures) > 1 else ''} failed"
        lines = "\n".join(f"  - {failure}" for failure in failures)
        super().__init__(f"{source}: {count}; nothing was written\n{lines}\nreport: {report / page}")
        self.failures, self.report = tuple(failures), report


class Validation:
    """The checks of one ingestion, collected as they run.

    Attributes:
        outcomes: of every check, in order.
        measured: what was measured of each recording, ``MEASURES`` among it, once they were read.
    """

    def __init__(
        self, source: Path, release: str, dataset: Cohort, *, has_summary: bool = True, runs: bool = True
    ) -> None:
        """``has_summary``: whoever runs the checks writes ``PAGE_FILE`` beside the report; ``runs``: they are made."""
        self.source, self.release, self.dataset = source, release, dataset
        self.has_summary, self.runs = has_summary, runs
        self.outcomes: list[Outcome] = []
        self.measured: pd.DataFrame | None = None
        self._suites: dict[str, Suite] = {}

    def check(
        self, name: str, frame: pd.DataFrame, max_unreadable_share: float = 0, *, is_listed: bool = False
    ) -> None:
        """Run a suite over a frame, whose column ``record`` names the rows."""
        if not self.runs:
            return
        counts = self.dataset.known_counts(self.release)
        self._suites[name] = read_suite(name, self.release, counts, max_unreadable_share, is_listed=is_listed)
        self.outcomes += run_suite(self._suites[name], frame)

    def tally(self, suite: str = "") -> dict[str, int]:
        """Expectations that held, and that failed by severity, of one suite or all."""
        of = [one for one in self.outcomes if suite in ("", one.suite)]
        failed = [one.severity for one in of if not one.success]
        critical = failed.count(CRITICAL)
        passed = len(of) - len(failed)
        return {"passed": passed, "failed_critical": critical, "failed_warning": len(failed) - critical}

    def stop_if_critical(self, folder: Path) -> None:
        """Raise ``ValidationFailed`` if a critical check failed, after writing the report to ``folder``."""
        failures = [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == CRITICAL]
        if failures:
            with folder_written_atomically(folder) as beside:
                self.write_report(beside)
            page = PAGE_FILE if self.has_summary else f"{DOCS_FOLDER}/index.html"
            raise ValidationFailed(self.source, failures, folder, page)

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
            "suites": {name: {"title": suite.title} | self.tally(name) for name, suite in self._suites.items()},
            "measures": _measures(self.measured),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }
        (folder / RESULTS_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        flagged = [(name, one.suite, one.check, one.severity) for one in self.outcomes for name in one.records]
        table = pd.DataFrame(flagged, columns=["record", "suite", "check", "severity"])
        table.to_csv(folder / FLAGGED_TABLE, index=False)
        if self.measured is not None:
            self.measured.to_parquet(folder / SIGNALS_TABLE, index=False)
        self._write_docs(folder / DOCS_FOLDER, content["suites"])

    def _write_docs(self, folder: Path, suites: object) -> None:
        """A page per suite and one that lists them; they load nothing, and are the same for the same data."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        template, about = environment.get_template("data_docs.html"), f"{self.dataset.title} {self.release}"
        folder.mkdir()
        for name, suite in self._suites.items():
            outcomes = [one for one in self.outcomes if one.suite == name]
            page = template.render(title=f"{suite.title}: {about}", suite=suite, outcomes=outcomes)
            (folder / f"{name}.html").write_text(page, encoding="utf-8")
        summary = PAGE_FILE if self.has_summary else ""
        page = template.render(title=f"Data Docs: {about}", suite=None, suites=suites, summary=summary)
        (folder / "index.html").write_text(page, encoding="utf-8")


def _measures(summary: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Median, 99th percentile and largest of what was measured in the signals."""
    if summary is None or not summary[MEASURES[0]].notna().any():
        return {}
    return {
        name: {label: float(summary[name].quantile(share)) for label, share in QUANTILES.items()} for name in MEASURES
    }


def manifest_metrics(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Records by class and split, repairs, records left out, and files that are not as their checksum list says."""
    inputs = manifest["inputs"]
    groups = {
        "records": {"all": manifest["records"], **manifest["counts"], **manifest["splits"]},
        "repairs": manifest["repairs"],
        "left_out": {name: len(manifest[name]) for name in ("unreadable", "missing_waveforms")},
        "inputs": {name: inputs[name] for name in ("files", "not_listed")},
    }
    groups["inputs"]["not_as_listed"] = len(inputs["not_as_listed"])
    counts = {f"ingest/{group}/{name}": float(count) for group, of in groups.items() for name, count in of.items()}
    return {"ingest/patients": float(manifest["patients"])} | counts


def _results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    return content


def validation_metrics(folder: Path) -> dict[str, float]:
    """What a report says in numbers, named so that two ingestions can be compared.

    ``ingest/expectations/<suite>/passed`` counts checks, ``ingest/<suite>/<check>`` is the rows that do not fit or the
    number that was found, ``ingest/measures/<measure>/<median, p99 or max>`` describes all recordings.
    """
    content = _results(folder)
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
    content = _results(folder)
    failed = [f"{one['suite']}/{one['check']}" for one in content["outcomes"] if not one["success"]]
    verdict = "stopped" if content["tally"]["failed_critical"] else "warnings" if failed else "clean"
    return {"validation.verdict": verdict, "validation.failed": ", ".join(failed)[:4000] or "none"}


def validation_warnings(folder: Path) -> list[str]:
    """The warnings of a report, one line each."""
    outcomes = [Outcome(**one) for one in _results(folder)["outcomes"]]
    return [str(one) for one in outcomes if not one.success and one.severity != CRITICAL]
