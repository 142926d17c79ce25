"""The report's section on disturbed recordings."""

from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.evaluation.robustness import MACRO
from leadwise.pages.report_page import Cell, More, Pictures, Row, Section, Table, Text, estimate, picture, signed

if TYPE_CHECKING:
    from leadwise.evaluation.estimate import Estimate
    from leadwise.evaluation.evaluation import Evaluation


def robustness_section(evaluation: "Evaluation", figures: Path) -> Section:
    """What is left of the macro AUROC when recordings are disturbed; empty where that was not measured."""
    found = evaluation.robustness
    if found is None:
        return Section("robustness", "Robustness", [])
    undisturbed, mean = _cell(found.undisturbed[MACRO]), _cell(found.mean())
    says = (
        f"{found.records:,} records drawn from the fold, disturbed in {len(found.curves)} ways of rising strength. "
        f"Macro AUROC undisturbed {undisturbed.value} ({undisturbed.interval}), as the mean over all disturbances "
        f"{mean.value} ({mean.interval})."
    )
    if found.left_out:
        says += f" Without {', '.join(found.left_out)}, of which these records have too few."
    rows = []
    for curve in found.curves:
        rows.append(Row([Cell(f"{curve.title}, {curve.unit}"), Cell(), Cell()], group=True))
        for level in curve.labels:
            if level not in found.points[curve.name]:
                rows.append(Row([Cell(level), Cell(why=f"refused: {found.refused[curve.name][level]}", span=2)]))
                continue
            drop = found.drop(curve.name, level)
            low, high = drop.interval.low, drop.interval.high
            lost = Cell(signed(-drop.value, 3), f"{signed(-high, 3)} to {signed(-low, 3)}")
            rows.append(Row([Cell(level), _cell(found.points[curve.name][level][MACRO]), lost]))
    table = Table(("disturbance", "macro AUROC", "change, paired"), rows)
    shown = picture(figures / "robustness.png", "Macro AUROC against the strength of each disturbance")
    return Section("robustness", "Robustness", [Text(says), Pictures([shown]), More("Every level", table)])


def _cell(found: "Estimate") -> Cell:
    return estimate(found.value, found.interval.bounds())
