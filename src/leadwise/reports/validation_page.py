"""One page that says what was ingested, which checks failed, what was measured, and what was repaired."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadwise.datasets.checks.validation import DOCS_FOLDER, FLAGGED_TABLE, PAGE_FILE, RESULTS_FILE, SIGNALS_TABLE
from leadwise.reports.figures import blank
from leadwise.reports.report_page import Cell, Page, Part, Row, Section, Table, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LISTED = 300
UNITS = {"_mv": "mV", "_mv_per_ms": "mV/ms", "_uv": "µV"}
REPAIRS = {
    "age_300_to_90": "age 300, which means over 89, became 90",
    "age_impossible_to_missing": "impossible age became missing",
    "height_impossible_to_missing": "impossible height became missing",
    "weight_impossible_to_missing": "impossible weight became missing",
    "height_of_adult_to_missing": "height that no adult has became missing",
    "weight_of_adult_to_missing": "weight that no adult has became missing",
    "infarction_stadium1_not_a_stage": "first stage of infarction that is none became missing",
    "infarction_stadium2_not_a_stage": "second stage of infarction that is none became missing",
    "pacemaker_uncertain_to_no": "uncertain pacemaker became none",
}
VERDICTS = {"critical": "What stopped it", "warning": "Warnings"}

BINS = 40
MOST_LIMITS = 120
"""A value of more limits than that stands in the last bar."""
INSIDE, OUTSIDE = "#7A9CC0", "#B3261E"

Outcome = Mapping[str, Any]


def write_validation_page(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """Write ``summary.html`` into the folder of a validation; it loads nothing from elsewhere.

    Args:
        folder: what ``Validation.write_report`` has written.
        manifest: of the store; empty if nothing was written.

    Returns:
        The page.
    """
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    measured = folder / SIGNALS_TABLE
    summary = pd.read_parquet(measured) if measured.is_file() else None
    tally, outcomes = content["tally"], content["outcomes"]
    page = Page(
        title=f"Validation of PTB-XL data: {_verdict(tally)}",
        subtitle=f"Release {content['release']}, from the folder {content['source'].rstrip('/').rpartition('/')[2]}.",
        simulated=bool(manifest.get("simulated", content["release"] == "simulated")),
        tiles={
            "checks that held": f"{tally['passed']:,}",
            "critical checks that failed": f"{tally['failed_critical']:,}",
            "warnings": f"{tally['failed_warning']:,}",
            **{name: f"{manifest[name]:,}" for name in ("records", "patients") if manifest},
            **{name: f"{count:,}" for part in ("splits", "counts") for name, count in manifest.get(part, {}).items()},
        },
        sections=list(_sections(content, outcomes, summary, manifest)),
        footer=[f"Digest of the data: {manifest['digest']}" if manifest else "Nothing was written."],
    )
    page.write(folder / PAGE_FILE)
    return folder / PAGE_FILE


def _verdict(tally: Mapping[str, int]) -> str:
    if critical := tally["failed_critical"]:
        return f"Stopped: {_counted(critical, 'critical check')} failed"
    warnings = tally["failed_warning"]
    return f"Passed, with {_counted(warnings, 'warning')}" if warnings else "Passed"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sections(
    content: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    summary: pd.DataFrame | None,
    manifest: Mapping[str, Any],
) -> Iterator[Section]:
    for severity, title in VERDICTS.items():
        failed = [one for one in outcomes if not one["success"] and one["severity"] == severity]
        yield Section(severity, title, [_outcomes(failed, content["suites"])] if failed else [])
    yield Section("measured", "Measured in the signals", list(_measured(outcomes, summary)))
    yield Section("repaired", "Repaired", list(_repairs(manifest)))
    excluded = [*manifest.get("unreadable", ()), *manifest.get("missing_waveforms", ())]
    yield Section("excluded", f"Left out: {_counted(len(excluded), 'record')}", _excluded(excluded) if manifest else [])
    held = [one for one in outcomes if one["success"]]
    says = Table(("",), [[Cell("every suite, check by check", link=f"{DOCS_FOLDER}/index.html")]])
    more = replace(_outcomes(held, content["suites"]), title=_counted(len(held), "check"), folded=True)
    yield Section("held", "What held", [more, says])


def _outcomes(outcomes: Sequence[Outcome], suites: Mapping[str, Any]) -> Table:
    rows: list[Row] = [
        [
            Cell(outcome["says"], outcome["why"], _examples(outcome)),
            Cell(suites[outcome["suite"]]["title"], outcome["severity"], link=f"{DOCS_FOLDER}/{outcome['suite']}.html"),
            _found(outcome),
        ]
        for outcome in outcomes
    ]
    return Table(("expected", "suite", "found"), rows, style="wrapped")


def _found(outcome: Outcome) -> str:
    if outcome["unexpected"] is None:
        return str(outcome["observed"])
    return f"{outcome['unexpected']:,} of {outcome['rows']:,} do not" if outcome["unexpected"] else "all"


def _examples(outcome: Outcome) -> str:
    more = len(outcome["records"]) > len(outcome["examples"])
    return "; ".join(outcome["examples"]) + (f"; ... ({FLAGGED_TABLE} lists more)" if more else "")


def _measured(outcomes: Sequence[Outcome], summary: pd.DataFrame | None) -> Iterator[Part]:
    """Histograms of every measure that a warning limits."""
    shown = []
    for one in outcomes:
        limits = [one["arguments"][key] for key in ("min_value", "max_value") if key in one["arguments"]]
        unit = next((unit for ending, unit in UNITS.items() if one["column"].endswith(ending)), None)
        if one["suite"] != "signals" or one["severity"] != "warning" or not limits or unit is None or summary is None:
            continue
        values = summary[one["column"]].dropna().to_numpy(dtype=float)
        if len(values):
            shown.append((one["says"], values, limits, unit))
    if shown:
        yield "Recordings by what was measured, counted on a logarithmic scale; red lies beyond the limit."
        yield [drawn(_histograms(shown), "What was measured, and the limits (dashed)")]


def _histograms(shown: Sequence[tuple[str, np.ndarray, Sequence[float], str]]) -> "Figure":
    rows = -(-len(shown) // 3)
    figure = blank(11, 2.3 * rows)
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (title, values, limits, unit) in zip(panels, shown, strict=False):
        draw_histogram(axes, values, limits)
        axes.set_title(title, loc="left", fontsize=8, wrap=True)
        axes.set_xlabel(unit, fontsize=8)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    return figure


def draw_histogram(axes: "Axes", values: np.ndarray, limits: Sequence[float]) -> None:
    """Counts on a logarithmic scale; the upper limit lies between two bars, and those beyond it are red.

    Args:
        axes: to draw into.
        values: ``(record,)``, at least one.
        limits: one or two, the highest above 0.
    """
    highest = max(limits)
    end = min(max(float(values.max()), 1.25 * highest), MOST_LIMITS * highest)
    width = highest / max(1, round(BINS * highest / end))
    edges = np.arange(int(np.ceil(end / width - 1e-9)) + 1) * width
    # A value at the limit is allowed: it belongs to the bar before it, while numpy's bins begin with their edge.
    placed = np.where(values <= highest, np.minimum(values, highest - width / 2), values)
    counts, _ = np.histogram(np.clip(placed, 0, edges[-1]), bins=edges)
    colours = np.where(edges[:-1] < highest - width / 2, INSIDE, OUTSIDE)
    axes.bar(edges[:-1], counts, 0.9 * width, align="edge", color=colours.tolist())
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    for limit in limits:
        axes.axvline(limit, color=OUTSIDE, linestyle="--", linewidth=1)


def _repairs(manifest: Mapping[str, Any]) -> Iterator[Part]:
    counts = manifest.get("repairs", {})
    rows = [[REPAIRS.get(name, name), f"{count:,}"] for name, count in counts.items() if count]
    if rows:
        yield Table(("what", "records"), rows)
    elif manifest:
        yield "Nothing had to be."


def _excluded(excluded: Sequence[Mapping[str, Any]]) -> list[Part]:
    if not excluded:
        return ["None."]
    rows = [[str(row[key]) for key in ("ecg_id", "filename", "reason")] for row in excluded[:MAX_LISTED]]
    more = f"{len(excluded) - MAX_LISTED:,} more: manifest.json lists all" if len(excluded) > MAX_LISTED else ""
    return [Table(("ecg_id", "file", "reason"), rows, more, "wrapped")]
