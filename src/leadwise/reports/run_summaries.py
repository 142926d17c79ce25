"""One page for each stage, model and study that is read in half a minute: what went in, what came out, what matters.

Every stage logs its own to its run. What a summary shows stands in the files that the stage has written.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, VALIDATION_FOLD
from leadwise.reports.report_page import (
    Bars,
    Cell,
    Page,
    Part,
    Row,
    Table,
    data_name,
    drawn,
    duration,
    estimate,
    model_tiles,
    number,
    picture,
)


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def simulation_summary(tree: Path, marker: str) -> Page:
    """Of a simulated tree; ``marker`` names the file in it that says how it was made."""
    made = _read(tree / marker)
    return Page(
        title="A simulated PTB-XL",
        subtitle=made["what"],
        simulated=True,
        tiles={"patients": f"{made['patients']:,}", "recordings": f"{made['records']:,}"},
        inputs={"seed": str(made["seed"]), "patients": f"{made['patients']:,}"},
        outputs={"tree": tree.name, "layout": "as PhysioNet publishes PTB-XL, with SHA256SUMS.txt"},
        footer=["The ingest stage reads this tree as it reads the real one."],
    )


def ingest_summary(manifest: Mapping[str, Any], checks: Mapping[str, Any], *, unchanged: bool) -> Page:
    """Of an ingestion.

    Args:
        manifest: of the store.
        checks: content of its ``validation.json``.
        unchanged: the store was there already.
    """
    inputs, splits = manifest["inputs"], manifest["splits"]
    left_out = len(manifest["unreadable"]) + len(manifest["missing_waveforms"])
    listed = f"{inputs['as_listed']:,} of {inputs['as_listed'] + len(inputs['not_as_listed']):,}"
    titles = {name: f"{name}: {title}" for name, title in SUPERCLASS_NAMES.items()} | {"unlabelled": "none of the five"}
    shares = [
        (titles[name], f"{count:,}", count / max(manifest["records"], 1)) for name, count in manifest["counts"].items()
    ]
    failed = [(Cell(one["says"], note=one["why"]), _counted(one)) for one in checks["outcomes"] if not one["success"]]
    parts: list[Part] = [Bars("Records by class, as a share of all; one record may have several", shares)]
    if failed:
        caption = "Expected, and not so in every record"
        parts.append(Table(("warning", "rows that do not fit"), failed, caption))
    return Page(
        title=f"Ingested: {data_name(manifest['simulated'], manifest['release'])}",
        subtitle="Nothing has changed since this store was written; it was left as it is." if unchanged else "",
        simulated=bool(manifest["simulated"]),
        tiles={
            "records": f"{manifest['records']:,}",
            "patients": f"{manifest['patients']:,}",
            "checks that held": f"{checks['tally']['passed']:,}",
            "warnings": Cell(f"{checks['tally']['failed_warning']:,}", note="no critical check failed"),
            "left out": Cell(f"{left_out:,}", note="recordings that cannot be read"),
            "repaired": Cell(f"{sum(manifest['repairs'].values()):,}", note="values of patients"),
        },
        inputs={
            "files": f"{inputs['files']:,}",
            "sampling rate": f"{manifest['fs_hz']:g} Hz",
            "SHA-256 of all files": inputs["sha256"][:12],
            "as SHA256SUMS.txt lists them": listed if inputs["listed"] else "there is no such list",
        },
        outputs={
            "digest": manifest["digest"][:12],
            "to train on (folds 1-8)": f"{splits['train']:,}",
            "to choose on (fold 9)": f"{splits['validation']:,}",
            "to report on (fold 10)": f"{splits['test']:,}",
            "written in": f"{manifest['seconds']:.1f} s",
        },
        parts=parts,
        footer=["Every check and repair, with the records that do not fit: validation/summary.html of this run."],
    )


def _counted(outcome: Mapping[str, Any]) -> str:
    if outcome["unexpected"] is None:
        return str(outcome["observed"])
    return f"{outcome['unexpected']:,} of {outcome['rows']:,}"


def training_summary(name: str, training: Mapping[str, Any], manifest: Mapping[str, Any]) -> Page:
    """Of a training.

    Args:
        name: what was trained.
        training: content of its ``training.json``.
        manifest: of the store.
    """
    from leadwise.reports.figure_style import history_figure

    used, found = training["parameters"], training["validation"]
    history = history_figure(training["history"], training["best_epoch"], name)
    reused = "Taken from an earlier run with the same parameters and data. " if training.get("reused") else ""
    data = data_name(manifest["simulated"], manifest["release"])
    return Page(
        title=f"Trained: {name}",
        subtitle=f"{reused}{training['feature_set'].capitalize()} features of {data}; fold 9 chooses the epoch.",
        simulated=bool(manifest["simulated"]),
        tiles={
            "macro AUROC, fold 9": number(found["val/macro_auroc"], 4),
            "mean accuracy, fold 9": number(found["val/binary_accuracy"]),
            "epoch kept": Cell(f"{training['best_epoch']} of {training['epochs']}", note=f"by {training['monitor']}"),
            "trained in": Cell(duration(training["seconds"]), note=training["backend"]),
            "parameters": f"{training['count_params']:,}",
        },
        inputs={
            "records (folds 1-8)": f"{manifest['splits']['train']:,}",
            "records (fold 9)": f"{manifest['splits']['validation']:,}",
            "data": manifest["digest"][:12],
            **{key.replace("-", " "): f"{used[key]}" for key in SHOWN_PARAMETERS if used.get(key)},
        },
        outputs={
            "model.keras": "weights of the kept epoch",
            "preprocessing.json": "scales, windows and imputation, fitted on folds 1-8",
            "history.csv": f"{training['epochs']} epochs",
            "loss, fold 9": number(found["val/loss"], 4),
        },
        parts=[[drawn(history, "Loss and validation metrics by epoch")]],
        footer=["All files: the folder model of this run. Fold 10 was not read."],
    )


SHOWN_PARAMETERS = (
    "encoder",
    "encoder-width",
    "learning-rate",
    "schedule",
    "batch-size",
    "weight-decay",
    "seed",
)
"""Of a training, by their names in ``training.json``; the run's parameters hold all."""


HEADLINE = {
    "macro AUROC": "macro_auroc",
    "mean accuracy at 0.5": "binary_accuracy",
    "macro F1, chosen thresholds": "chosen/macro_f1",
    "calibration error": "ece",
}
"""What the summaries of the evaluate stage open with."""


def _named(evaluated: Mapping[str, Any], name: str) -> Cell:
    """A metric of ``metrics.json``."""
    return estimate(evaluated["metrics"].get(name), evaluated["intervals"].get(name))


def tested_on(summary: Mapping[str, Any]) -> dict[str, str]:
    """Records and data behind a ``summary.json``."""
    rows = summary["rows"]
    tested = f"{rows['test']:,} of {rows['test_patients']:,} patients"
    return {f"records (fold {TEST_FOLD})": tested, "data": summary["digest"][:12]}


def evaluation_summary(folder: Path) -> Page:
    """Of one evaluated model; ``folder`` is what its evaluation has written."""
    from leadwise.evaluation import CALIBRATION_FILE, DECISION_FILE, FIGURES_FOLDER, METRICS_FILE, REPORT_FILE

    found, decision = _read(folder / METRICS_FILE), _read(folder / DECISION_FILE)
    metrics, rows = found["metrics"], found["rows"]
    floor = number(metrics.get("test/floor/binary_accuracy"))
    notes = {"binary_accuracy": f"always negative: {floor}", "ece": "0 is perfect"}
    per_class = [
        (
            f"{name}: {SUPERCLASS_NAMES[name]}",
            f"{rows['test_positives'][name]:,}",
            _named(found, f"test/auroc/{name}"),
            _named(found, f"test/chosen/f1/{name}"),
            number(decision["thresholds"][name]),
        )
        for name in SUPERCLASSES
    ]
    pictures = {
        "roc_curves": "ROC curves of fold 10",
        "reliability": "How far probabilities can be taken at their word",
    }
    return Page(
        title=f"Evaluated: {found['model']}",
        subtitle=(
            f"Fold {TEST_FOLD} of {data_name(found['simulated'], found['release'])}, read once; in small letters: 95 % "
            "intervals by patient."
        ),
        simulated=bool(found["simulated"]),
        tiles={
            title: replace(_named(found, f"test/{name}"), note=notes.get(name, "")) for title, name in HEADLINE.items()
        },
        inputs={
            f"records (fold {TEST_FOLD})": f"{rows['test']:,} of {rows['test_patients']:,} patients",
            f"records (fold {VALIDATION_FOLD})": f"{rows['val']:,}, for calibration and thresholds",
            "data": found["digest"][:12],
            "trained by": str(found["trained_by"] or "no tracked run"),
            "bootstrap": f"{found['bootstrap']['replicates']:,} replicates",
        },
        outputs={
            "calibration": _read(folder / CALIBRATION_FILE)["calibration"]["method"].replace("_", " "),
            "metrics": f"{len(metrics):,}, in metrics.json",
            "predictions": "predictions.parquet, of folds 9 and 10",
        },
        parts=[
            Table(("class", "records with it", "AUROC", "F1", "threshold"), per_class, style="compact"),
            [picture(folder / FIGURES_FOLDER / f"{name}.png", says) for name, says in pictures.items()],
        ],
        footer=[f"Subgroups, disturbed recordings, statements, decisions: evaluation/{REPORT_FILE} of this run."],
    )


def overview_summary(folder: Path, release: str) -> Page:
    """Of all evaluated models of one feature set.

    Args:
        folder: ``<workspace>/evaluation/<feature set>``.
        release: of the data.
    """
    from leadwise.evaluation import FIGURES_FOLDER, METRICS_FILE, REPORT_FILE, SUMMARY_FILE

    summary = _read(folder / SUMMARY_FILE)
    models = summary["models"]
    names = [model["model"] for model in models]
    found = [_read(folder / name / METRICS_FILE) for name in names]
    side_by_side: list[Row] = [
        (
            model["model"],
            *(estimate(**model["test"][name]) for name in HEADLINE.values()),
            f"{model['count_params']:,}",
            duration(model["seconds"]),
        )
        for model in models
    ]
    by_class: list[Row] = [
        (name, *(_named(evaluated, f"test/auroc/{name}") for evaluated in found)) for name in SUPERCLASSES
    ]
    best = max(models, key=lambda model: model["test"]["macro_auroc"]["value"] or 0)["model"]
    of_best = picture(folder / best / FIGURES_FOLDER / "roc_curves.png", f"ROC curves of {best}")
    return Page(
        title="The models side by side",
        subtitle=f"Fold {TEST_FOLD} of {data_name(summary['simulated'], release)}, {summary['feature_set']} features.",
        simulated=bool(summary["simulated"]),
        tiles=model_tiles(summary),
        inputs={"models": ", ".join(names), **tested_on(summary)},
        outputs={
            "highest macro AUROC": best,
            "accuracy of all-negative": number(models[0]["test"]["floor/binary_accuracy"]["value"]),
        },
        parts=[
            Table(("model", *HEADLINE, "parameters", "trained in"), side_by_side),
            Table(("AUROC", *names), by_class),
            [of_best],
        ],
        footer=[f"Paired comparisons, and what a leaking input is worth: {REPORT_FILE} of this run."],
    )


def registration_summary(
    registered: Mapping[str, Any], gate: Mapping[str, Any], package: Mapping[str, Any], mebibytes: float
) -> Page:
    """Of a registration.

    Args:
        registered: content of ``registered.json``.
        gate: content of ``gate.json``.
        package: the description that the package carries.
        mebibytes: size of its networks.
    """
    rows: dict[str, list[tuple[Cell, str, str]]] = {kind: [] for kind in OUTCOMES.values()}
    for check in gate["checks"]:
        # A long list of what was found stands below its name.
        long = len(check["measured"]) > LONGEST_MEASURED
        note = "; ".join(filter(None, [check["measured"] if long else "", check["note"]]))
        measured = "" if long else check["measured"]
        rows[OUTCOMES[check["passed"]]].append((Cell(check["name"], note=note), measured, check["allowed"]))
    head, data = ("check", "measured", "allowed"), package["data"]
    folds = {"fold 9": ("validation", "val/macro_auroc"), "fold 10": ("test", "macro_auroc")}
    scores = [
        (f"{network['name']}, {fold}", f"{value:.4f}", float(value))
        for network in package["networks"].values()
        for fold, (part, name) in folds.items()
        if (value := network[part].get(name)) is not None
    ]
    return Page(
        title=f"Registered: {registered['name']} version {registered['version']}",
        subtitle=gate["verdict"],
        simulated=bool(registered["simulated"]),
        tiles={
            "alias": registered["alias"] or "none",
            "gate": "passed" if gate["passed"] else "FAILED",
            **{f"checks {kind}": str(len(of_kind)) for kind, of_kind in rows.items()},
            "size": Cell(f"{mebibytes:.1f} MiB", note="two ONNX networks"),
        },
        inputs={
            "model": f"{registered['model']}, and metadata where there is no recording",
            "data": f"{data['digest'][:12]}, release {data['release']}",
            "champion before it": f"version {gate['champion']}" if gate["champion"] else "none",
        },
        outputs={
            "version": registered["uri"],
            "logged by": registered["run_id"],
            "requirements": ", ".join(registered["requirements"]),
        },
        parts=[
            *([Table(head, rows["FAILED"], "Checks that failed")] if rows["FAILED"] else []),
            Bars("Macro AUROC of what is inside", scores),
            *(
                Table(head, rows[kind], title=f"Checks {kind}", folded=True)
                for kind in ("passed", "not run")
                if rows[kind]
            ),
        ],
        footer=[gate["compared_on"], "The gate's report: gate.md of this run."],
    )


OUTCOMES = {True: "passed", False: "FAILED", None: "not run"}
LONGEST_MEASURED = 24
"""Letters that a column of numbers has room for."""
