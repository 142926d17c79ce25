"""Ingest a PTB-XL tree: read, validate, repair, and write the store; without data, simulate a tree first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.checks.validation import (
    RESULTS_FILE,
    ValidationFailed,
    manifest_metrics,
    validation_metrics,
    validation_tags,
    validation_warnings,
)
from leadwise.datasets.ingest import Ingested, ingest
from leadwise.datasets.store import MANIFEST_FILE, VALIDATION_FOLDER
from leadwise.reports.run_summaries import ingest_summary
from leadwise.reports.validation_page import write_validation_page
from leadwise.stage import log_folder, log_store, run_stage

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


def log_outcome(ingested: Ingested) -> None:
    """Metrics, manifest and validation report of the run."""
    manifest = ingested.manifest
    mlflow.log_metrics(manifest_metrics(manifest))
    mlflow.set_tag("ingest.unchanged", str(ingested.unchanged).lower())
    mlflow.log_artifact(str(ingested.folder / MANIFEST_FILE))
    log_report(ingested.folder / VALIDATION_FOLDER, manifest)
    log_store(manifest, "ingestion")
    checks = json.loads((ingested.folder / VALIDATION_FOLDER / RESULTS_FILE).read_text(encoding="utf-8"))
    ingest_summary(manifest, checks, unchanged=ingested.unchanged).log()


def log_report(folder: Path, manifest: Mapping[str, Any]) -> None:
    """What validation found: metrics, verdict, and every page of it."""
    write_validation_page(folder, manifest)
    mlflow.log_metrics(validation_metrics(folder))
    mlflow.set_tags(validation_tags(folder))
    log_folder(folder, "validation")


def work(parameters: Parameters) -> None:
    """Write ``<workspace>/store`` from the source."""
    asked, store = parameters.ingest, parameters.shared.workspace / "store"
    unreadable = asked.max_unreadable_share
    try:
        ingested = ingest(
            find_source(parameters), store, max_unreadable_share=unreadable, rate=asked.rate, workers=asked.workers
        )
    except ValidationFailed as failure:
        log_report(failure.report, {})
        raise
    log_outcome(ingested)
    manifest = ingested.manifest
    what = "unchanged, nothing to do" if ingested.unchanged else f"ingested in {manifest['seconds']:.1f} s"
    warnings = validation_warnings(store / VALIDATION_FOLDER)
    print("".join(f"warning: {line[:300]}\n" for line in warnings), end="")
    print(
        f"{store}: {what}: {manifest['records']:,} records of {manifest['patients']:,} patients, "
        f"release {manifest['release']}, {len(warnings)} validation warnings, digest {manifest['digest'][:12]}"
    )


if __name__ == "__main__":
    run_stage("ingest", work)
