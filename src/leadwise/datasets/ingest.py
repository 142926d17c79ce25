"""From a PTB-XL tree to the store: read, validate, repair, write; the store is whole or as it was before."""

import hashlib
import inspect
import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leadwise import __version__
from leadwise.atomic import file_lock, folder_written_atomically
from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT, SUPERCLASSES, LeadwiseError, StoredRate
from leadwise.datasets.base import Cleaned, Dataset, DatasetTables, dataset_in, dataset_named
from leadwise.datasets.reading import MISSING, UNREADABLE, WITHDRAWN_ABSENT, Reading, read_signals, signal_frame
from leadwise.datasets.releases import SUMS_FILE, read_sha256sums, sha256_of
from leadwise.datasets.store import (
    INPUTS_FILE,
    MANIFEST_FILE,
    RECORDS_FILE,
    SIGNALS_FILE,
    SPLIT_FOLDS,
    VALIDATION_FOLDER,
    StoreError,
    content_digest,
    open_store,
    write_croissant,
)
from leadwise.datasets.tables import is_inside, label_counts
from leadwise.features import stored_names
from leadwise.terminal import terminal

LIBRARIES = ("numpy", "pandas", "pyarrow", "great-expectations", "wfdb")
FORMAT = 3
FAILED_FOLDER = "validation-failed"
"""Beside the store: the report of an ingestion that a critical expectation stopped."""


class IngestionError(LeadwiseError):
    """The tree does not hold what is to be ingested; the message says how to get it."""


@dataclass(frozen=True)
class Ingested:
    """The store's manifest, and whether it was there already, of the same files and configuration."""

    manifest: dict[str, Any]
    unchanged: bool


def ingest(
    tree: Path,
    folder: Path,
    *,
    max_unreadable_share: float,
    rate: StoredRate = 100,
    workers: int | None = None,
    dataset: str = "",
) -> Ingested:
    """Bring a dataset into a store; at once if nothing changed since the last time.

    A second ingestion into the same folder waits until the first is done. Killed at any moment, it leaves the store
    as it was before; what else it leaves is cleared away by the next one.

    Args:
        tree: the folder that holds it, with its waveforms of 100 Hz or 500 Hz.
        folder: the store to write; the report of a failure goes beside it.
        max_unreadable_share: share of absent or unreadable records above which nothing is written.
        rate: sampling rate in Hz of the records to read.
        workers: processes that read; 1: this one; None or 0: as many as there are processors, if that is worth it.
        dataset: its name; empty: whichever the folder is recognised as.

    Raises:
        CohortError: there is no dataset of this name.
        IngestionError: the tree has no waveforms of this rate.
        LeadwiseError: a table or ``SHA256SUMS.txt`` is none, or a process that read was killed.
        ValidationFailed: a critical expectation failed; the message lists each with counts and examples.
    """
    started = time.perf_counter()
    tree, folder = Path(tree).resolve(), Path(folder)
    of = dataset_named(dataset) if dataset else dataset_in(tree)
    tables = of.read_tables(tree, rate)
    _require_waveforms(of, tables)
    configuration = {"rate": rate, "max_unreadable_share": max_unreadable_share}
    current = fingerprint(of, tables, configuration)
    if (manifest := _current_manifest(folder, current)) is not None:
        return Ingested(manifest, unchanged=True)

    waiting = f"{folder}: another ingestion is writing here; waiting until it is done"
    with file_lock(folder, lambda: print(waiting, file=terminal())):
        if (manifest := _current_manifest(folder, current)) is not None:
            return Ingested(manifest, unchanged=True)
        manifest = _ingest(of, tables, folder, configuration, current, workers or 0, started)
    return Ingested(manifest, unchanged=False)


def _ingest(
    dataset: Dataset[Any],
    tables: DatasetTables,
    folder: Path,
    configuration: Mapping[str, Any],
    current: str,
    workers: int,
    started: float,
) -> dict[str, Any]:
    """Read, validate and write; returns the manifest."""
    from leadwise.datasets.checks.validation import Validation

    failed = folder.parent / FAILED_FOLDER
    sums = read_sha256sums(tables.tree / SUMS_FILE) if (tables.tree / SUMS_FILE).exists() else None
    counts = dataset.counts(tables)
    release = dataset.release(tables, counts)
    validation = Validation(tables.tree, release, dataset)
    # What is not listed at all cannot differ.
    others = None if sums is None else [name for name, sha in tables.files.items() if sums.get(name, sha) != sha]
    for name, frame in dataset.frames(tables, others or ()).items():
        validation.check(name, frame, is_listed=others is not None)
    validation.stop_if_critical(failed)
    cleaned = dataset.clean(tables)
    with folder_written_atomically(folder, durable=True) as beside, ThreadPoolExecutor(1) as thread:
        table = cleaned.records
        reading = read_signals(
            tables.tree,
            table["ecg_id"].tolist(),
            table["filename"].tolist(),
            beside / SIGNALS_FILE,
            rate=tables.rate,
            workers=workers,
            withdrawn=dataset.may_be_absent,
            sums=sums,
        )
        folds = table.set_index("ecg_id")["strat_fold"]
        validation.measured = reading.summary
        validation.check("signals", signal_frame(reading.summary, folds), configuration["max_unreadable_share"])
        validation.stop_if_critical(failed)
        files = {**tables.files, **reading.files}
        if sums is not None:
            files[SUMS_FILE] = sha256_of(tables.tree / SUMS_FILE)
        # As `sha256sum --check` in the tree reads it.
        listing = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
        manifest = _manifest(dataset, tables, cleaned, reading, release, counts) | {
            "inputs": _inputs(files, listing, tables, sums),
            "validation": validation.tally(),
            "configuration": dict(configuration),
            "fingerprint": current,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - started, 2),
        }
        # Half a gigabyte at 100 Hz, hashed while tables and pages are written.
        hashing = thread.submit(sha256_of, beside / SIGNALS_FILE)
        table[reading.is_read].reset_index(drop=True).to_parquet(beside / RECORDS_FILE, index=False)
        (beside / INPUTS_FILE).write_text(listing, encoding="utf-8")
        validation.write_report(beside / VALIDATION_FOLDER)
        (beside / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")
        write_croissant(beside, dataset, manifest, hashing.result())
    shutil.rmtree(failed, ignore_errors=True)
    return manifest


def _require_waveforms(dataset: Dataset[Any], tables: DatasetTables) -> None:
    """Stop if the tree has no part of this rate at all."""
    parts = {part for part in {str(name).partition("/")[0] for name in tables.filenames} if is_inside(part)}
    how = f": {dataset.command.format(tree=tables.tree, rate=tables.rate)}" if dataset.command else ""
    if parts and not any((tables.tree / part).exists() for part in parts):
        raise IngestionError(
            f"{tables.tree}: no {' or '.join(sorted(parts))} in this tree, which would hold the waveforms at "
            f"{tables.rate} Hz{how}"
        )


def _inputs(
    files: Mapping[str, str], listing: str, tables: DatasetTables, sums: Mapping[str, str] | None
) -> dict[str, object]:
    """What the manifest says of the files that were read: counts, digests, and what was not as listed."""
    listed = sums or {}
    return {
        "files": len(files),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "tables": dict(tables.files),
        "listed": sums is not None,
        "as_listed": sum(listed.get(name) == found for name, found in files.items()),
        "not_listed": sum(name not in listed for name in files if name != SUMS_FILE) if sums else 0,
        "not_as_listed": sorted(name for name, found in files.items() if listed.get(name, found) != found),
    }


def _current_manifest(folder: Path, current: str) -> dict[str, Any] | None:
    """The manifest of the store, if it is whole and was made from the same input."""
    try:
        store = open_store(folder, fs_hz=None)
    except StoreError:
        return None
    return store.manifest if store.manifest.get("fingerprint") == current else None


def _manifest(
    dataset: Dataset[Any],
    tables: DatasetTables,
    cleaned: Cleaned,
    reading: Reading,
    release: str,
    counts: Mapping[str, int],
) -> dict[str, Any]:
    records = cleaned.records[reading.is_read]
    folds = records["strat_fold"].value_counts().sort_index()
    return {
        "format": FORMAT,
        "digest": content_digest(records, reading.hashes),
        "release": release,
        "dataset": dataset.name,
        "simulated": not dataset.about_patients,
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


def fingerprint(dataset: Dataset[Any], tables: DatasetTables, configuration: Mapping[str, object]) -> str:
    """SHA-256 over the tables, the state of each waveform file, the configuration, our code and the libraries.

    The state of a file is its size, its time of change and the kernel's own time of change (ctime), which no program
    can put back. It tells in half a second whether to ingest again; what was ingested is told by the digests.
    """
    sums_file = tables.tree / SUMS_FILE
    content = {
        "format": FORMAT,
        "tree": str(tables.tree),
        "configuration": dict(configuration),
        "tables": dict(tables.files),
        "sums": sha256_of(sums_file) if sums_file.is_file() else None,
        "dataset": dataset.name,
        "code": code_digest(type(dataset)),
        "features": stored_names(),
        "versions": versions(),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    folders = {name.rpartition("/")[0] for name in tables.filenames if isinstance(name, str)}
    for folder in sorted(filter(is_inside, folders)):
        digest.update(_folder_state(tables.tree / folder, folder).encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, Leadwise and the libraries that had a part in a store."""
    return {"python": platform.python_version(), "leadwise": __version__} | {name: version(name) for name in LIBRARIES}


@cache
def code_digest(kind: type[Dataset[Any]]) -> str:
    """SHA-256 of the modules and suites that have a part in a store, and of the module of the dataset.

    Looked up once in a process, which goes on with the code that it has loaded.
    """
    package = Path(__file__).parents[1]
    files = [package / "contract.py", package / "features.py"]
    files += [file for part in ("datasets", "ecg") for file in (package / part).rglob("*.*")]
    own = inspect.getsourcefile(kind)
    digest = hashlib.sha256(Path(own).read_bytes() if own else b"")
    for file in sorted(file for file in files if file.is_file() and file.suffix != ".pyc"):
        digest.update(f"{file.relative_to(package)} {sha256_of(file)};".encode())
    return digest.hexdigest()


def _folder_state(folder: Path, name: str) -> str:
    """Name, size and times of change of every file in a folder."""
    if not folder.is_dir():
        return f"{name} is absent;"
    with os.scandir(folder) as entries:
        states = sorted((entry.name, entry.stat()) for entry in entries)
    return f"{name}:" + "".join(f"{file} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns};" for file, s in states)
