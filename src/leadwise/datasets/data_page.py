"""One page that says what was ingested, which checks failed, what was measured, and what was repaired."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from leadwise.datasets.histogram import histogram_svg
from leadwise.datasets.page import page

STYLE = """
.verdict{font-size:1.2rem;font-weight:600;padding:.6rem .9rem;border-left:.4rem solid;background:#f5f7f9}
.tiles{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem}.tiles b{display:block;font-size:1.25rem}.tiles div{color:#5b6673}
.tiles b{color:#1d2733;font-variant-numeric:tabular-nums}.why,.examples{color:#5b6673;font-size:.88em}
.examples{overflow-wrap:anywhere}.repairs table{max-width:34rem}summary{cursor:pointer;color:#0b5cad;font-size:.88em}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1rem}figure{margin:0}
figcaption{font-size:.88em;color:#5b6673}
"""
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


def summary_page(content: Mapping[str, Any], manifest: Mapping[str, Any], summary: pd.DataFrame | None) -> str:
    """HTML; it loads nothing from elsewhere.

    Args:
        content: what ``validation.json`` holds.
        manifest: of the store; nearly empty if nothing was written.
        summary: ``Reading.summary``, once the waveforms were read.
    """
    outcomes = content["outcomes"]
    failed = [one for one in outcomes if not one["success"]]
    name = content["source"].rstrip("/").rpartition("/")[2]
    body = [
        f"<p class='sub'>Release {escape(content['release'])}, from the folder {escape(name)}. ",
        "<a href='data_docs/index.html'>Data Docs</a></p>",
        _verdict(content["tally"]),
        *_data_section(manifest),
    ]
    for severity, heading in (("critical", "What stopped it"), ("warning", "Warnings")):
        if some := [one for one in failed if one["severity"] == severity]:
            body += [f"<h2>{heading}</h2>", _outcomes(some, content["suites"])]
    body += [
        *_figures_section(outcomes, summary),
        *_repairs_section(manifest),
        *_excluded_section(manifest),
        f"<h2>What held</h2><details><summary>{_counted(content['tally']['passed'], 'check')}</summary>",
        _outcomes([one for one in outcomes if one["success"]], content["suites"]),
        "</details>",
    ]
    return page("Validation of PTB-XL data", "".join(body), STYLE)


def _verdict(tally: Mapping[str, int]) -> str:
    critical, warnings = tally["failed_critical"], tally["failed_warning"]
    kind = "critical" if critical else "warning" if warnings else "held"
    says = (
        f"Stopped: {_counted(critical, 'critical check')} failed"
        if critical
        else "Passed"
        if not warnings
        else f"Passed, with {_counted(warnings, 'warning')}"
    )
    return f"<p class='verdict {kind}'>{says}.</p><p class='sub'>{_counted(tally['passed'], 'check')} held.</p>"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    header = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{header}</tr>' if header else ''}{lines}</table>" if lines else "<p>None.</p>"


def _data_section(manifest: Mapping[str, Any]) -> list[str]:
    if "records" not in manifest:
        return ["<p>Nothing was written.</p>"]
    counts = {"records": manifest["records"], "patients": manifest["patients"], **manifest["splits"]}
    tiles = "".join(f"<div><b>{count:,}</b>{escape(name)}</div>" for name, count in counts.items())
    classes = "".join(f"<div><b>{count:,}</b>{escape(name)}</div>" for name, count in manifest["counts"].items())
    digest = f"<p class='sub'>Digest {escape(manifest['digest'])}</p>"
    return [f"<div class='tiles'>{tiles}</div><br><div class='tiles'>{classes}</div>", digest]


def _outcomes(outcomes: Sequence[Mapping[str, Any]], suites: Mapping[str, Any]) -> str:
    rows = []
    for one in outcomes:
        mark = "held" if one["success"] else one["severity"]
        title = suites[one["suite"]]["title"]
        link = f"<a href='data_docs/{one['suite']}.html'>{escape(title)}</a>"
        mark += f" <span class='why'>{one['severity']}</span>" if one["success"] else ""
        says = f"{escape(one['says'])}<div class='why'>{escape(one['why'])}</div>"
        rows.append(
            [
                f"<td class='mark {'held' if one['success'] else mark}'>{mark}</td><td>{link}</td>",
                f"<td>{says}{_examples(one)}</td><td class='n'>{escape(_found(one))}</td>",
            ]
        )
    return _table(rows, ("", "suite", "expected", "found"))


def _found(outcome: Mapping[str, Any]) -> str:
    if outcome["unexpected"] is None:
        return str(outcome["observed"])
    return f"{outcome['unexpected']:,} of {outcome['rows']:,} do not" if outcome["unexpected"] else "all"


def _examples(outcome: Mapping[str, Any]) -> str:
    names, examples = outcome["records"], outcome["examples"]
    if not examples:
        return ""
    text = "; ".join(example.removeprefix("ecg_id ") for example in examples)
    kind = "ecg_id " if examples[0].startswith("ecg_id ") else ""
    shown = f"<div class='examples'>{escape(kind + text)}</div>"
    if len(names) <= len(examples):
        return shown
    listed = ", ".join(name.removeprefix("ecg_id ") for name in names[:MAX_LISTED])
    more = outcome["unexpected"] - min(len(names), MAX_LISTED)
    rest = f" and {more:,} more (flagged.csv)" if more > 0 else ""
    head = f"<summary>all {outcome['unexpected']:,}</summary>"
    return f"{shown}<details>{head}<div class='examples'>{escape(listed)}{rest}</div></details>"


def _figures_section(outcomes: Sequence[Mapping[str, Any]], summary: pd.DataFrame | None) -> list[str]:
    """A histogram of every measure that a warning limits."""
    figures = []
    for one in outcomes:
        limits = [one["arguments"][key] for key in ("min_value", "max_value") if key in one["arguments"]]
        unit = next((unit for ending, unit in UNITS.items() if one["column"].endswith(ending)), None)
        if one["suite"] != "signals" or one["severity"] != "warning" or not limits or unit is None or summary is None:
            continue
        values = summary[one["column"]].dropna().to_numpy(dtype=float)
        if len(values):
            figures.append(histogram_svg(values, limits, unit, one["says"]))
    note = (
        "<p class='sub'>Recordings by what was measured, counted on a logarithmic scale; red lies beyond the limit.</p>"
    )
    return (
        ["<h2>Measured in the signals</h2>", note, f"<div class='figures'>{''.join(figures)}</div>"] if figures else []
    )


def _repairs_section(manifest: Mapping[str, Any]) -> list[str]:
    if "repairs" not in manifest:
        return []
    rows = [
        [f"<td>{escape(REPAIRS.get(name, name))}</td><td class='n'>{count:,}</td>"]
        for name, count in manifest["repairs"].items()
        if count
    ]
    return ["<h2>Repaired</h2><div class='repairs'>", _table(rows, ("what", "records")), "</div>"]


def _excluded_section(manifest: Mapping[str, Any]) -> list[str]:
    if "unreadable" not in manifest:
        return []
    excluded = [*manifest["unreadable"], *manifest["missing_waveforms"]]
    rows = [
        [f"<td>{row['ecg_id']}</td><td>{escape(row['filename'])}</td><td>{escape(row['reason'])}</td>"]
        for row in excluded[:MAX_LISTED]
    ]
    more = (
        f"<p>and {len(excluded) - MAX_LISTED:,} more: manifest.json lists all</p>" if len(excluded) > MAX_LISTED else ""
    )
    return [f"<h2>Left out: {_counted(len(excluded), 'record')}</h2>", _table(rows, ("ecg_id", "file", "reason")), more]
