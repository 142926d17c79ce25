"""The card of the register stage: what was registered, and what the gate says of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadwise.registry.gate.report import JSON_FILE
from leadwise.registry.package import PACKAGE_FOLDER, Package
from leadwise.reports.report_page import Bars, Card, Cell, More, Row, Table, Tile

if TYPE_CHECKING:
    from leadwise.registry.register import Registered

MIB = 2**20
LONGEST_MEASURED = 24
"""Letters that a column of numbers has room for."""


def register_card(registered: "Registered", workspace: Path) -> Card:
    """The card of a registration.

    Args:
        registered: what was registered.
        workspace: where the package and the gate's report lie.
    """
    gate: dict[str, Any] = json.loads((workspace / JSON_FILE).read_text(encoding="utf-8"))
    package = Package.read(workspace / PACKAGE_FOLDER)
    data, outcomes = package.description["data"], [_outcome(check["passed"]) for check in gate["checks"]]
    networks = package.description["networks"]
    size = sum(file.stat().st_size for file in package.network_files.values()) / MIB
    rows = {
        kind: [_row(check) for check in gate["checks"] if _outcome(check["passed"]) == kind] for kind in set(outcomes)
    }
    folds = {"fold 9": ("validation", "val/macro_auroc"), "fold 10": ("test", "macro_auroc")}
    scores = [
        (f"{network['name']}, {fold}", f"{value:.4f}", float(value))
        for network in networks.values()
        for fold, (part, name) in folds.items()
        if (value := network[part].get(name)) is not None
    ]
    return Card(
        title=f"Registered: {registered.name} version {registered.version}",
        subtitle=gate["verdict"],
        simulated=registered.simulated,
        tiles=[
            Tile("alias", Cell(registered.alias or "none")),
            Tile("gate", Cell("passed" if gate["passed"] else "FAILED")),
            *(Tile(f"checks {kind}", Cell(str(outcomes.count(kind)))) for kind in ("passed", "FAILED", "not made")),
            Tile("size", Cell(f"{size:.1f} MiB"), "two ONNX networks"),
        ],
        went_in=[
            ("model", f"{registered.model}, and metadata where there is no recording"),
            ("data", f"{data['digest'][:12]}, release {data['release']}"),
            ("champion before it", f"version {gate['champion']}" if gate["champion"] else "none"),
        ],
        came_out=[("version", registered.uri), ("logged by", registered.run_id), ("requirements", _listed(registered))],
        shown=[
            *([_checks(rows["FAILED"], "Checks that failed")] if "FAILED" in rows else []),
            Bars("Macro AUROC of what is inside", scores),
            *(More(f"Checks {kind}", _checks(rows[kind])) for kind in ("passed", "not made") if kind in rows),
        ],
        footer=[gate["compared_on"], "The gate's report: gate.md of this run."],
    )


def _row(check: Mapping[str, Any]) -> Row:
    """One check; a long list of what was found stands below its name."""
    long = len(check["measured"]) > LONGEST_MEASURED
    note = "; ".join(filter(None, [check["measured"] if long else "", check["note"]]))
    return Row([Cell(check["name"], note=note), Cell("" if long else check["measured"]), Cell(check["allowed"])])


def _checks(rows: Sequence[Row], caption: str = "") -> Table:
    return Table(("check", "measured", "allowed"), rows, caption)


def _outcome(passed: bool | None) -> str:
    return "not made" if passed is None else "passed" if passed else "FAILED"


def _listed(registered: "Registered") -> str:
    return ", ".join(registered.requirements)
