"""The figures of all evaluated models side by side: as JSON, as Markdown, and as text for a terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.contract import SUPERCLASSES, TEST_FOLD
from leadwise.evaluation import MARKDOWN_FILE, METRICS_FILE, SUMMARY_FILE, EvaluationError, write_json
from leadwise.evaluation.metrics import FLOOR, headline_names
from leadwise.models.spec import MODELS
from leadwise.reports.report_page import SIMULATED, duration, number

PROTOCOLS: Mapping[str, str] = {"test": "all rows", "labelled": "labelled rows"}
"""Key in ``summary.json`` -> what it is called: all rows of fold 10 is the headline."""

_TEXT_COLUMNS = ("features", "model", "run")


def write_summary(folder: Path) -> dict[str, Any]:
    """Collect the evaluations of one feature set and write ``summary.json`` and ``summary.md`` beside them.

    Evaluations on other data than the newest one's are left out: their figures cannot be compared.

    Args:
        folder: ``<workspace>/evaluation/<feature set>``, with a folder per evaluated model.

    Raises:
        EvaluationError: no model has been evaluated there.
    """
    files = [folder / name / METRICS_FILE for name in MODELS if (folder / name / METRICS_FILE).is_file()]
    if not files:
        raise EvaluationError(f"{folder}: received no evaluated model; run the evaluate stage first")
    newest = json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text(encoding="utf-8"))
    evaluations = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    summary = {key: newest[key] for key in ("feature_set", "digest", "simulated", "rows", "bootstrap")}
    summary["models"] = [_model(one) for one in evaluations if one["digest"] == newest["digest"]]
    write_json(folder / SUMMARY_FILE, summary)
    write_atomically(folder / MARKDOWN_FILE, results_markdown({summary["feature_set"]: folder / SUMMARY_FILE}))
    return summary


def _model(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("model", "count_params", "seconds", "epochs", "best_epoch", "run_id", "trained_by")
    row: dict[str, Any] = {key: evaluation[key] for key in keys}
    row["auroc"] = {name: evaluation["metrics"].get(f"test/auroc/{name}") for name in SUPERCLASSES}
    for protocol, prefix in (("test", "test/"), ("labelled", "test/labelled/")):
        row[protocol] = {
            name: {
                "value": evaluation["metrics"].get(prefix + name),
                "interval": evaluation["intervals"].get(prefix + name, [None, None]),
            }
            for name in (*headline_names(), FLOOR)
        }
    return row


def terminal_table(summary: Mapping[str, Any]) -> str:
    """The models of one ``summary.json`` on all rows of fold 10 as aligned text; ``summary.md`` says more."""
    rows = [("model", "macro AUROC", *SUPERCLASSES, "accuracy", "trained in", "parameters")]
    for model in summary["models"]:
        found = model["test"]
        rows.append(
            (
                model["model"],
                _with_interval(found["macro_auroc"]),
                *(number(model["auroc"][name], 2) for name in SUPERCLASSES),
                number(found["binary_accuracy"]["value"]),
                duration(model["seconds"]),
                f"{model['count_params']:,}",
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    head, *body = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    floor = number(summary["models"][0]["test"][FLOOR]["value"])
    notes = [
        f"In brackets: 95 % intervals by patient; the columns of classes: AUROC; accuracy at 0.5, of never predicting "
        f"anything {floor}."
    ]
    notes += [SIMULATED] if summary["simulated"] else []
    title = f"{summary['feature_set'].capitalize()} features, {_rows(summary, 'test')}"
    return "\n".join([title, head, "-" * len(head), *body, *notes])


def results_markdown(summaries: Mapping[str, Path]) -> str:
    """Two Markdown tables, all rows and labelled rows, of every model and feature set.

    Args:
        summaries: name of a feature set -> its ``summary.json``, in the order of the rows.

    Raises:
        EvaluationError: a file is absent.
    """
    loaded = []
    for feature_set, file in summaries.items():
        if not file.is_file():
            raise EvaluationError(f"{file}: no summary there; run the evaluate stage with feature-set={feature_set}")
        loaded.append(json.loads(file.read_text(encoding="utf-8")) | {"feature_set": feature_set})
    parts = []
    for protocol, name in PROTOCOLS.items():
        head, *rows = _table(loaded, protocol)
        rule = "|" + "|".join("---" if cell in _TEXT_COLUMNS else "---:" for cell in head) + "|"
        lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
        parts += [f"**{name.capitalize()}**: {_rows(loaded[0], protocol)}.", "\n".join([lines[0], rule, *lines[1:]])]
    parts.append(_note(loaded[0]))
    if any(summary["simulated"] for summary in loaded):
        parts.append(f"**{SIMULATED}**")
    return "\n\n".join(parts) + "\n"


def _table(summaries: Sequence[Mapping[str, Any]], protocol: str) -> list[list[str]]:
    """Head and rows, one a model; what it cost stands in the first table only."""
    costs = ("trained in", "parameters", "run") if protocol == "test" else ()
    rows = [["features", "model", "macro AUROC", "accuracy", "no information", "macro F1", "subset accuracy", *costs]]
    for summary in summaries:
        for model in summary["models"]:
            found = model[protocol]
            names = ("macro_auroc", "binary_accuracy", "macro_f1", "subset_accuracy")
            cells = [_with_interval(found[name]) for name in names]
            cells.insert(2, number(found[FLOOR]["value"]))
            run = f"`{model['run_id'][:8]}`" if model["run_id"] else ""
            cost = [duration(model["seconds"]), f"{model['count_params']:,}", run] if costs else []
            rows.append([summary["feature_set"], f"`{model['model']}`", *cells, *cost])
    return rows


def _rows(summary: Mapping[str, Any], protocol: str) -> str:
    rows = summary["rows"]
    if protocol == "labelled":
        return f"the {rows['test_labelled']:,} records of fold {TEST_FOLD} that have a superclass"
    return f"the {rows['test']:,} records of fold {TEST_FOLD} ({rows['test_patients']:,} patients)"


def _note(summary: Mapping[str, Any]) -> str:
    replicates = summary["bootstrap"]["replicates"]
    return (
        f"In brackets: 95 % intervals, {replicates:,} bootstrap replicates by patient. Decisions at 0.5; "
        f'"no information" is the accuracy of never predicting anything. Data {summary["digest"][:12]}.'
    )


def _with_interval(metric: Mapping[str, Any]) -> str:
    low, high = metric["interval"]
    return f"{number(metric['value'])} [{number(low)}, {number(high)}]"
