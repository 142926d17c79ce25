"""Ingest a PTB-XL tree: read, validate, repair, and write the store; without data, simulate a tree first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.checks import validation
from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import MANIFEST_FILE, VALIDATION_FOLDER
from leadwise.reports.run_summaries import ingest_summary
from leadwise.reports.validation_page import write_validation_page
from leadwise.stage import log_store, run_stage, within_pipeline

HOW_TO_GET_IT = (
    "`leadwise download DIR` brings PTB-XL from PhysioNet (docs/data.md tells of other ways); give its folder as "
    "source, or leave source at its default for simulated data"
)


def find_source(parameters: Parameters) -> Path:
    """The tree to ingest; the simulated one is written if it is meant and not there with these parameters yet."""
    source, simulate = parameters.ingest.source, parameters.simulate
    if source == simulate.tree:
        from leadwise.datasets.synthetic import write_simulated_tree

        print(f"source is the simulated tree {source}: {simulate.patients} patients, seed {parameters.shared.seed}")
        return write_simulated_tree(
            source, patients=simulate.patients, seed=parameters.shared.seed, rate=parameters.ingest.rate
        )
    if not source.exists():
        raise LeadwiseError(f"source: {source} does not exist. {HOW_TO_GET_IT}")
    return source


def log_report(folder: Path, manifest: Mapping[str, Any]) -> None:
    """What validation found: metrics, verdict, and every page of it."""
    write_validation_page(folder, manifest)
    mlflow.log_metrics(validation.validation_metrics(folder))
    mlflow.set_tags(validation.validation_tags(folder))
    mlflow.log_artifacts(str(folder), "validation")


def work(parameters: Parameters) -> None:
    """Write ``<workspace>/store`` from the source."""
    asked, store = parameters.ingest, parameters.shared.workspace / "store"
    source, report = find_source(parameters), store / VALIDATION_FOLDER
    try:
        ingested = ingest(
            source, store, max_unreadable_share=asked.max_unreadable_share, rate=asked.rate, workers=asked.workers
        )
    except validation.ValidationFailed as failure:
        log_report(failure.report, {})
        raise
    manifest, unchanged = ingested.manifest, ingested.unchanged
    mlflow.log_metrics(validation.manifest_metrics(manifest))
    mlflow.set_tag("ingest.unchanged", str(unchanged).lower())
    mlflow.log_artifact(str(store / MANIFEST_FILE))
    log_report(report, manifest)
    log_store(manifest, "ingestion")
    checks = json.loads((report / validation.RESULTS_FILE).read_text(encoding="utf-8"))
    ingest_summary(manifest, checks, unchanged=unchanged).log()
    what = "unchanged, nothing to do" if unchanged else f"ingested in {manifest['seconds']:.1f} s"
    warnings = validation.validation_warnings(report)
    if not within_pipeline():
        print("".join(f"warning: {line[:300]}\n" for line in warnings), end="")
    print(
        f"{store}: {what}: "
        f"{manifest['records']:,} records of {manifest['patients']:,} patients, release {manifest['release']}, "
        f"digest {manifest['digest'][:12]}\n"
        f"{len(warnings)} validation warnings: {(report / validation.PAGE_FILE).resolve()}"
    )


if __name__ == "__main__":
    run_stage("ingest", work)
