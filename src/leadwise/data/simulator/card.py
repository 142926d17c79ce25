"""The card of the simulate stage."""

import json
from pathlib import Path

from leadwise.data.simulator.tree import MARKER
from leadwise.pages.card import Card
from leadwise.pages.report_page import Cell, Tile


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
