"""A store described for other tools, as Croissant 1.0 (JSON-LD).

See https://docs.mlcommons.org/croissant/docs/croissant-spec.html, whose context stands in ``CONTEXT``.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from leadwise.contract import LEADS, SUPERCLASS_NAMES
from leadwise.datasets.base import Dataset
from leadwise.datasets.published import sha256_of
from leadwise.datasets.store import MANIFEST_FILE, RECORDS_FILE, SIGNALS_FILE
from leadwise.features import FEATURES

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


def write_croissant(folder: Path, dataset: Dataset[Any], manifest: Mapping[str, Any], signals_sha256: str) -> None:
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
