"""The report on one evaluated model: all numbers, every figure, and one HTML file with the headline first."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.atomic import folder_written_atomically
from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
from leadwise.evaluation import (
    CALIBRATION_FILE,
    FIGURES_FOLDER,
    METRICS_FILE,
    POLICIES_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ROBUSTNESS_FILE,
    STATEMENTS_FILE,
    SUBGROUPS_FILE,
)
from leadwise.evaluation.comparison import STATEMENTS_MACRO_AUROC, comparable, published_line
from leadwise.evaluation.decisions import RECORD
from leadwise.evaluation.metrics import FLOOR, METRICS, headline_names, metric_names
from leadwise.evaluation.robustness import MACRO
from leadwise.features import FEATURES, feature_names
from leadwise.reports.breakdown_figures import robustness_figure, statement_figure, subgroup_figure
from leadwise.reports.figures import confusion_figure, coverage_risk_figure, pr_figure, reliability_figure, roc_figure
from leadwise.reports.report_page import (
    CITATION,
    Cell,
    Lines,
    Page,
    Part,
    Picture,
    Row,
    Section,
    Table,
    change,
    data_name,
    in_words,
    measured,
    number,
    picture,
    signed,
    subgroup_parts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leadwise.evaluation.evaluate import Evaluation

METHOD_NAMES = {
    "none": "as the network gives them",
    "temperature": "one temperature",
    "per_class": "a line per class",
}

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

SAYS = {
    "roc_curves": "ROC curves of the five classes",
    "pr_curves": "Precision-recall curves; a tick at the right marks the share of each class",
    "reliability": "Observed share against predicted probability, all classes pooled",
    "confusion_at_chosen": "Counts, and shares of each true class as shading, at the thresholds in use",
    "coverage_and_risk": "Share of wrong answers if only the surest are given",
    "subgroups": "Macro AUROC by subgroup; at the right: records",
    "statements": "AUROC of the statements that are told, with intervals",
    "robustness": "Macro AUROC against the strength of each corruption",
}
"""Figures on the page, by the names of their files, and what each shows."""


def write_evaluation(evaluation: "Evaluation", folder: Path, run_id: str | None = None) -> Page:
    """Write all numbers, the figures and ``report.html`` of an evaluation; the folder is whole or as it was.

    Args:
        evaluation: what is reported.
        folder: where; replaced if it is there.
        run_id: the tracked run that made it.

    Returns:
        The summary for that run.
    """
    with folder_written_atomically(folder) as beside:
        evaluation.write(beside, run_id)
        figures = beside / FIGURES_FOLDER
        figures.mkdir()
        for name, figure in _figures(evaluation).items():
            figure.savefig(figures / f"{name}.png")
        report = _Report(evaluation, figures)
        report.page(run_id).write(beside / REPORT_FILE)
        return report.summary()


def _features(feature_set: str) -> str:
    """What the networks saw of the patient, in words."""
    if feature_set == "original":
        return "the seven inputs of the original work, two of which are read off the diagnosis: for comparison only"
    *labels, last = (FEATURES[name].label.lower() for name in feature_names("clinical"))
    return f"{', '.join(labels)} and {last}"


class _Report:
    """The sections of the report on one evaluation."""

    def __init__(self, evaluation: "Evaluation", figures: Path) -> None:
        self.evaluation = evaluation
        self.figures = figures

    def page(self, run_id: str | None) -> Page:
        evaluation = self.evaluation
        rows, training, manifest = evaluation.rows, evaluation.training, evaluation.manifest
        return Page(
            title=f"{evaluation.model}: fold {TEST_FOLD} of {data_name(manifest['simulated'], manifest['release'])}",
            subtitle=(
                f"{rows['test']:,} records of {rows['test_patients']:,} patients, read once; calibration and "
                f"thresholds were chosen on the {rows['val']:,} records of fold {VALIDATION_FOLD}. Features: "
                f"{_features(training['feature_set'])}. {training['count_params']:,} parameters."
            ),
            simulated=bool(manifest["simulated"]),
            tiles=self.tiles(),
            published=published_line() if comparable(manifest, rows) else "",
            sections=[
                Section("overall", "Overall", self.overall()),
                Section("classes", "The five classes", self.classes()),
                Section("calibration", "Calibration", self.calibration()),
                Section("thresholds", "Thresholds and predictive values", self.thresholds()),
                Section("uncertain", "Saying uncertain", self.uncertain()),
                Section("statements", "Secondary findings", self.statements()),
                Section("subgroups", "Subgroups", self.subgroups()),
                Section("robustness", "Robustness", self.robustness()),
                Section("limits", "What it cannot say", [Lines(LIMITS)]),
            ],
            footer=self.footer(run_id),
        )

    def tiles(self) -> dict[str, Cell]:
        floor = number(self.evaluation.metrics[f"test/{FLOOR}"].value)
        return {
            "macro AUROC": self.metric("macro_auroc"),
            "mean accuracy at 0.5": self.metric("binary_accuracy", note=f"always negative: {floor}"),
            "macro F1, chosen thresholds": self.metric("chosen/macro_f1"),
            "subset accuracy at 0.5": self.metric("subset_accuracy"),
            "Brier score": self.metric("brier", note="0 is perfect"),
            "calibration error": self.metric("ece", note="0 is perfect"),
        }

    def summary(self) -> Page:
        """What a person wants to see first: the tiles, the classes, and how far probabilities can be trusted."""
        evaluation, rows, training = self.evaluation, self.evaluation.rows, self.evaluation.training
        data = data_name(training["simulated"], evaluation.manifest["release"])
        thresholds = ", ".join(f"{name} {value:.3f}" for name, value in evaluation.decision.used.thresholds.items())
        return Page(
            title=f"Evaluated: {evaluation.model}",
            subtitle=f"Fold {TEST_FOLD} of {data}, read once; in small letters: 95 % intervals by patient.",
            simulated=bool(training["simulated"]),
            tiles=self.tiles(),
            inputs={
                f"records (fold {TEST_FOLD})": f"{rows['test']:,} of {rows['test_patients']:,} patients",
                f"records (fold {VALIDATION_FOLD})": f"{rows['val']:,}, for calibration and thresholds",
                "data": training["digest"][:12],
                "trained by": str(training.get("run_id") or "no tracked run"),
                "bootstrap": f"{evaluation.bootstrap:,} replicates",
            },
            outputs={
                "calibration": METHOD_NAMES[evaluation.calibration.calibration.method],
                "thresholds": thresholds,
                "metrics": f"{len(evaluation.metrics):,}, in {METRICS_FILE}",
                "predictions": f"{PREDICTIONS_FILE}, of folds 9 and 10",
            },
            parts=[self.class_table(), self.pictures("roc_curves", "reliability")],
            footer=[f"Subgroups, corrupted recordings, statements, decisions: evaluation/{REPORT_FILE} of this run."],
        )

    def metric(self, name: str, digits: int = 3, note: str = "", rows: str = "test/") -> Cell:
        return measured(self.evaluation.metrics.get(rows + name), digits, note)

    def policy_rows(self, policy: str, chosen: Mapping[str, str], measures: Iterable[str]) -> list[Row]:
        """A row per class: what was chosen for it, and what that is worth."""
        found = self.evaluation.policies
        return [
            [_class(name), chosen[name], *(measured(found[f"test/decision/{policy}/{one}/{name}"]) for one in measures)]
            for name in SUPERCLASSES
        ]

    def pictures(self, *names: str) -> list[Picture]:
        return [picture(self.figures / f"{name}.png", SAYS[name]) for name in names]

    def overall(self) -> list[Part]:
        """All rows beside labelled rows."""
        evaluation = self.evaluation
        named = headline_names() | {FLOOR: metric_names()[FLOOR]}
        rows: list[Row] = [
            [of.title, *(self.metric(name, rows=prefix) for prefix in ("test/", "test/labelled/"))]
            for name, of in named.items()
        ]
        heads = (
            "mean over the five classes",
            f"all {evaluation.rows['test']:,} records",
            f"the {evaluation.rows['test_labelled']:,} with a label",
        )
        parts: list[Part] = [
            "Below each figure: its 95 % interval, patients drawn with replacement "
            f"{evaluation.bootstrap:,} times. Records without any of the five classes count as negative for all of "
            "them; both ways of counting are in use.",
            Table(heads, rows, style="compact"),
        ]
        undefined = [evaluation.undefined.get(f"test/auroc/{name}", "") for name in SUPERCLASSES]
        if any(undefined):
            parts.append(f"n/a where a class cannot be measured: {'; '.join(filter(None, undefined))}.")
        return parts

    def classes(self) -> list[Part]:
        return [self.class_table(), self.pictures("roc_curves", "pr_curves")]

    def class_table(self) -> Table:
        """Every class: how well it is told apart, and how well its probabilities are calibrated."""
        # One column a metric: decisions at the chosen thresholds, of which the next tables say more.
        shown = [of for of in headline_names().values() if of.metric.per_class and (of.prefix or not of.metric.decides)]
        y = self.evaluation.test_rows("y")
        rows: list[Row] = [
            [
                _class(name),
                Cell(f"{int(y[:, k].sum()):,}", f"{y[:, k].mean():.1%}"),
                *(self.metric(f"{of.prefix}{of.metric.name}/{name}") for of in shown),
            ]
            for k, name in enumerate(SUPERCLASSES)
        ]
        rows.append(["mean", "", *(self.metric(of.prefix + of.metric.mean) for of in shown)])
        caption = "Decisions at the chosen thresholds. An AUPRC is to be read against the share above."
        heads = ("class", "records with it", *(of.metric.title for of in shown))
        return Table(heads, rows, caption)

    def calibration(self) -> list[Part]:
        """Before and after, and why this calibration."""
        chosen = self.evaluation.calibration
        says = f"In use: {METHOD_NAMES[chosen.calibration.method]} on the logits, fitted on fold {VALIDATION_FOLD}."
        if chosen.log_loss:
            losses = ", ".join(f"{METHOD_NAMES[name]} {loss:.4f}" for name, loss in chosen.log_loss.items())
            says += (
                f" Log loss there, cross-validated over patients: {losses}. A line per class gains "
                f"{signed(chosen.gain)} over one temperature, with a standard error of {number(chosen.gain_error, 4)}; "
                "it is taken where the gain is larger than that."
            )
        else:
            says += f" Fold {VALIDATION_FOLD} has too few patients to try anything but one temperature."
        names = {"Brier score": "brier", "expected calibration error": "ece", "log loss": "log_loss"}
        names |= {f"calibration error, {name}": f"ece/{name}" for name in SUPERCLASSES}
        rows: list[Row] = [
            [title, self.metric(f"raw/{name}", 4), self.metric(name, 4)] for title, name in names.items()
        ]
        (shown,) = self.pictures("reliability")
        return [says, Table((f"fold {TEST_FOLD}, mean over classes", "before", "after"), rows, beside=shown)]

    def thresholds(self) -> list[Part]:
        """Every policy with what its decisions are worth; the one in use first."""
        decision = self.evaluation.decision
        order = [decision.policy, *(name for name in decision.policies if name != decision.policy)]
        measures = ("sensitivity", "specificity", "ppv", "npv", "predicted_positive")
        titles = [METRICS[measure].title for measure in measures]
        parts: list[Part] = [
            f"Thresholds on the calibrated probability, chosen on fold {VALIDATION_FOLD}. Sensitivity: of those with "
            "the finding, the share that is reported. Predictive values: of the reports (positive) and of the rest "
            "(negative), the share that is right, where as many are ill as here."
        ]
        for policy in order:
            chosen = decision.policies[policy]
            rows = self.policy_rows(policy, {name: number(at) for name, at in chosen.thresholds.items()}, measures)
            title = f"{policy}: {chosen.rule}" + (" (in use)" if policy == decision.policy else "")
            parts.append(Table(("class", "threshold", *titles), rows, title=title, folded=policy not in order[:2]))
        return [*parts, self.pictures("confusion_at_chosen")]

    def uncertain(self) -> list[Part]:
        """What is bought by saying "uncertain" inside a band around each threshold."""
        policy = self.evaluation.decision.policy
        columns = {
            "coverage": "answered",
            "risk": "wrong answers",
            "full_risk": "without a band",
            "uncertain_risk": "wrong inside the band",
        }
        bands = {
            name: "{:.3f} and {:.3f}".format(*band) for name, band in self.evaluation.decision.used.uncertain.items()
        }
        rows = self.policy_rows(policy, bands, columns)
        says = (
            f'Inside its band a class is answered with "uncertain". Bands were chosen on fold {VALIDATION_FOLD}. Area '
            "under the curve of coverage and risk, all five classes of a record together: "
            f"{in_words(self.evaluation.policies[f'test/decision/{policy}/aurc/{RECORD}'], 4)}."
        )
        table = Table(("class", "uncertain between", *columns.values()), rows)
        return [says, table, self.pictures("coverage_and_risk")]

    def statements(self) -> list[Part]:
        """The 71 statements: those that are told, and how many are not."""
        found = self.evaluation.statements
        if found is None:
            return []
        says = (
            f"Beside the five classes the network answers the 71 SCP-ECG statements of PTB-XL. Macro AUROC over the "
            f"{found.entering['all']} that occur in fold {TEST_FOLD}: "
            f"{in_words(found.test['macro_auroc'])}. {len(found.trusted)} are told to a user, "
            f"{len(found.silent)} are not: too few records to learn from or to measure, too low an AUROC, or mostly "
            f"false alarms, all on fold {VALIDATION_FOLD}."
        )
        if comparable(self.evaluation.manifest, self.evaluation.rows):
            says += " Published over all 71: {:g} to {:g}.".format(*STATEMENTS_MACRO_AUROC)
        return [says, self.pictures("statements")] if found.trusted else [says]

    def subgroups(self) -> list[Part]:
        """A forest plot, and behind it every class of every subgroup."""
        groups = self.evaluation.subgroups
        drawn = self.pictures("subgroups") if (self.figures / "subgroups.png").is_file() else []
        parts = subgroup_parts(groups, drawn)
        if not any(group.kind == "noise" for group in groups):
            parts.append("The store holds no measured signal quality: ingest again to see it here.")
        return parts

    def robustness(self) -> list[Part]:
        """What is left of the macro AUROC when recordings are corrupted; nothing where that was not measured."""
        found = self.evaluation.robustness
        if found is None:
            return []
        says = (
            f"{found.records:,} records drawn from the fold, corrupted in {len(found.curves)} ways of rising strength. "
            f"Macro AUROC clean {in_words(found.clean[MACRO])}, as the mean over all "
            f"corruptions {in_words(found.mean())}."
        )
        if found.left_out:
            says += f" Without {', '.join(found.left_out)}, of which these records have too few."
        rows: list[Row] = []
        for curve in found.curves:
            rows.append(f"{curve.title}, {curve.unit}")
            for level in curve.labels:
                if level not in found.points[curve.name]:
                    rows.append([level, Cell(why=f"refused: {found.refused[curve.name][level]}")])
                    continue
                area = measured(found.points[curve.name][level][MACRO])
                rows.append([level, area, change(found.drop(curve.name, level), sign=-1)])
        heads = ("corruption", "macro AUROC", "change, paired")
        return [says, self.pictures("robustness"), Table(heads, rows, title="Every level", folded=True)]

    def footer(self, run_id: str | None) -> list[str]:
        evaluation, training = self.evaluation, self.evaluation.training
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
            CITATION,
        ]


def _class(name: str) -> Cell:
    return Cell(name, SUPERCLASS_NAMES[name])


def _figures(evaluation: "Evaluation") -> "dict[str, Figure]":
    y, p, raw = (evaluation.test_rows(kind) for kind in ("y", "p", "raw"))
    where, decision = evaluation.where, evaluation.decision
    chosen = f"Confusion matrices, thresholds of fold {VALIDATION_FOLD} ({decision.used.rule})"
    figures = {
        "roc_curves": roc_figure(y, p, title=f"ROC curves: {where}"),
        "pr_curves": pr_figure(y, p, title=f"Precision-recall curves: {where}"),
        "reliability": reliability_figure(y, raw, p, title=f"Reliability: {where}"),
        "confusion_at_0.5": confusion_figure(y, p, title=f"Confusion matrices at 0.5: {where}"),
        "confusion_at_chosen": confusion_figure(y, p, decision.used.limits(), title=f"{chosen}: {where}"),
        "coverage_and_risk": coverage_risk_figure(
            y, p, decision.used.thresholds, decision.used.uncertain, title=f"Coverage and risk: {where}"
        ),
    }
    if any("macro_auroc" in group.found for group in evaluation.subgroups):
        whole = evaluation.metrics["test/macro_auroc"]
        figures["subgroups"] = subgroup_figure(evaluation.subgroups, whole, title=f"Subgroups: {where}")
    if evaluation.statements:
        figures["statements"] = statement_figure(evaluation.statements.to_dict(), title=f"Statements: {where}")
    if evaluation.robustness:
        measured_by_model = {evaluation.model: evaluation.robustness.to_dict()}
        figures["robustness"] = robustness_figure(measured_by_model, title=f"Robustness: {where}")
    return figures
