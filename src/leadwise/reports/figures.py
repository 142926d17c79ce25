"""Every figure of one evaluation, by the name of its file."""

from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.contract import VALIDATION_FOLD
from leadwise.reports.breakdown_figures import robustness_figure, statement_figure, subgroup_figure
from leadwise.reports.curve_figures import (
    confusion_figure,
    coverage_risk_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leadwise.evaluation.evaluation import Evaluation


def draw_figures(evaluation: "Evaluation", folder: Path) -> None:
    """Write every figure as PNG into a new folder."""
    folder.mkdir()
    for name, figure in _figures(evaluation).items():
        figure.savefig(folder / f"{name}.png")


def _figures(evaluation: "Evaluation") -> "dict[str, Figure]":
    y, p, raw = (evaluation.test_rows(kind) for kind in ("y", "p", "raw"))
    where, rule = evaluation.where, evaluation.decision.policies[evaluation.decision.policy].rule
    figures = {
        "roc_curves": roc_figure(y, p, title=f"ROC curves: {where}"),
        "pr_curves": pr_figure(y, p, title=f"Precision-recall curves: {where}"),
        "reliability": reliability_figure(y, raw, p, title=f"Reliability: {where}"),
        "confusion_at_0.5": confusion_figure(y, p, title=f"Confusion matrices at 0.5: {where}"),
        "confusion_at_chosen": confusion_figure(
            y,
            p,
            evaluation.decision.limits(),
            title=f"Confusion matrices, thresholds of fold {VALIDATION_FOLD} ({rule}): {where}",
        ),
    }
    figures["coverage_and_risk"] = coverage_risk_figure(
        y, p, evaluation.decision.thresholds, evaluation.decision.uncertain, title=f"Coverage and risk: {where}"
    )
    if any("macro_auroc" in group.values for group in evaluation.subgroups):
        whole = evaluation.metrics["test/macro_auroc"], evaluation.intervals["test/macro_auroc"]
        figures["subgroups"] = subgroup_figure(evaluation.subgroups, *whole, title=f"Subgroups: {where}")
    if evaluation.statements:
        figures["statements"] = statement_figure(evaluation.statements.to_dict(), title=f"Statements: {where}")
    if evaluation.robustness:
        figures["robustness"] = robustness_figure(
            {evaluation.model: evaluation.robustness}, title=f"Robustness: {where}"
        )
    return figures
