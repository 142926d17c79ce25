"""The cards of the evaluate stage: of one model, and of all of them side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
from leadwise.evaluation.files import (
    CALIBRATION_FILE,
    DECISION_FILE,
    FIGURES_FOLDER,
    METRICS_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
)
from leadwise.reports.evaluation_page import METHOD_NAMES
from leadwise.reports.report_page import (
    Card,
    Cell,
    Pictures,
    Row,
    Table,
    Tile,
    duration,
    estimate,
    named,
    number,
    picture,
)

HEADLINE = {
    "macro AUROC": "macro_auroc",
    "mean accuracy at 0.5": "binary_accuracy",
    "macro F1, chosen thresholds": "chosen/macro_f1",
    "calibration error": "ece",
}
PICTURES = {"roc_curves": "ROC curves of fold 10", "reliability": "How far probabilities can be taken at their word"}


def evaluation_card(folder: Path) -> Card:
    """The card of one evaluated model.

    Args:
        folder: that the evaluation has written.
    """
    found = _read(folder / METRICS_FILE)
    thresholds = _read(folder / DECISION_FILE)["thresholds"]
    metrics, intervals, rows = found["metrics"], found["intervals"], found["rows"]
    floor = number(metrics.get("test/floor/binary_accuracy"))
    notes = {"binary_accuracy": f"always silent: {floor}", "ece": "0 is perfect"}
    per_class = [
        Row(
            [
                Cell(f"{name}: {SUPERCLASS_NAMES[name]}"),
                Cell(f"{rows['test_positives'][name]:,}"),
                named(metrics, intervals, f"test/auroc/{name}"),
                named(metrics, intervals, f"test/chosen/f1/{name}"),
                Cell(number(thresholds[name])),
            ]
        )
        for name in SUPERCLASSES
    ]
    shown = [picture(folder / FIGURES_FOLDER / f"{name}.png", says) for name, says in PICTURES.items()]
    return Card(
        title=f"Evaluated: {found['model']}",
        subtitle=f"Fold {TEST_FOLD} of {_data(found)}, read once; in small letters: 95 % intervals by patient.",
        simulated=bool(found["simulated"]),
        tiles=[
            Tile(title, named(metrics, intervals, f"test/{name}"), notes.get(name, ""))
            for title, name in HEADLINE.items()
        ],
        went_in=[
            (f"records (fold {TEST_FOLD})", f"{rows['test']:,} of {rows['test_patients']:,} patients"),
            (f"records (fold {VALIDATION_FOLD})", f"{rows['val']:,}, for calibration and thresholds"),
            ("data", found["digest"][:12]),
            ("trained by", str(found["trained_by"] or "no tracked run")),
            ("bootstrap", f"{found['bootstrap']['replicates']:,} replicates"),
        ],
        came_out=[
            ("calibration", METHOD_NAMES[_read(folder / CALIBRATION_FILE)["calibration"]["method"]]),
            ("metrics", f"{len(metrics):,}, in metrics.json"),
            ("predictions", "predictions.parquet, of folds 9 and 10"),
        ],
        shown=[
            Table(("class", "records with it", "AUROC", "F1", "threshold"), per_class, compact=True),
            Pictures(shown),
        ],
        footer=[f"Subgroups, disturbed recordings, statements, decisions: evaluation/{REPORT_FILE} of this run."],
    )


def overview_card(folder: Path, release: str) -> Card:
    """The card of all evaluated models of one feature set.

    Args:
        folder: ``<workspace>/evaluation/<feature set>``.
        release: of the data.
    """
    summary = _read(folder / SUMMARY_FILE)
    rows, models = summary["rows"], summary["models"]
    table = [
        Row(
            [
                Cell(model["model"]),
                *(estimate(**_bounds(model["test"][name])) for name in HEADLINE.values()),
                Cell(f"{model['count_params']:,}"),
                Cell(duration(model["seconds"])),
            ]
        )
        for model in models
    ]
    best = max(models, key=lambda model: model["test"]["macro_auroc"]["value"] or 0)
    of_best = picture(folder / best["model"] / FIGURES_FOLDER / "roc_curves.png", f"ROC curves of {best['model']}")
    data = _data({"simulated": summary["simulated"], "release": release})
    return Card(
        title="The models side by side",
        subtitle=f"Fold {TEST_FOLD} of {data}, {summary['feature_set']} features.",
        simulated=bool(summary["simulated"]),
        tiles=[
            Tile(model["model"], estimate(**_bounds(model["test"]["macro_auroc"])), "macro AUROC") for model in models
        ],
        went_in=[
            ("models", ", ".join(model["model"] for model in models)),
            (f"records (fold {TEST_FOLD})", f"{rows['test']:,} of {rows['test_patients']:,} patients"),
            ("data", summary["digest"][:12]),
        ],
        came_out=[
            ("highest macro AUROC", best["model"]),
            ("accuracy of saying nothing", number(models[0]["test"]["floor/binary_accuracy"]["value"])),
        ],
        shown=[
            Table(("model", *HEADLINE, "parameters", "trained in"), table),
            _by_class(folder, [model["model"] for model in models]),
            Pictures([of_best]),
        ],
        footer=[f"Paired comparisons, and what a leaking input is worth: {REPORT_FILE} of this run."],
    )


def _by_class(folder: Path, models: Sequence[str]) -> Table:
    """AUROC of every class, the models beside each other."""
    found = [_read(folder / model / METRICS_FILE) for model in models]
    rows = [
        Row([Cell(name), *(named(one["metrics"], one["intervals"], f"test/auroc/{name}") for one in found)])
        for name in SUPERCLASSES
    ]
    return Table(("AUROC", *models), rows)


def _bounds(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": metric["value"], "interval": metric["interval"]}


def _data(found: Mapping[str, Any]) -> str:
    return "simulated data" if found["simulated"] else f"PTB-XL {found['release']}"


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
