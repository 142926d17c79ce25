"""Ingest a PTB-XL tree: read, validate, repair, and write the store; without data, simulate a tree first."""

from collections.abc import Mapping
from pathlib import Path

import mlflow

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.data.ingestion import Ingested, ingest
from leadwise.data.store import MANIFEST_FILE, VALIDATION_FOLDER
from leadwise.data.validation import ValidationFailed
from leadwise.stage import log_folder, log_store, run_stage

HOW_TO_GET_IT = (
    "Download PTB-XL 1.0.3 from https://physionet.org/content/ptb-xl/1.0.3/ (the tables and records100) "
    "and give its folder as source, or leave source at its default for simulated data"
)


def find_source(parameters: Parameters) -> Path:
    """The tree to ingest; the simulated one is written if it is meant and not there with these parameters yet."""
    source, simulate = parameters.ingest.source, parameters.simulate
    if source == simulate.tree:
        from leadwise.data.simulator import write_simulated_tree

        print(f"source is the simulated tree {source}: {simulate.patients} patients, seed {parameters.shared.seed}")
        return write_simulated_tree(source, patients=simulate.patients, seed=parameters.shared.seed)
    if not source.exists():
        raise LeadwiseError(f"source: {source} does not exist. {HOW_TO_GET_IT}")
    return source


def log_outcome(ingested: Ingested) -> None:
    """Metrics, manifest and validation report of the run."""
    manifest = ingested.manifest
    metrics = {"ingest/records/all": manifest["records"], "ingest/patients": manifest["patients"]}
    metrics |= {f"ingest/records/{name}": count for name, count in manifest["counts"].items()}
    metrics |= {f"ingest/records/{name}": count for name, count in manifest["splits"].items()}
    metrics |= {f"ingest/repairs/{name}": count for name, count in manifest["repairs"].items()}
    metrics |= {f"ingest/left_out/{name}": len(manifest[name]) for name in ("unreadable", "missing_waveforms")}
    mlflow.log_metrics(metrics | expectation_metrics(manifest["validation"]))
    mlflow.set_tag("ingest.unchanged", str(ingested.unchanged).lower())
    mlflow.log_artifact(str(ingested.folder / MANIFEST_FILE))
    log_folder(ingested.folder / VALIDATION_FOLDER, "validation")
    log_store(manifest, "ingestion")


def expectation_metrics(tally: Mapping[str, int]) -> dict[str, float]:
    """How many expectations held and failed."""
    return {f"ingest/expectations/{name}": count for name, count in tally.items()}


def work(parameters: Parameters) -> None:
    """Write ``<workspace>/store`` from the source."""
    store = parameters.shared.workspace / "store"
    try:
        ingested = ingest(find_source(parameters), store, max_unreadable_share=parameters.ingest.max_unreadable_share)
    except ValidationFailed as failure:
        mlflow.log_metrics(expectation_metrics(failure.tally))
        log_folder(failure.report, "validation")
        raise
    log_outcome(ingested)
    manifest = ingested.manifest
    what = "unchanged, nothing to do" if ingested.unchanged else f"ingested in {manifest['seconds']:.1f} s"
    warnings = manifest["validation"]["failed_warning"]
    print(
        f"{store}: {what}: {manifest['records']:,} records of {manifest['patients']:,} patients, "
        f"release {manifest['release']}, {warnings} validation warnings, digest {manifest['digest'][:12]}"
    )


if __name__ == "__main__":
    run_stage("ingest", work)
