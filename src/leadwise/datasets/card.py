"""The card of the ingest stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadwise.contract import SUPERCLASS_NAMES
from leadwise.datasets.checks.validation import RESULTS_FILE
from leadwise.datasets.data_page import REPAIRS
from leadwise.datasets.synthetic.tree import MARKER
from leadwise.reports.report_page import Bars, Card, Cell, Part, Row, Table, Tile


def ingest_card(manifest: Mapping[str, Any], validation: Path, *, unchanged: bool) -> Card:
    """The card of an ingestion.

    Args:
        manifest: of the store.
        validation: folder of its report.
        unchanged: the store was there already.
    """
    content = json.loads((validation / RESULTS_FILE).read_text(encoding="utf-8"))
    left_out = len(manifest["unreadable"]) + len(manifest["missing_waveforms"])
    repaired = sum(manifest["repairs"].values())
    warnings = content["tally"]["failed_warning"]
    inputs, splits = manifest["inputs"], manifest["splits"]
    name = "a simulated PTB-XL" if manifest["simulated"] else f"PTB-XL {manifest['release']}"
    return Card(
        title=f"Ingested: {name}",
        subtitle="Nothing has changed since this store was written; it was left as it is." if unchanged else "",
        simulated=bool(manifest["simulated"]),
        tiles=[
            Tile("records", Cell(f"{manifest['records']:,}")),
            Tile("patients", Cell(f"{manifest['patients']:,}")),
            Tile("checks that held", Cell(f"{content['tally']['passed']:,}")),
            Tile("warnings", Cell(f"{warnings:,}"), "no critical check failed"),
            Tile("left out", Cell(f"{left_out:,}"), "recordings that cannot be read"),
            Tile("repaired", Cell(f"{repaired:,}"), "values of patients"),
        ],
        went_in=[
            ("files", f"{inputs['files']:,}"),
            ("sampling rate", f"{manifest['fs_hz']:g} Hz"),
            ("SHA-256 of all files", inputs["sha256"][:12]),
            ("as SHA256SUMS.txt lists them", _listed(inputs)),
        ],
        came_out=[
            ("digest", manifest["digest"][:12]),
            ("to train on (folds 1-8)", f"{splits['train']:,}"),
            ("to choose on (fold 9)", f"{splits['validation']:,}"),
            ("to report on (fold 10)", f"{splits['test']:,}"),
            ("written in", f"{manifest['seconds']:.1f} s"),
        ],
        shown=[_classes(manifest), *_failed(content), *_repairs(manifest)],
        footer=["Every check, with the records that do not fit: validation/summary.html of this run."],
    )


def _classes(manifest: Mapping[str, Any]) -> Part:
    names = {**SUPERCLASS_NAMES, "unlabelled": "none of the five"}
    total = max(manifest["records"], 1)
    rows = [
        (f"{name}: {names[name]}" if name in SUPERCLASS_NAMES else names[name], f"{count:,}", count / total)
        for name, count in manifest["counts"].items()
    ]
    return Bars("Records by class, as a share of all; one record may have several", rows)


def _failed(content: Mapping[str, Any]) -> list[Part]:
    rows = [
        Row([Cell(one["says"], note=one["why"]), Cell(_found(one))])
        for one in content["outcomes"]
        if not one["success"]
    ]
    return [Table(("warning", "rows that do not fit"), rows, "Expected, and not so in every record")] if rows else []


def _found(outcome: Mapping[str, Any]) -> str:
    if outcome["unexpected"] is None:
        return str(outcome["observed"])
    return f"{outcome['unexpected']:,} of {outcome['rows']:,}"


def _listed(inputs: Mapping[str, Any]) -> str:
    if not inputs["listed"]:
        return "there is no such list"
    return f"{inputs['as_listed']:,} of {inputs['as_listed'] + len(inputs['not_as_listed']):,}"


def _repairs(manifest: Mapping[str, Any]) -> list[Part]:
    rows = [
        Row([Cell(REPAIRS.get(name, name)), Cell(f"{count:,}")]) for name, count in manifest["repairs"].items() if count
    ]
    return [Table(("repair", "records"), rows)] if rows else []


def simulate_card(tree: Path) -> Card:
    """The card of a simulated tree."""
    made = json.loads((tree / MARKER).read_text(encoding="utf-8"))
    return Card(
        title="A simulated PTB-XL",
        subtitle=made["what"],
        simulated=True,
        tiles=[Tile("patients", Cell(f"{made['patients']:,}")), Tile("recordings", Cell(f"{made['records']:,}"))],
        went_in=[("seed", str(made["seed"])), ("patients", f"{made['patients']:,}")],
        came_out=[("tree", tree.name), ("layout", "as PhysioNet publishes PTB-XL, with SHA256SUMS.txt")],
        footer=["The ingest stage reads this tree as it reads the real one."],
    )
