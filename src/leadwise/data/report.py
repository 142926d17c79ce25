"""One page that says what was ingested, which checks failed, and what was repaired."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
p.sub{color:#5b6673;margin-top:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid #dde3ea;text-align:left;
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.mark{font-weight:600;white-space:nowrap}.critical{color:#b3261e}.warning{color:#8a5a00}.held{color:#1e6b3a}
.examples{color:#5b6673;font-size:.88em;overflow-wrap:anywhere}
"""


def summary_page(content: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """HTML of ``validation.json`` and what the manifest adds to it; it loads nothing from elsewhere."""
    tally = content["tally"]
    stopped = tally["failed_critical"] > 0
    verdict = (
        f"<span class='critical'>Stopped: {tally['failed_critical']} critical</span>"
        if stopped
        else "<span class='held'>No critical failure</span>"
    )
    heading = f"{verdict}, {tally['failed_warning']} warnings, {tally['passed']} expectations held"
    body = [
        "<h1>Validation of PTB-XL data</h1>",
        f"<p class='sub'>Release {escape(content['release'])} from {escape(content['source'])}</p>",
        f"<p><b>{heading}.</b></p>",
        *_data_section(manifest),
        "<h2>Failed</h2>",
        _outcomes(outcome for outcome in content["outcomes"] if not outcome["success"]),
        *_repairs_section(manifest),
        *_excluded_section(manifest),
        "<h2>Held</h2>",
        _outcomes(outcome for outcome in content["outcomes"] if outcome["success"]),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Leadwise: validation</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    header = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{header}</tr>' if header else ''}{lines}</table>" if lines else "<p>None.</p>"


def _data_section(manifest: Mapping[str, Any]) -> list[str]:
    if "records" not in manifest:
        return ["<p>Nothing was written.</p>"]
    counts = {"records": manifest["records"], "patients": manifest["patients"], **manifest["counts"]}
    head = [escape(name) for name in (*counts, *manifest["splits"])]
    cells = [f"<td>{value:,}</td>" for value in (*counts.values(), *manifest["splits"].values())]
    digest = f"<p class='sub'>Digest {escape(manifest['digest'])}</p>"
    return ["<h2>Data</h2>", _table([cells], head), digest]


def _outcomes(outcomes: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for outcome in outcomes:
        mark = "held" if outcome["success"] else outcome["severity"]
        found = outcome["observed"] or "all"
        if outcome["unexpected"] is not None:
            found = f"{outcome['unexpected']:,} of {outcome['rows']:,} do not" if outcome["unexpected"] else "all"
        examples = "; ".join(outcome["examples"])
        note = f"<br><span class='examples'>{escape(examples)}</span>" if examples else ""
        rows.append(
            [
                f"<td class='mark {mark}'>{mark}</td><td>{outcome['suite']}</td>",
                f"<td>{escape(outcome['says'])}{note}</td><td class='n'>{escape(str(found))}</td>",
            ]
        )
    return _table(rows, ("", "suite", "expectation", "found"))


def _repairs_section(manifest: Mapping[str, Any]) -> list[str]:
    repairs = manifest.get("repairs", {})
    rows = [[f"<td>{escape(name)}</td><td class='n'>{count:,}</td>"] for name, count in repairs.items() if count]
    return ["<h2>Repaired</h2>", _table(rows, ("repair", "records"))] if repairs else []


def _excluded_section(manifest: Mapping[str, Any]) -> list[str]:
    excluded = [*manifest.get("unreadable", ()), *manifest.get("missing_waveforms", ())]
    rows = [
        [f"<td>{row['ecg_id']}</td><td>{escape(row['filename'])}</td><td>{escape(row['reason'])}</td>"]
        for row in excluded
    ]
    return ["<h2>Left out</h2>", _table(rows, ("ecg_id", "file", "reason"))] if rows else []
