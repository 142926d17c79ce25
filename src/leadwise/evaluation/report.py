"""The report on one evaluated model: one HTML file, headline first."""

from pathlib import Path
from typing import TYPE_CHECKING

from leadwise.contract import SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
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
from leadwise.evaluation.published import comparable, published_line
from leadwise.evaluation.report_robustness import robustness_section
from leadwise.evaluation.report_sections import (
    calibration_section,
    classes_section,
    statements_section,
    subgroups_section,
    thresholds_section,
    uncertain_section,
)
from leadwise.pages.report_page import (
    Cell,
    Lines,
    Page,
    Row,
    Section,
    Table,
    Text,
    Tile,
    estimate,
    number,
    write_page,
)

if TYPE_CHECKING:
    from leadwise.evaluation.evaluation import Evaluation

FEATURES = {
    "clinical": "age, sex, height, weight, body-mass index, body-surface area and pacemaker",
    "original": "the seven inputs of the original work, two of which are read off the diagnosis: for comparison only",
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


def write_report(evaluation: "Evaluation", folder: Path, run_id: str | None = None) -> None:
    """Write ``report.html`` beside the figures of an evaluation.

    Args:
        evaluation: what is reported.
        folder: of the evaluation; its figures are drawn already.
        run_id: the tracked run that made it.
    """
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
    release = "simulated data" if manifest["simulated"] else f"PTB-XL {manifest['release']}"
    page = Page(
        title=f"{evaluation.model}: fold {TEST_FOLD} of {release}",
        subtitle=(
            f"{rows['test']:,} records of {rows['test_patients']:,} patients, read once; calibration and thresholds "
            f"were chosen on the {rows['val']:,} records of fold {VALIDATION_FOLD}. Features: "
            f"{FEATURES[training['feature_set']]}. {training['count_params']:,} parameters."
        ),
        simulated=bool(manifest["simulated"]),
        tiles=_tiles(evaluation),
        published=published_line() if comparable(manifest, rows) else "",
        sections=[section for section in sections if section.parts],
        footer=_footer(evaluation, run_id),
    )
    write_page(page, folder / REPORT_FILE)


def _tiles(evaluation: "Evaluation") -> list[Tile]:
    floor = number(evaluation.metrics["test/floor/binary_accuracy"])
    asked = (
        ("macro AUROC", "test/macro_auroc", ""),
        ("mean accuracy at 0.5", "test/binary_accuracy", f"always silent: {floor}"),
        ("macro F1, chosen thresholds", "test/chosen/macro_f1", ""),
        ("all five right, at 0.5", "test/exact_match", ""),
        ("Brier score", "test/brier", "0 is perfect"),
        ("calibration error", "test/ece", "0 is perfect"),
    )
    return [Tile(name, _found(evaluation, metric), note) for name, metric, note in asked]


def _found(evaluation: "Evaluation", metric: str) -> Cell:
    interval = evaluation.intervals.get(metric)
    return estimate(evaluation.metrics.get(metric), interval.bounds() if interval else None)


def _overall_section(evaluation: "Evaluation") -> Section:
    """All rows beside labelled rows."""
    asked = {
        "macro AUROC": "macro_auroc",
        "macro AUPRC": "macro_auprc",
        "mean accuracy at 0.5": "binary_accuracy",
        "mean accuracy of never saying anything (the floor)": "floor/binary_accuracy",
        "mean accuracy at the chosen thresholds": "chosen/binary_accuracy",
        "macro F1 at 0.5": "macro_f1",
        "macro F1 at the chosen thresholds": "chosen/macro_f1",
        "all five classes right, at 0.5": "exact_match",
        "all five classes right, at the chosen thresholds": "chosen/exact_match",
        "Brier score": "brier",
        "expected calibration error": "ece",
    }
    rows = [
        Row([Cell(name), *(_found(evaluation, prefix + metric) for prefix in ("test/", "test/labelled/"))])
        for name, metric in asked.items()
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
