"""The report on one evaluated model: one HTML file, headline first."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.atomic import folder_written_atomically
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
from leadwise.evaluation.comparison import STATEMENTS_MACRO_AUROC, comparable, published_line
from leadwise.evaluation.files import (
    CALIBRATION_FILE,
    FIGURES_FOLDER,
    METRICS_FILE,
    POLICIES_FILE,
    REPORT_FILE,
    ROBUSTNESS_FILE,
    STATEMENTS_FILE,
    SUBGROUPS_FILE,
)
from leadwise.evaluation.metric_registry import FLOOR, headline_names, metric_names
from leadwise.evaluation.robustness import MACRO
from leadwise.evaluation.subgroups import FEWEST_CASES, FEWEST_RECORDS
from leadwise.evaluation.thresholds import RECORD
from leadwise.features import FEATURES, feature_names
from leadwise.reports.breakdown_figures import robustness_figure, statement_figure, subgroup_figure
from leadwise.reports.curve_figures import (
    confusion_figure,
    coverage_risk_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
)
from leadwise.reports.report_page import (
    Beside,
    Cell,
    Lines,
    More,
    Page,
    Part,
    Pictures,
    Row,
    Section,
    Table,
    Text,
    Tile,
    data_name,
    estimate,
    number,
    picture,
    signed,
    write_page,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leadwise.evaluation.evaluate import Evaluation
    from leadwise.evaluation.metrics import Estimate


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


METHOD_NAMES = {
    "none": "as the network gives them",
    "temperature": "one temperature",
    "per_class": "a line per class",
}


def classes_section(evaluation: "Evaluation", figures: Path) -> Section:
    """Every class: how well it is told apart, and how well its probabilities are calibrated."""
    # One column a metric: decisions at the chosen thresholds, of which the next tables say more.
    shown = [of for of in headline_names().values() if of.metric.per_class and (of.prefix or not of.metric.decides)]
    heads = ("class", "records with it", *(of.metric.title for of in shown))
    y = evaluation.test_rows("y")
    rows = []
    for k, name in enumerate(SUPERCLASSES):
        count = Cell(f"{int(y[:, k].sum()):,}", f"{y[:, k].mean():.1%}")
        found = [_metric(evaluation, f"test/{of.prefix}{of.metric.name}/{name}") for of in shown]
        rows.append(Row([_class_name(name), count, *found]))
    found = [_metric(evaluation, f"test/{of.prefix}{of.metric.mean}") for of in shown]
    rows.append(Row([Cell("mean"), Cell(), *found]))
    caption = "Decisions at the chosen thresholds. An AUPRC is to be read against the share above."
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
            "the finding, the share that is reported. Predictive values: of the reports (positive) and of the rest "
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


ORIGINAL = "the seven inputs of the original work, two of which are read off the diagnosis: for comparison only"

LIMITS = (
    "The five classes hold no rhythm, no electrolyte disorder, no QT prolongation and no pulmonary embolism. "
    "A recording without any of the five may still be ill.",
    "PTB-XL was recorded from 1989 to 1996 in Germany with devices of one maker. How well the model does elsewhere, "
    "or with another electrode placement, has not been measured.",
    "The labels are what cardiologists wrote, not what became of the patients; readers disagree, and likelihoods are "
    "ignored.",
    "Intervals say how far figures would vary with other patients of the same kind. They hold neither the chance in "
    "training (another seed) nor a change of hospital.",
    "Predictive values and calibration belong to a population in which as many are ill as in PTB-XL. In a screened "
    "population far fewer alarms would be right.",
    "A subgroup's AUROC also depends on how plain its diagnoses are: a difference is a reason to look, no verdict.",
)


def write_evaluation(evaluation: "Evaluation", folder: Path, run_id: str | None = None) -> None:
    """Write all numbers, the figures and ``report.html`` of an evaluation; the folder is whole or as it was.

    Args:
        evaluation: what is reported.
        folder: where; replaced if it is there.
        run_id: the tracked run that made it.
    """
    with folder_written_atomically(folder) as beside:
        evaluation.write(beside, run_id)
        draw_figures(evaluation, beside / FIGURES_FOLDER)
        write_page(_page(evaluation, beside, run_id), beside / REPORT_FILE)


def _features(feature_set: str) -> str:
    """What the networks saw of the patient, in words."""
    *labels, last = (FEATURES[name].label.lower() for name in feature_names("clinical"))
    return ORIGINAL if feature_set == "original" else f"{', '.join(labels)} and {last}"


def _page(evaluation: "Evaluation", folder: Path, run_id: str | None) -> Page:
    figures = folder / FIGURES_FOLDER
    sections = [
        _overall_section(evaluation),
        classes_section(evaluation, figures),
        calibration_section(evaluation, figures),
        thresholds_section(evaluation, figures),
        uncertain_section(evaluation, figures),
        statements_section(evaluation, figures),
        subgroups_section(evaluation, figures),
        robustness_section(evaluation, figures),
        Section("limits", "What it cannot say", [Lines(LIMITS)]),
    ]
    rows, training, manifest = evaluation.rows, evaluation.training, evaluation.manifest
    return Page(
        title=f"{evaluation.model}: fold {TEST_FOLD} of {data_name(manifest['simulated'], manifest['release'])}",
        subtitle=(
            f"{rows['test']:,} records of {rows['test_patients']:,} patients, read once; calibration and thresholds "
            f"were chosen on the {rows['val']:,} records of fold {VALIDATION_FOLD}. Features: "
            f"{_features(training['feature_set'])}. {training['count_params']:,} parameters."
        ),
        simulated=bool(manifest["simulated"]),
        tiles=_tiles(evaluation),
        published=published_line() if comparable(manifest, rows) else "",
        sections=[section for section in sections if section.parts],
        footer=_footer(evaluation, run_id),
    )


def _tiles(evaluation: "Evaluation") -> list[Tile]:
    floor = number(evaluation.metrics["test/floor/binary_accuracy"])
    asked = (
        ("macro AUROC", "test/macro_auroc", ""),
        ("mean accuracy at 0.5", "test/binary_accuracy", f"always negative: {floor}"),
        ("macro F1, chosen thresholds", "test/chosen/macro_f1", ""),
        ("subset accuracy at 0.5", "test/exact_match", ""),
        ("Brier score", "test/brier", "0 is perfect"),
        ("calibration error", "test/ece", "0 is perfect"),
    )
    return [Tile(name, _found(evaluation, metric), note) for name, metric, note in asked]


def _found(evaluation: "Evaluation", metric: str) -> Cell:
    interval = evaluation.intervals.get(metric)
    return estimate(evaluation.metrics.get(metric), interval.bounds() if interval else None)


def _overall_section(evaluation: "Evaluation") -> Section:
    """All rows beside labelled rows."""
    named = headline_names() | {FLOOR: metric_names()[FLOOR]}
    rows = [
        Row([Cell(of.title), *(_found(evaluation, prefix + name) for prefix in ("test/", "test/labelled/"))])
        for name, of in named.items()
    ]
    heads = (
        "mean over the five classes",
        f"all {evaluation.rows['test']:,} records",
        f"the {evaluation.rows['test_labelled']:,} with a label",
    )
    notes: list[Table | Text] = [
        Text(
            "Below each figure: its 95 % interval, patients drawn with replacement "
            f"{evaluation.bootstrap:,} times. Records without any of the five classes count as negative for all of "
            "them; both ways of counting are in use."
        ),
        Table(heads, rows, compact=True),
    ]
    missing = [name for name in SUPERCLASSES if f"test/auroc/{name}" in evaluation.undefined]
    if missing:
        reasons = "; ".join(evaluation.undefined[f"test/auroc/{name}"] for name in missing)
        notes.append(Text(f"n/a where a class cannot be measured: {reasons}."))
    return Section("overall", "Overall", notes)


def _footer(evaluation: "Evaluation", run_id: str | None) -> list[str]:
    training = evaluation.training
    made = f"Data {training['digest'][:12]}"
    if training.get("run_id"):
        made += f"; trained by run {training['run_id']}"
    if run_id:
        made += f"; evaluated by run {run_id}"
    files = [METRICS_FILE, POLICIES_FILE, CALIBRATION_FILE, SUBGROUPS_FILE]
    files += [STATEMENTS_FILE] if evaluation.statements else []
    files += [ROBUSTNESS_FILE] if evaluation.robustness else []
    return [
        f"{made}; bootstrap of {evaluation.bootstrap:,} replicates, seed {evaluation.seed}. All figures and their "
        f"intervals stand in {', '.join(files)} beside this page.",
        f"Again: mlflow run . -e evaluate -P model={evaluation.model} -P feature-set={training['feature_set']}",
        "PTB-XL: Wagner et al. (2022), PhysioNet, doi:10.13026/kfzx-aw45; Wagner et al. (2020), Scientific Data 7:154, "
        "doi:10.1038/s41597-020-0495-6; Goldberger et al. (2000), Circulation 101(23):e215-e220. Licence CC BY 4.0.",
    ]


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
