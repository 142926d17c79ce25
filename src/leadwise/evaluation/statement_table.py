"""The statements as Markdown tables: those told to a user with their figures, the others with the reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from leadwise.data.statements import GROUPS

Entry = Mapping[str, Any]

TOLD_HEAD = (
    "| statement | code | group | AUROC, fold 10 | AUPRC | threshold | precision | sensitivity "
    "| records: folds 1-8, 9, 10 |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
SILENT_HEAD = "| not reported | code | AUROC, fold 10 | why |\n|---|---|---|---|"


def statement_tables(content: Mapping[str, Any]) -> str:
    """Two tables under a line with the macro averages.

    Args:
        content: ``StatementResults.to_dict()``, or what ``statements.json`` holds.
    """
    told = [_told_row(entry) for entry in in_order(content["statements"]) if entry["trusted"]]
    silent = [_silent_row(entry) for entry in in_order(content["statements"]) if not entry["trusted"]]
    macro = "; ".join(
        f"{name} {_with_interval(figure)} ({figure['statements']} statements)"
        for name, figure in content["macro_auroc"].items()
    )
    tables = [f"Macro AUROC on fold 10 over the statements that have a positive there: {macro}."]
    if told:
        tables.append("\n".join([TOLD_HEAD, *told]))
    if silent:
        tables.append("\n".join([SILENT_HEAD, *silent]))
    return "\n\n".join(tables) + "\n"


def in_order(statements: Sequence[Entry]) -> list[Entry]:
    """By group, then by AUROC on fold 10, highest first; undefined ones last."""

    def key(entry: Entry) -> tuple[int, float]:
        value = entry["test"]["auroc"]["value"]
        return GROUPS.index(entry["group"]), 1.0 if value is None else -value

    return sorted(statements, key=key)


def _told_row(entry: Entry) -> str:
    test, positives = entry["test"], entry["positives"]
    cells = [
        entry["name"],
        entry["code"],
        entry["group"],
        _with_interval(test["auroc"]),
        _number(test["auprc"]["value"], 3),
        _number(entry["threshold"], 2),
        _number(test["precision"], 2),
        _number(test["sensitivity"], 2),
        f"{positives['train']:,}, {positives['validation']:,}, {positives['test']:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _silent_row(entry: Entry) -> str:
    return f"| {entry['name']} | {entry['code']} | {_with_interval(entry['test']['auroc'])} | {entry['reason']} |"


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None or figure["low"] is None:
        return _number(figure["value"], 3)
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _number(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
