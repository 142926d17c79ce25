"""The card of a study: what was gained, by which parameters, and what the trials came to."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leadwise.reports.report_page import Card, Cell, Picture, Pictures, Row, Table, Tile, duration, number, signed
from leadwise.training.study_figures import METRIC_NAMES, draw_courses, draw_front, draw_history, svg_address
from leadwise.training.study_table import StudyTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_WIDTH = 760
"""Pixels, of a figure that is ten inches wide."""
INCHES = 10


def study_card(table: StudyTable, beside: Sequence[StudyTable], manifest: Mapping[str, Any]) -> Card:
    """The card of a study of which at least one trial was completed.

    Args:
        table: the study.
        beside: the same study with other samplers.
        manifest: of the store.
    """
    best, defaults = table.best, table.defaults
    assert best is not None
    tiles = [Tile(f"best: trial {best.number}", Cell(number(best.score, 4)))]
    if defaults is not None:
        tiles.append(Tile("as configured", Cell(number(defaults.score, 4))))
        tiles.append(Tile("gained", Cell(signed(best.score - defaults.score))))
    tiles += [Tile(f"trials {state}", Cell(str(count))) for state, count in table.tally.items()]
    rows = [
        Row([Cell(name), Cell(_value(table.configured.get(name))), Cell(_value(best.values.get(name))), Cell(searched)])
        for name, searched in table.ranges.items()
    ]
    pictures = [_picture(draw_history(table, beside), "Every trial by its score; hollow, where it was pruned")]
    if table.front:
        pictures.append(_picture(draw_front(table), "Completed trials by the multiply-adds of one answer"))
    elif any(trial.course for trial in table.trials):
        pictures.append(_picture(draw_courses(table), "Each trial over its epochs; at a dotted line half go on"))
    release = "simulated data" if manifest["simulated"] else f"PTB-XL {manifest['release']}"
    return Card(
        title=f"Tuned: {table.name.split('/')[1]}",
        subtitle=f"{METRIC_NAMES.get(table.monitor, table.monitor)}; {release}.",
        simulated=bool(manifest["simulated"]),
        tiles=tiles,
        went_in=[
            ("study", table.name),
            ("data", manifest["digest"][:12]),
            ("parameters searched", str(len(table.ranges))),
            ("epochs of a trial", f"at most {table.epochs}"),
            ("sampler", table.sampler),
        ],
        came_out=[
            ("computing", duration(sum(trial.seconds for trial in table.trials))),
            ("best parameters", "tuned.json; train takes them with use-tuned=true"),
            *((f"beside it: {one.sampler}", number(one.best.score, 4)) for one in beside if one.best),
        ],
        shown=[
            Table(("parameter", "configured", "best", "searched"), rows, compact=True),
            *(Pictures([one]) for one in pictures),
        ],
        footer=["Importance, parallel coordinates, slices and every trial: the page of the study among the artifacts."],
    )


def _picture(figure: "Figure", says: str) -> Picture:
    return Picture(svg_address(figure), says, round(SHOWN_WIDTH * figure.get_figwidth() / INCHES))


def _value(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
