"""The summaries of what holds several models: a stage that trains, one that tunes, and the whole pipeline."""

from collections.abc import Mapping, Sequence
from typing import Any

from leadwise.contract import SUPERCLASSES
from leadwise.reports.report_page import (
    Cell,
    Page,
    Row,
    Table,
    data_name,
    duration,
    estimate,
    model_tiles,
    number,
    short,
)
from leadwise.reports.run_summaries import tested_on


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


def studies_summary(studies: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> Page:
    """Of a tune stage; ``studies``: model -> content of its ``tuned.json``."""
    rows: list[Row] = [
        (
            model,
            number(found["value"], 4),
            number(found["defaults"], 4),
            f"{found['trial']} of {sum(found['trials'].values())}",
            ", ".join(f"{name} {short(value)}" for name, value in found["parameters"].items()),
        )
        for model, found in studies.items()
    ]
    monitors = ", ".join(sorted({found["monitor"] for found in studies.values()}))
    return Page(
        title="The studies side by side",
        subtitle=f"{monitors} of {data_name(manifest['simulated'], manifest['release'])}, fold 9.",
        simulated=bool(manifest["simulated"]),
        tiles={model: Cell(number(found["value"], 4), note="best trial") for model, found in studies.items()},
        inputs={"models": ", ".join(studies), "data": manifest["digest"][:12]},
        outputs={"best parameters": "tuned.json of the runs below; train takes them with use-tuned=true"},
        parts=[Table(("model", "best", "as configured", "trial", "its values"), rows)],
        footer=["Figures and every trial: the runs below this one."],
    )


def pipeline_summary(
    summary: Mapping[str, Any], release: str, seconds: Mapping[str, float], verdict: str, report: str
) -> Page:
    """Of a whole pipeline.

    Args:
        summary: content of ``summary.json``.
        release: of the data.
        seconds: by stage.
        verdict: of the gate; empty: nothing was registered.
        report: file name of the evaluation's report.
    """
    models: list[Row] = [
        (
            model["model"],
            estimate(**model["test"]["macro_auroc"]),
            *(number(model["auroc"][name]) for name in SUPERCLASSES),
            duration(model["seconds"]),
        )
        for model in summary["models"]
    ]
    return Page(
        title="The whole pipeline",
        subtitle=f"{data_name(summary['simulated'], release)}, {summary['feature_set']} features. {verdict}",
        simulated=bool(summary["simulated"]),
        tiles=model_tiles(summary),
        inputs=tested_on(summary),
        outputs={stage: duration(spent) for stage, spent in seconds.items()},
        parts=[Table(("model", "macro AUROC", *SUPERCLASSES, "trained in"), models)],
        footer=[f"Figures and comparisons: {report} of the run evaluate; each stage has a summary of its own."],
    )
