"""The sections of the report on one model, from its classes to its subgroups."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
from leadwise.evaluation.abstention import RECORD
from leadwise.evaluation.published import STATEMENTS_MACRO_AUROC, comparable
from leadwise.evaluation.subgroups import FEWEST_CASES, FEWEST_RECORDS
from leadwise.pages.report_page import (
    Beside,
    Cell,
    More,
    Part,
    Pictures,
    Row,
    Section,
    Table,
    Text,
    estimate,
    number,
    picture,
    signed,
)

if TYPE_CHECKING:
    from leadwise.evaluation.evaluation import Evaluation

METHOD_NAMES = {
    "none": "as the network gives them",
    "temperature": "one temperature",
    "per_class": "a line per class",
}


def classes_section(evaluation: "Evaluation", figures: Path) -> Section:
    """Every class: how well it is told apart, and how well its probabilities are calibrated."""
    asked = ("auroc", "auprc", "chosen/f1", "chosen/sensitivity", "chosen/specificity", "brier", "ece")
    heads = ("class", "records with it", "AUROC", "AUPRC", "F1", "sensitivity", "specificity", "Brier", "cal. error")
    y = evaluation.test_rows("y")
    rows = []
    for k, name in enumerate(SUPERCLASSES):
        count = Cell(f"{int(y[:, k].sum()):,}", f"{y[:, k].mean():.1%}")
        found = [_metric(evaluation, f"test/{metric}/{name}") for metric in asked]
        rows.append(Row([_class_name(name), count, *found]))
    means = ("macro_auroc", "macro_auprc", "chosen/macro_f1", "chosen/macro_sensitivity", "chosen/macro_specificity")
    found = [_metric(evaluation, f"test/{metric}") for metric in (*means, "brier", "ece")]
    rows.append(Row([Cell("mean"), Cell(), *found]))
    caption = (
        "F1, sensitivity and specificity at the chosen thresholds. An AUPRC is to be read against the share above."
    )
    curves = [
        picture(figures / "roc_curves.png", "ROC curves of the five classes"),
        picture(
            figures / "pr_curves.png", "Precision-recall curves; a tick at the right marks the share of each class"
        ),
    ]
    return Section("classes", "The five classes", [Table(heads, rows, caption), Pictures(curves)])


def calibration_section(evaluation: "Evaluation", figures: Path) -> Section:
    """Before and after, and why this calibration."""
    chosen, metrics = evaluation.calibration, evaluation.metrics
    says = f"In use: {METHOD_NAMES[chosen.calibration.method]} on the logits, fitted on fold {VALIDATION_FOLD}."
    if chosen.log_loss:
        losses = ", ".join(f"{METHOD_NAMES[name]} {loss:.4f}" for name, loss in chosen.log_loss.items())
        says += (
            f" Log loss there, cross-validated over patients: {losses}. A line per class gains {signed(chosen.gain)} "
            f"over one temperature, with a standard error of {number(chosen.gain_error, 4)}; it is taken where the "
            "gain is larger than that."
        )
    else:
        says += f" Fold {VALIDATION_FOLD} has too few patients to try anything but one temperature."
    rows = [
        Row([Cell(title), _metric(evaluation, f"test/raw/{name}", 4), _metric(evaluation, f"test/{name}", 4)])
        for title, name in (("Brier score", "brier"), ("expected calibration error", "ece"))
    ]
    losses_10 = [Cell(number(metrics[f"test/{name}"], 4)) for name in ("raw/log_loss", "log_loss")]
    rows.append(Row([Cell("log loss"), *losses_10]))
    for name in SUPERCLASSES:
        found = [_metric(evaluation, f"test/{metric}/{name}", 4) for metric in ("raw/ece", "ece")]
        rows.append(Row([Cell(f"calibration error, {name}"), *found]))
    table = Table((f"fold {TEST_FOLD}, mean over classes", "before", "after"), rows)
    shown = picture(figures / "reliability.png", "Observed share against predicted probability, all classes pooled")
    return Section("calibration", "Calibration", [Text(says), Beside(table, shown)])


def thresholds_section(evaluation: "Evaluation", figures: Path) -> Section:
    """Every policy with what its decisions are worth; the one in use first."""
    decision = evaluation.decision
    order = [decision.policy, *(name for name in decision.policies if name != decision.policy)]
    parts: list[Part] = [
        Text(
            f"Thresholds on the calibrated probability, chosen on fold {VALIDATION_FOLD}. Sensitivity: of those with "
            "the finding, the share that is reported. Predictive values: of the reports (positive) and of the silences "
            "(negative), the share that is right, where as many are ill as here."
        )
    ]
    for name in order:
        policy = decision.policies[name]
        title = f"{name}: {policy.rule}" + (" (in use)" if name == decision.policy else "")
        table = _policy_table(evaluation, name)
        parts += [Text(title, "heading"), table] if name in order[:2] else [More(title, table)]
    says = "Counts, and shares of each true class as shading, at the thresholds in use"
    parts.append(Pictures([picture(figures / "confusion_at_chosen.png", says)]))
    return Section("thresholds", "Thresholds and predictive values", parts)


def _policy_table(evaluation: "Evaluation", policy: str) -> Table:
    measures = ("sensitivity", "specificity", "ppv", "npv", "alarms")
    heads = (
        "class",
        "threshold",
        "sensitivity",
        "specificity",
        "positive pred. value",
        "negative pred. value",
        "reported in",
    )
    thresholds = evaluation.decision.policies[policy].thresholds
    rows = []
    for name in SUPERCLASSES:
        found = [_policy_value(evaluation, policy, measure, name) for measure in measures]
        rows.append(Row([_class_name(name), Cell(number(thresholds[name])), *found]))
    return Table(heads, rows)


def uncertain_section(evaluation: "Evaluation", figures: Path) -> Section:
    """What is bought by saying "uncertain" inside a band around each threshold."""
    policy = evaluation.decision.policy
    bands = evaluation.decision.uncertain
    heads = ("class", "uncertain between", "answered", "wrong answers", "without a band", "wrong inside the band")
    rows = []
    for name in SUPERCLASSES:
        low, high = bands[name]
        measures = ("coverage", "risk", "full_risk", "uncertain_risk")
        found = [_policy_value(evaluation, policy, measure, name) for measure in measures]
        rows.append(Row([_class_name(name), Cell(f"{low:.3f} and {high:.3f}"), *found]))
    areas = _policy_value(evaluation, policy, "aurc", RECORD, 4)
    says = (
        f'Inside its band a class is answered with "uncertain". Bands were chosen on fold {VALIDATION_FOLD}. Area '
        f"under the curve of coverage and risk, all five classes of a record together: {areas.value}"
        + (f" ({areas.interval})." if areas.interval else ".")
    )
    shown = picture(figures / "coverage_and_risk.png", "Share of wrong answers if only the surest are given")
    return Section("uncertain", "Saying uncertain", [Text(says), Table(heads, rows), Pictures([shown])])


def statements_section(evaluation: "Evaluation", figures: Path) -> Section:
    """The 71 statements: those that are told, and how many are not."""
    found = evaluation.statements
    if found is None:
        return Section("statements", "Secondary findings", [])
    macro = found.test.interval("macro_auroc")
    area = estimate(found.test.values["macro_auroc"], macro.bounds())
    says = (
        f"Beside the five classes the network answers the 71 SCP-ECG statements of PTB-XL. Macro AUROC over the "
        f"{found.test.entering['all']} that occur in fold {TEST_FOLD}: {area.value} ({area.interval}). "
        f"{len(found.trusted)} are told to a user, {len(found.silent)} are not: too few records to learn from or to "
        f"measure, too low an AUROC, or mostly false alarms, all on fold {VALIDATION_FOLD}."
    )
    if comparable(evaluation.manifest, evaluation.rows):
        says += " Published over all 71: {:g} to {:g}.".format(*STATEMENTS_MACRO_AUROC)
    if not found.trusted:
        return Section("statements", "Secondary findings", [Text(says)])
    shown = picture(figures / "statements.png", "AUROC of the statements that are told, with intervals")
    return Section("statements", "Secondary findings", [Text(says), Pictures([shown])])


def subgroups_section(evaluation: "Evaluation", figures: Path) -> Section:
    """A forest plot, and behind it every class of every subgroup."""
    groups = evaluation.subgroups
    heads = ("subgroup", "records", "macro AUROC", *SUPERCLASSES)
    rows: list[Row] = []
    for kind, members in groupby(groups, key=lambda group: group.kind):
        rows.append(Row([Cell(kind), *[Cell()] * (len(heads) - 1)], group=True))
        for group in members:
            cells: Sequence[Cell]
            if not group.values:
                cells = [Cell(why=f"not shown: {group.suppressed['macro_auroc']}", span=len(heads) - 2)]
            else:
                names = ("macro_auroc", *(f"auroc/{name}" for name in SUPERCLASSES))
                bounds = {name: interval.bounds() for name, interval in group.intervals.items()}
                cells = [
                    estimate(group.values[name], bounds[name]) if name in bounds else Cell("few") for name in names
                ]
            rows.append(Row([Cell(group.name), Cell(f"{group.records:,}"), *cells]))
    says = (
        f"No figures for subgroups of fewer than {FEWEST_RECORDS} records, nor for a class with fewer than "
        f"{FEWEST_CASES} records with or without it there; the mean needs all five classes."
    )
    if not any(group.kind == "noise" for group in groups):
        says += " The store holds no measured signal quality: ingest again to see it here."
    parts: list[Part] = [Text(says)]
    if (figures / "subgroups.png").is_file():
        parts.append(Pictures([picture(figures / "subgroups.png", "Macro AUROC by subgroup; at the right: records")]))
    return Section(
        "subgroups", "Subgroups", [*parts, More("AUROC of every class in every subgroup", Table(heads, rows))]
    )


def _class_name(name: str) -> Cell:
    return Cell(name, SUPERCLASS_NAMES[name])


def _metric(evaluation: "Evaluation", name: str, digits: int = 3) -> Cell:
    interval = evaluation.intervals.get(name)
    return estimate(evaluation.metrics.get(name), interval.bounds() if interval else None, digits)


def _policy_value(evaluation: "Evaluation", policy: str, measure: str, label: str, digits: int = 3) -> Cell:
    name = f"test/decision/{policy}/{measure}/{label}"
    interval = evaluation.policy_intervals.get(name)
    return estimate(evaluation.policies.get(name), interval.bounds() if interval else None, digits)
