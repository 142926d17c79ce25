"""From a PTB-XL tree to the store: read, validate, repair, write; the store is whole or as it was before."""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leadwise.atomic import folder_written_atomically, one_at_a_time
from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT, SUPERCLASSES, LeadwiseError, StoredRate
from leadwise.data.checksums import SUMS_FILE, sha256_of
from leadwise.data.inputs import Inputs, fingerprint, tables_not_as_listed, tree_sums, versions
from leadwise.data.labels import label_counts
from leadwise.data.reading import MISSING, UNREADABLE, WITHDRAWN_ABSENT, Reading, read_signals
from leadwise.data.store import (
    INPUTS_FILE,
    MANIFEST_FILE,
    PRIVILEGED_FILE,
    RECORDS_FILE,
    SIGNALS_FILE,
    SPLIT_FOLDS,
    VALIDATION_FOLDER,
    StoreError,
    content_digest,
    open_store,
    privileged_digest,
)
from leadwise.data.tables import (
    WITHDRAWN,
    Cleaned,
    Tables,
    clean,
    is_inside,
    read_tables,
    release_of,
    table_counts,
)

FORMAT = 3
FAILED_FOLDER = "validation-failed"
"""Beside the store: the report of an ingestion that a critical expectation stopped."""


class IngestionError(LeadwiseError):
    """The tree does not hold what is to be ingested; the message says how to get it."""


@dataclass(frozen=True)
class Ingested:
    """What ``ingest`` did.

    Attributes:
        folder: the store.
        manifest: its manifest.
        unchanged: the store was there already, from the same files and configuration.
    """

    folder: Path
    manifest: dict[str, Any]
    unchanged: bool


def ingest(
    tree: Path, folder: Path, *, max_unreadable_share: float, rate: StoredRate = 100, workers: int | None = None
) -> Ingested:
    """Bring a PTB-XL tree into a store; at once if nothing changed since the last time.

    A second ingestion into the same folder waits until the first is done. Killed at any moment, it leaves the store
    as it was before; what else it leaves is cleared away by the next one.

    Args:
        tree: a PTB-XL tree with its 100 Hz or 500 Hz part, real or simulated.
        folder: the store to write; the report of a failure goes beside it.
        max_unreadable_share: share of absent or unreadable records above which nothing is written.
        rate: sampling rate in Hz of the records to read.
        workers: processes that read; 1: this one; None or 0: as many as there are processors, if that is worth it.

    Raises:
        TableError: a table is absent or is no table.
        IngestionError: the tree has no waveforms of this rate.
        ChecksumError: its ``SHA256SUMS.txt`` is no such list.
        ProcessDied: a process that read was killed.
        ValidationFailed: a critical expectation failed; the message lists each with counts and examples.
    """
    started = time.perf_counter()
    tree, folder = Path(tree).resolve(), Path(folder)
    tables = read_tables(tree, rate)
    _require_waveforms(tables)
    configuration = {"rate": rate, "max_unreadable_share": max_unreadable_share}
    current = fingerprint(tables, configuration, FORMAT)
    if (manifest := _current_manifest(folder, current)) is not None:
        return Ingested(folder, manifest, unchanged=True)

    def waiting() -> None:
        print(f"{folder}: another ingestion is writing here; waiting until it is done", file=sys.stderr)

    with one_at_a_time(folder, waiting):
        if (manifest := _current_manifest(folder, current)) is not None:
            return Ingested(folder, manifest, unchanged=True)
        manifest = _ingest(tables, folder, configuration, current, workers or 0, started)
    return Ingested(folder, manifest, unchanged=False)


def _ingest(
    tables: Tables, folder: Path, configuration: Mapping[str, Any], current: str, workers: int, started: float
) -> dict[str, Any]:
    """Read, validate and write; returns the manifest."""
    from leadwise.data.validation import Validation

    failed = folder.parent / FAILED_FOLDER
    sums = tree_sums(tables.tree)
    counts = table_counts(tables)
    release = release_of(tables, counts)
    validation = Validation(tables.tree, release)
    validation.check_tables(tables, not_as_listed=tables_not_as_listed(tables, sums))
    validation.stop_if_critical(failed)
    cleaned = clean(tables)
    with folder_written_atomically(folder, durable=True) as beside:
        table = cleaned.records
        reading = read_signals(
            tables.tree,
            table["ecg_id"].tolist(),
            table["filename"].tolist(),
            beside / SIGNALS_FILE,
            rate=tables.rate,
            workers=workers,
            withdrawn=() if tables.simulated else WITHDRAWN,
            sums=sums,
        )
        validation.check_signals(reading.summary, configuration["max_unreadable_share"])
        validation.stop_if_critical(failed)
        inputs = Inputs(_input_files(tables, reading), sums)
        manifest = _manifest(tables, cleaned, reading, release, counts) | {
            "inputs": inputs.described(tables),
            "validation": validation.tally(),
            "configuration": dict(configuration),
            "fingerprint": current,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - started, 2),
        }
        for name, rows in ((RECORDS_FILE, table), (PRIVILEGED_FILE, cleaned.privileged)):
            rows[reading.is_read].reset_index(drop=True).to_parquet(beside / name, index=False)
        (beside / INPUTS_FILE).write_text(inputs.listing(), encoding="utf-8")
        validation.write_report(beside / VALIDATION_FOLDER, manifest)
        (beside / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(failed, ignore_errors=True)
    return manifest


def _require_waveforms(tables: Tables) -> None:
    """Stop if the tree has no part of this rate at all."""
    parts = {part for part in {str(name).partition("/")[0] for name in tables.filenames} if is_inside(part)}
    if parts and not any((tables.tree / part).exists() for part in parts):
        raise IngestionError(
            f"{tables.tree}: no {' or '.join(sorted(parts))} in this tree, which would hold the waveforms at "
            f"{tables.rate} Hz: leadwise download {tables.tree} --rate {tables.rate}"
        )


def _input_files(tables: Tables, reading: Reading) -> dict[str, str]:
    """Every file that was read -> its SHA-256."""
    files = {**tables.files, **reading.files}
    if (sums_file := tables.tree / SUMS_FILE).is_file():
        files[SUMS_FILE] = sha256_of(sums_file)
    return files


def _current_manifest(folder: Path, current: str) -> dict[str, Any] | None:
    """The manifest of the store, if it is whole and was made from the same input."""
    try:
        store = open_store(folder, fs_hz=None)
    except StoreError:
        return None
    return store.manifest if store.manifest.get("fingerprint") == current else None


def _manifest(
    tables: Tables, cleaned: Cleaned, reading: Reading, release: str, counts: Mapping[str, int]
) -> dict[str, Any]:
    records = cleaned.records[reading.is_read]
    folds = records["strat_fold"].value_counts().sort_index()
    return {
        "format": FORMAT,
        "digest": content_digest(records, reading.hashes),
        "privileged_digest": privileged_digest(cleaned.privileged[reading.is_read]),
        "release": release,
        "simulated": tables.simulated,
        "source": str(tables.tree),
        "records": len(records),
        "patients": int(records["patient_id"].nunique()),
        "fs_hz": float(tables.rate),
        "leads": list(LEADS),
        "microvolts_per_unit": MICROVOLTS_PER_UNIT,
        "counts": label_counts(records[list(SUPERCLASSES)].to_numpy()),
        "folds": {str(fold): int(count) for fold, count in folds.items()},
        "splits": {name: int(records["strat_fold"].isin(of).sum()) for name, of in SPLIT_FOLDS.items()},
        "table_counts": dict(counts),
        "repairs": {str(name): int(count) for name, count in cleaned.repairs[reading.is_read].sum().items()},
        "unreadable": reading.listed(UNREADABLE),
        "missing_waveforms": reading.listed(MISSING, WITHDRAWN_ABSENT),
        "versions": versions(),
    }
