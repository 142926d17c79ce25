"""The Data Docs of Great Expectations as pages that load nothing from elsewhere.

Its own pages take their style sheets and scripts from content networks and carry random ids and the time of the run.
Here its renderers make the sections, and a page with a small style sheet of its own holds them: readable offline, and
the same for the same data.
"""

import re
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.datasets.checks.expectations import CRITICAL, WARNING, Suite

MAX_VALUES = 20
"""Unexpected values shown of a check; ``flagged.csv`` names every record."""
INDEX_FILE = "index.html"

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2.2rem}a{color:#0b5cad}
p.sub{color:#5b6673;margin-top:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid #dde3ea;text-align:left;
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.mark{font-weight:600;white-space:nowrap}.critical{color:#b3261e}.warning{color:#8a5a00}.held{color:#1e6b3a}
.row{display:block}th{white-space:nowrap}.alert{border-bottom:2px solid #1d2733;margin-top:2rem}
h5{font-size:1.05rem;margin:0 0 .2rem}h6{font-size:.95rem;margin:.6rem 0 0}
table{font-size:.92em;width:auto;min-width:50%}table table{min-width:0;margin:.5rem 0}
.section-overview table{min-width:20rem}.text-danger{color:#b3261e}.text-success{color:#1e6b3a}
i.fa-times::after{content:"\\2717";font-style:normal;font-weight:700}
i.fa-check-circle::after{content:"\\2713";font-style:normal;font-weight:700}
i.fa-exclamation-triangle::after{content:"!";font-style:normal;font-weight:700}
.collapse,[id$=collapse-body]{display:none}td div{max-width:44rem;overflow-wrap:anywhere}
"""


def write_data_docs(
    results: Mapping[str, tuple[Suite, Any]], folder: Path, of: str, summary: str = "../summary.html"
) -> None:
    """Write a page per suite and ``index.html``.

    Args:
        results: suite name -> the suite, and the result of Great Expectations.
        folder: where to write.
        of: what the data are, such as ``PTB-XL 1.0.3``.
        summary: address of the summary, to be linked; empty where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (suite, result) in results.items():
        body = f"<p class='sub'><a href='{INDEX_FILE}'>Data Docs</a> · {escape(suite.about)}</p>{_sections(result)}"
        title = f"{suite.title}: {of}"
        (folder / f"{name}.html").write_text(page(title, body), encoding="utf-8")
        held = sum(bool(one.success) for one in result.results)
        failed = {one.expectation_config.severity for one in result.results if not one.success}
        mark = CRITICAL if CRITICAL in failed else WARNING if failed else "held"
        rows.append(
            f"<tr><td><a href='{name}.html'>{escape(suite.title)}</a></td><td>{escape(suite.about)}</td>"
            f"<td class='n {mark}'>{held} of {len(result.results)} held</td></tr>"
        )
    link = f"<a href='{summary}'>Summary</a> · " if summary else ""
    body = (
        f"<p class='sub'>{link}every expectation, what it asked for and what it "
        f"found</p><table><tr><th>suite</th><th>looks at</th><th></th></tr>{''.join(rows)}</table>"
    )
    (folder / INDEX_FILE).write_text(page(f"Data Docs: {of}", body), encoding="utf-8")


def page(title: str, body: str, style: str = "") -> str:
    """An HTML page; ``body`` is HTML, ``title`` is text."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{STYLE}{style}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def _sections(result: Any) -> str:
    """The sections of a validation result as Great Expectations renders them, without links, scripts and random ids."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    result.meta = {"great_expectations_version": result.meta["great_expectations_version"]}
    for one in result.results:
        one.result = _shown(one.result)
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(result)
    html = "".join(
        _view().render({"section": section.to_json_dict(), "section_loop": {"index": number}})
        # The last one, where run_info_at_end has put it, describes a run of Great Expectations; there is none.
        for number, section in enumerate(document.sections[:-1], start=1)
    )
    html = re.sub(r"<(script|style)\b.*?</\1>|<(?:link|img)\b[^>]*>", "", html, flags=re.DOTALL)
    html = re.sub(r"<p class=\"m-0\">\s*<a data-toggle=\"collapse\".*?</p>", "", html, flags=re.DOTALL)
    html = re.sub(r"<a\b[^>]*>(.*?)</a>", r"\1", html, flags=re.DOTALL)
    html = html.replace("Data asset: None<br>", "")
    html = re.sub(r"\{[^{}]*'record': '([^'{}]*)'\}", r"\1", html)
    html = re.sub(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", html)
    return re.sub(r"\s*\n\s*", "\n", html)


@cache
def _view() -> Any:
    """One for all pages: each new one compiles the same templates again, which takes longer than to fill them."""
    from great_expectations.render.view import DefaultJinjaSectionView

    return DefaultJinjaSectionView()


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a page shows of a result: the first of what is unexpected, and numbers that its renderers understand."""
    shown: dict[str, Any] = {}
    for name, value in found.items():
        if name in ("unexpected_index_query", "partial_unexpected_index_list"):
            continue
        shown[name] = _plain(value[:MAX_VALUES] if isinstance(value, list) else value)
    if "unexpected_percent_total" in shown:
        # The pages call it a share of all rows; without this it is one of those that are not empty.
        shown["unexpected_percent"] = shown["unexpected_percent_total"]
    return shown


def _plain(value: Any) -> Any:
    """Python's own numbers, rounded; text as HTML, as the templates take text of the data for markup."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return escape(value, quote=False)
    if isinstance(value, np.generic):
        value = value.item()
    return round(value, 4) if isinstance(value, float) else value
