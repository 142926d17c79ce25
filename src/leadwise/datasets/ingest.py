"""From a PTB-XL tree to the store: read, validate, repair, write; the store is whole or as it was before."""

import ast
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leadwise import __version__
from leadwise.atomic import file_lock, folder_written_atomically
from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT, SUPERCLASSES, LeadwiseError, StoredRate
from leadwise.datasets.checksums import SUMS_FILE, read_sha256sums, sha256_of
from leadwise.datasets.reading import MISSING, UNREADABLE, WITHDRAWN_ABSENT, Reading, read_signals
from leadwise.datasets.store import (
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
from leadwise.datasets.tables import (
    WITHDRAWN,
    Cleaned,
    Tables,
    clean,
    is_inside,
    label_counts,
    read_tables,
    release_of,
    table_counts,
)

ENTRY = "leadwise.datasets.ingest"
NO_PART = frozenset({"leadwise", "leadwise.atomic", "leadwise.config", "leadwise.datasets.reading"})
"""Modules that ingestion uses and that change nothing in a store."""
LIBRARIES = ("numpy", "pandas", "pyarrow", "great-expectations", "wfdb")


@dataclass(frozen=True)
class Inputs:
    """Every file that an ingestion has read.

    Attributes:
        files: path below the tree -> SHA-256 of its bytes.
        sums: what the tree's own ``SHA256SUMS.txt`` says; None if it has none.
    """

    files: Mapping[str, str]
    sums: Mapping[str, str] | None

    def listing(self) -> str:
        """The content of ``inputs.sha256``: ``sha256sum --check`` in the tree reads it. Sorted by path."""
        return "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))

    def described(self, tables: Tables) -> dict[str, object]:
        """What the manifest holds: counts, the digest of the listing and of each table, and what was not as listed."""
        sums = self.sums or {}
        return {
            "files": len(self.files),
            "sha256": hashlib.sha256(self.listing().encode()).hexdigest(),
            "tables": dict(tables.files),
            "listed": self.sums is not None,
            "as_listed": sum(sums.get(name) == found for name, found in self.files.items()),
            "not_listed": sum(name not in sums for name in self.files if name != SUMS_FILE) if sums else 0,
            "not_as_listed": sorted(name for name, found in self.files.items() if sums.get(name, found) != found),
        }


def tree_sums(tree: Path) -> dict[str, str] | None:
    """What the tree's ``SHA256SUMS.txt`` says; None where there is none.

    Raises:
        ChecksumError: it is no such list.
    """
    file = tree / SUMS_FILE
    return read_sha256sums(file) if file.exists() else None


def tables_not_as_listed(tables: Tables, sums: Mapping[str, str] | None) -> list[str] | None:
    """Names of the tables whose bytes are not those that ``SHA256SUMS.txt`` lists; None where nothing is listed."""
    if sums is None:
        return None
    return [name for name, found in tables.files.items() if sums.get(name, found) != found]


def fingerprint(tables: Tables, configuration: Mapping[str, object], file_format: int) -> str:
    """SHA-256 over the tables, the state of each waveform file, the configuration, our code and the libraries.

    The state of a file is its size, its time of change and the kernel's own time of change (ctime), which no program
    can put back. It tells in half a second whether to ingest again; what was ingested is told by the digests.
    """
    sums_file = tables.tree / SUMS_FILE
    content = {
        "format": file_format,
        "tree": str(tables.tree),
        "configuration": dict(configuration),
        "tables": dict(tables.files),
        "sums": sha256_of(sums_file) if sums_file.is_file() else None,
        "code": dict(code_digests()),
        "resources": _resources(),
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
def code_digests() -> Mapping[str, str]:
    """SHA-256 of the code of every module that has a part in a store; a comment or docstring changes nothing.

    Looked up once in a process, which goes on with the code that it has loaded.
    """
    digests: dict[str, str] = {}
    waiting = [ENTRY]
    while waiting:
        module = waiting.pop()
        file = _file_of(module)
        if file is None or module in digests or module in NO_PART:
            continue
        tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "leadwise":
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
                del node.body[0]
        digests[module] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digests


def _file_of(module: str) -> Path | None:
    """The file of a module of ours; None for a package, and for a name that is no module."""
    file = Path(__file__).parents[1].joinpath(*module.split(".")[1:]).with_suffix(".py")
    return file if file.is_file() else None


def _resources() -> dict[str, str]:
    """SHA-256 of every file beside the modules that is no module: suites, fitted numbers."""
    package = Path(__file__).parents[1]
    files = [file for part in ("data", "signals") for file in (package / part).rglob("*") if file.is_file()]
    return {
        file.relative_to(package).as_posix(): sha256_of(file) for file in files if file.suffix not in (".py", ".pyc")
    }


def _folder_state(folder: Path, name: str) -> str:
    """Name, size and times of change of every file in a folder."""
    if not folder.is_dir():
        return f"{name} is absent;"
    with os.scandir(folder) as entries:
        states = sorted((entry.name, entry.stat()) for entry in entries)
    return f"{name}:" + "".join(f"{file} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns};" for file, s in states)


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

    with file_lock(folder, waiting):
        if (manifest := _current_manifest(folder, current)) is not None:
            return Ingested(folder, manifest, unchanged=True)
        manifest = _ingest(tables, folder, configuration, current, workers or 0, started)
    return Ingested(folder, manifest, unchanged=False)


def _ingest(
    tables: Tables, folder: Path, configuration: Mapping[str, Any], current: str, workers: int, started: float
) -> dict[str, Any]:
    """Read, validate and write; returns the manifest."""
    from leadwise.datasets.checks.validation import Validation

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
