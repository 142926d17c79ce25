"""The store: the ingested data set as files that training and evaluation read.

- ``signals.npy``: ``(record, time, 12)`` int16 in microvolts, leads in the order of ``LEADS``; 10 s at 100 or 500 Hz
- ``records.parquet``: one row per record, in the same order
- ``manifest.json``: what the data are, where they came from, and their digest

Beside them, for people and other tools: ``inputs.sha256``, the hash of every file that was read, ``validation/``, and
``croissant.json``, Croissant 1.0 (JSON-LD, https://docs.mlcommons.org/croissant/docs/croissant-spec.html, whose context
stands in ``CONTEXT``).
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from leadwise.atomic import put_back
from leadwise.contract import (
    FS_HZ,
    LEADS,
    RECORD_SECONDS,
    SUPERCLASS_NAMES,
    SUPERCLASSES,
    TEST_FOLD,
    TRAIN_FOLDS,
    VALIDATION_FOLD,
    LeadwiseError,
    Split,
    StoredRate,
)
from leadwise.datasets.releases import sha256_of
from leadwise.datasets.waveforms import samples_at
from leadwise.features import FEATURES, stored_names

if TYPE_CHECKING:
    from leadwise.datasets.cohort import Cohort

SIGNALS_FILE = "signals.npy"
RECORDS_FILE = "records.parquet"
MANIFEST_FILE = "manifest.json"
INPUTS_FILE = "inputs.sha256"
VALIDATION_FOLDER = "validation"

SPLIT_FOLDS: dict[Split, tuple[int, ...]] = {
    "train": TRAIN_FOLDS,
    "validation": (VALIDATION_FOLD,),
    "test": (TEST_FOLD,),
}


def record_columns() -> tuple[str, ...]:
    """The columns of ``records.parquet``; the superclasses are bool, ``scp_codes`` is JSON text."""
    beside = ("scp_codes", "recording_date", "device", "site", "filename")
    return ("ecg_id", "patient_id", "strat_fold", *stored_names(), *SUPERCLASSES, *beside)


class StoreError(LeadwiseError):
    """The store is absent, not whole, or its files disagree; the message names the file."""


@dataclass(frozen=True)
class Store:
    """An ingested data set, opened for reading.

    Attributes:
        folder: where its files lie.
        manifest: the content of ``manifest.json``.
        records: one row per record, columns ``record_columns()``, index 0, 1, 2...
        signals: ``(record, time, 12)`` int16 in microvolts, mapped from disk; the same order as ``records``.
    """

    folder: Path
    manifest: dict[str, Any]
    records: pd.DataFrame
    signals: np.ndarray

    def labels(self) -> np.ndarray:
        """``(record, 5)`` float32 zeros and ones in the order of ``SUPERCLASSES``; all zero where unlabelled."""
        return self.records[list(SUPERCLASSES)].to_numpy(dtype=np.float32)

    def rows(self, split: Split) -> np.ndarray:
        """Ascending row numbers of a split: folds 1-8 ``train``, 9 ``validation``, 10 ``test``.

        Raises:
            StoreError: there is no split of that name.
        """
        if split not in SPLIT_FOLDS:
            raise StoreError(f"split: received {split!r}; allowed: {', '.join(SPLIT_FOLDS)}")
        return np.flatnonzero(self.records["strat_fold"].isin(SPLIT_FOLDS[split]).to_numpy())

    def patients(self) -> pd.DataFrame:
        """The stored features of every record, NaN where unknown; the two infarction stages as text."""
        return self.records[list(stored_names())]

    def scp_codes(self, rows: np.ndarray) -> list[dict[str, float]]:
        """Statement -> likelihood in percent (0: unknown) of each of the given records."""
        return [json.loads(codes) for codes in self.records["scp_codes"].iloc[rows]]


def open_store(folder: Path, *, fs_hz: float | None = FS_HZ) -> Store:
    """Open a store and check that its files belong together.

    The signals stay on disk and are not hashed here.

    Args:
        folder: where its files lie.
        fs_hz: the sampling rate that is needed, by default that of the models; None: any.

    Raises:
        StoreError: a file is absent, cannot be read, or does not fit the others, or the rate is another one.
    """
    folder = Path(folder)
    put_back(folder)
    for name in (MANIFEST_FILE, RECORDS_FILE, SIGNALS_FILE):
        if not (folder / name).is_file():
            raise StoreError(f"{folder}: no ingested data here ({name} is missing); run the ingest stage first")
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        records = pd.read_parquet(folder / RECORDS_FILE)
        signals = np.load(folder / SIGNALS_FILE, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder}: cannot be read: {error}; run the ingest stage again") from error
    if not isinstance(manifest, dict) or not {"digest", "records", "fs_hz"} <= manifest.keys():
        raise StoreError(f"{folder / MANIFEST_FILE}: not the manifest of a store; run the ingest stage again")
    if fs_hz is not None and manifest["fs_hz"] != fs_hz:
        raise StoreError(
            f"{folder}: ingested at {manifest['fs_hz']:g} Hz, but {fs_hz:g} Hz is needed: the models take 100 Hz; run "
            "the ingest stage with rate=100, or name another workspace"
        )
    expected = (len(records), round(RECORD_SECONDS * manifest["fs_hz"]), len(LEADS))
    if signals.shape != expected or signals.dtype != np.int16 or manifest["records"] != len(records):
        raise StoreError(
            f"{folder}: the files disagree: {RECORDS_FILE} has {len(records)} rows, {MANIFEST_FILE} says "
            f"{manifest['records']}, {SIGNALS_FILE} is {signals.dtype} {signals.shape}; run the ingest stage again"
        )
    if missing := set(record_columns()) - set(records.columns):
        raise StoreError(f"{folder / RECORDS_FILE}: columns missing: {', '.join(sorted(missing))}; ingest again")
    return Store(folder, manifest, records, signals)


def record_hash(signal: np.ndarray) -> str:
    """SHA-256 of one stored record ``(time, 12)`` int16, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(signal, dtype="<i2").data).hexdigest()


def content_digest(records: pd.DataFrame, record_hashes: Iterable[str]) -> str:
    """SHA-256 over the content of a store: every record's samples, and the records table.

    It depends on neither paths, times, file formats nor the machine: values are hashed as JSON, row by row.

    Args:
        records: the table, columns ``record_columns()``.
        record_hashes: ``record_hash`` of every record, in the order of the table.
    """
    names = record_columns()
    digest = hashlib.sha256(json.dumps(names).encode())
    columns = [records[name].astype(object).where(records[name].notna(), None).tolist() for name in names]
    for samples, *values in zip(record_hashes, *columns, strict=True):
        digest.update(samples.encode())
        digest.update(json.dumps(values, ensure_ascii=False).encode())
    return digest.hexdigest()


class SignalsFileError(LeadwiseError):
    """The signals cannot be written; the message names the file and says why."""


@dataclass(frozen=True)
class SignalsFile:
    """A ``.npy`` file of ``(record, 10 * rate, 12)`` little-endian int16; it may be sent to another process."""

    path: Path
    rate: StoredRate

    def create(self, records: int) -> None:
        """Make the file with all its records zero."""
        self._resize("wb", records)

    def write(self, first: int, signals: np.ndarray) -> None:
        """Write ``(record, 10 * rate, 12)`` little-endian int16 from a record on."""
        with self._opened("r+b") as stream:
            stream.seek(np.load(self.path, mmap_mode="r").offset + first * signals[:1].nbytes)
            stream.write(signals.tobytes())

    def keep(self, kept: np.ndarray) -> None:
        """Keep some of the records, ``(record,)`` bool, in their order."""
        if kept.all():
            return
        signals, rows = np.load(self.path, mmap_mode="r+"), np.flatnonzero(kept)
        for place, row in enumerate(rows):
            signals[place] = signals[row]
        signals.flush()
        self._resize("r+b", len(rows))

    def _resize(self, mode: str, records: int) -> None:
        """Write the header for so many records, and give the file their length."""
        shape = (records, samples_at(self.rate), len(LEADS))
        with self._opened(mode) as stream:
            # NumPy leaves room in a header for the first number of the shape to grow: its length is always the same.
            np.lib.format.write_array_header_1_0(stream, {"descr": "<i2", "fortran_order": False, "shape": shape})
            stream.truncate(stream.tell() + 2 * math.prod(shape))

    @contextmanager
    def _opened(self, mode: str) -> Iterator[BinaryIO]:
        try:
            with self.path.open(mode) as stream:
                yield cast(BinaryIO, stream)
        except OSError as error:
            raise SignalsFileError(f"{self.path}: cannot be written: {error.strerror or error}") from error


CROISSANT_FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: {"@id": f"cr:{term}", "@type": "@json"} for term in ("data", "examples")},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
COLUMNS: Mapping[str, str] = {
    **SUPERCLASS_NAMES,
    "strat_fold": "1 to 8 are trained on, 9 selects, 10 tests",
    "scp_codes": "SCP-ECG statement to likelihood in percent, 0 where it is unknown, as JSON",
}


def write_croissant(folder: Path, dataset: "Cohort", manifest: Mapping[str, Any], signals_sha256: str) -> None:
    """Write ``croissant.json`` beside the three files of a store.

    Args:
        folder: that of the store, all else of it written.
        dataset: that it holds.
        manifest: content of ``manifest.json``.
        signals_sha256: of the bytes of ``signals.npy``, which are many.
    """
    axes = f"recordings in the order of {RECORDS_FILE}, 10 s at {manifest['fs_hz']:g} Hz, leads {', '.join(LEADS)}"
    files = (
        _file(folder / SIGNALS_FILE, "application/x-npy", f"int16 in microvolts: {axes}", signals_sha256),
        _file(folder / RECORDS_FILE, "application/x-parquet", "a row per recording"),
        _file(folder / MANIFEST_FILE, "application/json", "what the data are, where they came from, what was repaired"),
    )
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": dataset.title,
        "description": f"{manifest['records']:,} 12-lead ECGs of 10 s of {manifest['patients']:,} patients of "
        f"{dataset.title}, read, checked and repaired by Leadwise {manifest['versions']['leadwise']}.",
        "license": dataset.licence,
        "citeAs": dataset.citation,
        **_of_citation(dataset.citation),
        "version": manifest["release"],
        "identifier": f"sha256:{manifest['digest']}",
        "dateCreated": manifest["created"],
        "distribution": files,
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "records",
                "name": "records",
                "key": {"@id": "records/ecg_id"},
                "field": [_field(column) for column in pq.read_schema(folder / RECORDS_FILE)],
            }
        ],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / CROISSANT_FILE).write_text(text, encoding="utf-8")


def _of_citation(citation: str) -> dict[str, Any]:
    """Authors, year and address, where a citation says them."""
    doi = re.search(r"\bdoi:(10\.\S+?)[.,;)]*(?:\s|$)", citation)
    found: dict[str, Any] = {"url": f"https://doi.org/{doi[1]}"} if doi else {}
    if published := re.match(r"(\w+, \w\..*?) \((\d{4})\)", citation):
        authors = re.findall(r"[^\s,][^,]*,(?: \w\.)+", published[1])
        found["creator"] = [{"@type": "sc:Person", "name": name} for name in authors]
        found["datePublished"] = published[2]
    return found


def _file(file: Path, encoding: str, says: str, sha256: str = "") -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": says,
        "contentUrl": file.name,
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": sha256 or sha256_of(file),
    }


def _field(column: pa.Field) -> dict[str, Any]:
    kinds = {"sc:Boolean": pa.types.is_boolean, "sc:Integer": pa.types.is_integer, "sc:Float": pa.types.is_floating}
    name, says = column.name, COLUMNS.get(column.name, column.name.replace("_", " "))
    if one := FEATURES.get(name):
        says = ", ".join(filter(None, (one.label, one.unit, *(f"{k} {word}" for k, word in enumerate(one.choices)))))
    return {
        "@type": "cr:Field",
        "@id": f"records/{name}",
        "name": name,
        "description": says,
        "dataType": next((kind for kind, is_one in kinds.items() if is_one(column.type)), "sc:Text"),
        "source": {"fileObject": {"@id": RECORDS_FILE}, "extract": {"column": name}},
    }
