"""One page for each stage, model and study that is read in half a minute: what went in, what came out, what matters.

Every stage logs its own to its run. What a summary shows stands in the files that the stage has written.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leadwise.contract import SUPERCLASS_NAMES
from leadwise.reports.report_page import Bars, Cell, Page, Part, Row, Table, data_name, drawn, duration, number


def simulation_summary(tree: Path, marker: str) -> Page:
    """Of a simulated tree; ``marker`` names the file in it that says how it was made."""
    made = json.loads((tree / marker).read_text(encoding="utf-8"))
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
    from leadwise.reports.figures import history_figure

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


def trainings_summary(trainings: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> Page:
    """Of a train stage; ``trainings`` are contents of ``training.json``."""
    rows: list[Row] = [
        (
            one["model"],
            number(one["validation"]["val/macro_auroc"], 4),
            number(one["validation"]["val/binary_accuracy"]),
            f"{one['best_epoch']} of {one['epochs']}",
            f"{one['count_params']:,}",
            duration(one["seconds"]),
        )
        for one in trainings
    ]
    return Page(
        title="The trainings side by side",
        subtitle=f"{data_name(manifest['simulated'], manifest['release'])}; fold 9 chooses the epoch.",
        simulated=bool(manifest["simulated"]),
        tiles={
            one["model"]: Cell(number(one["validation"]["val/macro_auroc"], 4), note="macro AUROC, fold 9")
            for one in trainings
        },
        inputs={"records (folds 1-8)": f"{manifest['splits']['train']:,}", "data": manifest["digest"][:12]},
        outputs={"weights": "the runs below this one, in their folders model"},
        parts=[Table(("model", "macro AUROC", "accuracy", "epoch kept", "parameters", "trained in"), rows)],
        footer=["The course of each training: the summaries of the runs below this one. Fold 10 was not read."],
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
