"""What a page is made of: tiles, sections, tables and pictures; and the one HTML file that they become.

The page loads nothing from elsewhere and runs no script, so it shows the same in a browser without a network, in the
sandboxed frame of a tracking UI, and on paper.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from leadwise.atomic import write_atomically
from leadwise.contract import DISCLAIMER, SUPERCLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leadwise.evaluation.bootstrap import Estimate
    from leadwise.evaluation.subgroups import SubgroupResult

TEMPLATES = Path(__file__).parent / "templates"
RUN_SUMMARY_FILE = "summary.html"
SIMULATED = "Simulated data: these figures say nothing about patients."
CITATION = (
    "PTB-XL: Wagner et al. (2022), PhysioNet, doi:10.13026/kfzx-aw45; Wagner et al. (2020), Scientific Data 7:154, "
    "doi:10.1038/s41597-020-0495-6; Goldberger et al. (2000), Circulation 101(23):e215-e220. Licence CC BY 4.0."
)
SHOWN = 0.64
"""Pixels of the page per pixel of a figure: inches stay inches for one of 150 dots, so that its letters can be read."""
COLOURS = 96
"""Colours of an embedded picture: enough for lines and text, and a third of the size."""


@dataclass(frozen=True)
class Cell:
    """A value, where it links to, below it its interval and a note; or, over all columns that are left, why none."""

    value: str = ""
    interval: str = ""
    note: str = ""
    link: str = ""
    why: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure as a data address, with what it shows in words."""

    source: str
    says: str
    width: int


Row = str | Sequence[str | Cell]
"""The cells of a row, or a heading of those below it."""


@dataclass(frozen=True)
class Table:
    """A table with one head row; the first column is text.

    A compact one has its intervals beside the values, a wrapped one is text throughout. Its title stands above it; a
    folded one is hidden behind its title. A picture may stand beside it, where there is room.
    """

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    style: Literal["", "compact", "wrapped"] = ""
    title: str = ""
    folded: bool = False
    beside: Picture | None = None
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Lines:
    """A list."""

    lines: Sequence[str]
    kind: ClassVar[str] = "list"


@dataclass(frozen=True)
class Bars:
    """Shares of one whole, or of the largest, as a bar each: name, number as text, share from 0 to 1."""

    caption: str
    rows: Sequence[tuple[str, str, float]]
    kind: ClassVar[str] = "bars"


Part = str | Table | Lines | Bars | Sequence[Picture]
"""Text is a paragraph; of two pictures one stands beside the other where there is room."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; a section without parts is left out."""

    key: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A whole report, or the summary of a run that is read in half a minute.

    Attributes:
        title: what was done.
        subtitle: on what.
        simulated: whether its figures say nothing about patients.
        tiles: the few numbers that matter, by name.
        sections: of a report.
        inputs: of a summary: what the run was given, by name.
        outputs: of a summary: what it made.
        parts: of a summary: tables and pictures, two or three.
        footer: where to read on.
        published: what others have reached.
    """

    title: str
    subtitle: str
    simulated: bool
    tiles: Mapping[str, str | Cell]
    sections: Sequence[Section] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    footer: Sequence[str] = ()
    published: str = ""

    def html(self) -> str:
        """The page as HTML; what is undefined in its template is an error."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        words = {"simulated": SIMULATED if self.simulated else "", "disclaimer": DISCLAIMER}
        return environment.get_template("report.html").render(vars(self) | words)

    def write(self, file: Path) -> None:
        """Write it beside, then rename."""
        write_atomically(file, self.html())

    def log(self) -> None:
        """Log it to the active run as its summary."""
        import mlflow

        mlflow.log_text(self.html(), RUN_SUMMARY_FILE)


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


def short(value: Any) -> str:
    """A value of a parameter, a number to three digits; empty where there is none."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def estimate(value: float | None, interval: Sequence[float | None] | None, digits: int = 3, note: str = "") -> Cell:
    """A value with its interval below it."""
    bounds = interval if interval and None not in interval and number(value) != "n/a" else ()
    return Cell(number(value, digits), " to ".join(number(bound, digits) for bound in bounds), note)


def measured(found: "Estimate | None", digits: int = 3, note: str = "") -> Cell:
    """The same of an estimate; ``n/a`` where there is none."""
    return estimate(None, None) if found is None else estimate(**found.to_dict(), digits=digits, note=note)


def in_words(found: "Estimate", digits: int = 3) -> str:
    """The same in a sentence: ``0.937 (0.931 to 0.944)``."""
    cell = measured(found, digits)
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value


def change(found: "Estimate", digits: int = 3, *, sign: int = 1, note: str = "") -> Cell:
    """A difference with its sign and interval, or with ``sign`` -1 the same the other way round."""
    bounds = sorted((sign * found.interval.low, sign * found.interval.high))
    return Cell(signed(sign * found.value, digits), " to ".join(signed(bound, digits) for bound in bounds), note)


def subgroup_parts(groups: "Sequence[SubgroupResult]", drawn: Sequence[Picture], what: str = "records") -> list[Part]:
    """Who it works less well for: a picture, and a table of every class in every subgroup, or why there is none."""
    from leadwise.evaluation.subgroups import FEWEST_CASES, FEWEST_RECORDS

    rows: list[Row] = []
    names = ("macro_auroc", *(f"auroc/{name}" for name in SUPERCLASSES))
    for kind, members in groupby(groups, key=lambda group: group.kind):
        rows.append(kind)
        for group in members:
            cells = [measured(group.found[name]) if name in group.found else Cell("few") for name in names]
            if not group.found:
                cells = [Cell(why=f"not shown: {group.suppressed['macro_auroc']}")]
            rows.append([group.name, f"{group.records:,}", *cells])
    says = (
        f"No figures for subgroups of fewer than {FEWEST_RECORDS} {what}, nor for a class with fewer than "
        f"{FEWEST_CASES} known with or without it there; the mean needs all five classes."
    )
    head = ("subgroup", what, "macro AUROC", *SUPERCLASSES)
    title = "AUROC of every class in every subgroup"
    return [says, *([drawn] if drawn else []), Table(head, rows, title=title, folded=bool(drawn))]


def data_name(simulated: bool, release: Any) -> str:
    """What the data are called: ``PTB-XL 1.0.3``."""
    return "simulated data" if simulated else f"PTB-XL {release}"
