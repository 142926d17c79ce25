"""From a PTB-XL tree to the store: read, validate, repair, write; the store is whole or as it was before."""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from leadwise.atomic import folder_written_atomically
from leadwise.contract import FS_HZ, LEADS, MICROVOLTS_PER_UNIT, SUPERCLASSES
from leadwise.data.labels import label_counts
from leadwise.data.reading import MISSING, UNREADABLE, WITHDRAWN_ABSENT, Reading, read_signals
from leadwise.data.store import (
    MANIFEST_FILE,
    RECORDS_FILE,
    SIGNALS_FILE,
    SPLIT_FOLDS,
    VALIDATION_FOLDER,
    StoreError,
    content_digest,
    open_store,
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
    table_files_digest,
)

FORMAT = 1
FAILED_FOLDER = "validation-failed"
"""Beside the store: the report of an ingestion that a critical expectation stopped."""

CODE = tuple(
    f"{name}.py"
    for name in (
        *("expectations", "frames", "ingestion", "labels", "reading"),
        *("report", "store", "tables", "validation", "waveforms"),
    )
)
"""The modules whose change makes an existing store out of date."""
LIBRARIES = ("leadwise", "numpy", "pandas", "pyarrow", "great-expectations", "wfdb")


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


def ingest(tree: Path, folder: Path, *, max_unreadable_share: float) -> Ingested:
    """Bring a PTB-XL tree into a store; at once if nothing changed since the last time.

    Args:
        tree: a PTB-XL tree with its 100 Hz part, real or simulated.
        folder: the store to write; the report of a failure goes beside it.
        max_unreadable_share: share of absent or unreadable records above which nothing is written.

    Raises:
        TableError: a table is absent or is no table.
        ValidationFailed: a critical expectation failed; the message lists each with counts and examples.
    """
    started = time.perf_counter()
    tree, folder = Path(tree).resolve(), Path(folder)
    tables = read_tables(tree)
    fingerprint = input_fingerprint(tables, {"max_unreadable_share": max_unreadable_share})
    if (manifest := _current_manifest(folder, fingerprint)) is not None:
        return Ingested(folder, manifest, unchanged=True)

    from leadwise.data.validation import Validation

    failed = folder.parent / FAILED_FOLDER
    counts = table_counts(tables)
    release = release_of(tables, counts)
    validation = Validation(tree, release)
    validation.check_tables(tables)
    validation.stop_if_critical(failed)
    cleaned = clean(tables)
    with folder_written_atomically(folder) as beside:
        table = cleaned.records
        reading = read_signals(
            tree,
            table["ecg_id"].tolist(),
            table["filename"].tolist(),
            beside / SIGNALS_FILE,
            withdrawn=() if tables.simulated else WITHDRAWN,
        )
        validation.check_signals(reading.summary, max_unreadable_share)
        validation.stop_if_critical(failed)
        manifest = _manifest(tables, cleaned, reading, release, counts) | {
            "validation": validation.tally(),
            "configuration": {"max_unreadable_share": max_unreadable_share},
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - started, 2),
        }
        table[reading.is_read].reset_index(drop=True).to_parquet(beside / RECORDS_FILE, index=False)
        validation.write_report(beside / VALIDATION_FOLDER, manifest)
        (beside / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")
    if failed.exists():
        shutil.rmtree(failed)
    return Ingested(folder, manifest, unchanged=False)


def input_fingerprint(tables: Tables, configuration: Mapping[str, object]) -> str:
    """SHA-256 over the tables, the size and time of change of each waveform file, the configuration and our code.

    It tells cheaply whether to ingest again; what was ingested is told by the digest of the content.
    """
    digest = hashlib.sha256(table_files_digest(tables.tree).encode())
    digest.update(json.dumps({"format": FORMAT, "tree": str(tables.tree), **configuration}, sort_keys=True).encode())
    for name in CODE:
        digest.update(Path(__file__).with_name(name).read_bytes())
    folders = {str(PurePosixPath(name).parent) for name in tables.database["filename_lr"] if is_inside(name)}
    for folder in sorted(folders):
        digest.update(_folder_state(tables.tree / folder).encode())
    return digest.hexdigest()


def _folder_state(folder: Path) -> str:
    """Name, size and time of change of every file in a folder."""
    if not folder.is_dir():
        return f"{folder.name} is absent"
    with os.scandir(folder) as entries:
        states = [(entry.name, entry.stat()) for entry in entries]
    return "".join(f"{name} {state.st_size} {state.st_mtime_ns};" for name, state in sorted(states))


def _current_manifest(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The manifest of the store, if it is whole and was made from the same input."""
    try:
        store = open_store(folder)
    except StoreError:
        return None
    return store.manifest if store.manifest.get("fingerprint") == fingerprint else None


def _manifest(
    tables: Tables, cleaned: Cleaned, reading: Reading, release: str, counts: Mapping[str, int]
) -> dict[str, Any]:
    records = cleaned.records[reading.is_read]
    folds = records["strat_fold"].value_counts().sort_index()
    return {
        "format": FORMAT,
        "digest": content_digest(records, reading.hashes),
        "release": release,
        "simulated": tables.simulated,
        "source": str(tables.tree),
        "records": len(records),
        "patients": int(records["patient_id"].nunique()),
        "fs_hz": FS_HZ,
        "leads": list(LEADS),
        "microvolts_per_unit": MICROVOLTS_PER_UNIT,
        "counts": label_counts(records[list(SUPERCLASSES)].to_numpy()),
        "folds": {str(fold): int(count) for fold, count in folds.items()},
        "splits": {name: int(records["strat_fold"].isin(of).sum()) for name, of in SPLIT_FOLDS.items()},
        "table_counts": dict(counts),
        "repairs": {str(name): int(count) for name, count in cleaned.repairs[reading.is_read].sum().items()},
        "unreadable": reading.listed(UNREADABLE),
        "missing_waveforms": reading.listed(MISSING, WITHDRAWN_ABSENT),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str:
    from leadwise import __version__

    return __version__ if name == "leadwise" else version(name)
