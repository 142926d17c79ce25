"""What a report is made of: tiles, sections, tables and pictures; and the one HTML file that they become.

The page loads nothing from elsewhere and runs no script, so it shows the same in a browser without a network, in the
sandboxed frame of a tracking UI, and on paper.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadwise.atomic import write_atomically
from leadwise.contract import DISCLAIMER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
SIMULATED = "Simulated data: these figures say nothing about patients."
SHOWN = 0.64
"""Pixels of the page per pixel of a figure: inches stay inches for one of 150 dots, so that its letters can be read."""
COLOURS = 96
"""Colours of an embedded picture: enough for lines and text, and a third of the size."""


@dataclass(frozen=True)
class Cell:
    """One cell: a value, where it links to, below it its interval and a note; or, over several columns, why none."""

    value: str = ""
    interval: str = ""
    note: str = ""
    link: str = ""
    why: str = ""
    span: int = 1


@dataclass(frozen=True)
class Row:
    """One row; ``group`` makes it a heading of those below it."""

    cells: Sequence[Cell]
    group: bool = False


@dataclass(frozen=True)
class Table:
    """A table with one head row; the first column is text.

    A compact one has its intervals beside the values, a wrapped one is text throughout.
    """

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    compact: bool = False
    wrapped: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class More:
    """A table that is folded away behind its title."""

    text: str
    table: Table
    kind: str = "more"


@dataclass(frozen=True)
class Text:
    """A paragraph, or with ``kind`` ``heading`` a heading below the section's."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Lines:
    """A list."""

    lines: Sequence[str]
    kind: str = "list"


@dataclass(frozen=True)
class Picture:
    """A figure as a data address, with what it shows in words."""

    source: str
    says: str
    width: int


@dataclass(frozen=True)
class Pictures:
    """One figure, or two side by side where there is room."""

    pictures: Sequence[Picture]
    kind: str = "pictures"


@dataclass(frozen=True)
class Bars:
    """Shares of one whole, or of the largest, as a bar each: name, number as text, share from 0 to 1."""

    caption: str
    rows: Sequence[tuple[str, str, float]]
    kind: str = "bars"


@dataclass(frozen=True)
class Beside:
    """A table with a figure beside it, where there is room."""

    table: Table
    picture: Picture
    kind: str = "beside"


Part = Beside | Table | More | Text | Lines | Pictures | Bars


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    key: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Tile:
    """A number that the page opens with."""

    name: str
    found: Cell
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    simulated: bool
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    footer: Sequence[str] = field(default_factory=tuple)
    published: str = ""


def write_page(page: Page, file: Path) -> None:
    """Render a report and write it beside, then rename."""
    write_atomically(file, render("report.html", **vars(page)))


def render(template: str, *, simulated: bool, **content: Any) -> str:
    """A template as HTML, filled; what is undefined in it is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = SIMULATED if simulated else ""
    return environment.get_template(template).render(simulated=shown, disclaimer=DISCLAIMER, **content)


def drawn(figure: "Figure", says: str) -> Picture:
    """A figure, embedded as PNG of 150 dots per inch."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    return picture(image, says)


def picture(file: Path | io.BytesIO, says: str) -> Picture:
    """A PNG of a figure, embedded."""
    from PIL import Image

    with Image.open(file) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        width = round(image.width * SHOWN)
    packed = io.BytesIO()
    small.save(packed, "PNG", optimize=True)
    data = base64.b64encode(packed.getvalue()).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", says, width)


def duration(seconds: float) -> str:
    """Wall time as people say it: ``42 s``, ``3 min 05 s``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float | None, digits: int = 3) -> str:
    """A number as text; ``n/a`` where it is undefined."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A difference as text: its sign is always there, and nothing is minus zero."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def estimate(value: float | None, interval: Sequence[float | None] | None, digits: int = 3) -> Cell:
    """A value with its interval below it."""
    if value is None or not math.isfinite(value):
        return Cell("n/a")
    return Cell(number(value, digits), between(interval, digits))


def between(interval: Sequence[float | None] | None, digits: int = 3) -> str:
    """``0.921 to 0.934``; empty where undefined."""
    if interval is None:
        return ""
    low, high = interval
    return "" if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def data_name(simulated: bool, release: Any) -> str:
    """What the data are called: ``PTB-XL 1.0.3``."""
    return "simulated data" if simulated else f"PTB-XL {release}"


def named(metrics: Mapping[str, float | None], intervals: Mapping[str, Sequence[float | None]], name: str) -> Cell:
    """A metric of ``metrics.json`` with its interval."""
    return estimate(metrics.get(name), intervals.get(name))
