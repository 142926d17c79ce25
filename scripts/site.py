"""Build the static site: one HTML file that needs nothing else, with the page in a frame.

python scripts/site.py --page https://HOST.example --out dist/site

Every figure comes from the bundled model card and package, the tables of docs/results.md, and the counts that the
checks of PTB-XL hold. Without --page the site has no frame. The page must be told whose frame it may be shown in:
`leadwise app --embed-from https://SITE.example`.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import leadwise
from leadwise.config import PROJECT_ROOT
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, LeadwiseError

RESULTS_PAGE = PROJECT_ROOT / "docs" / "results.md"
SHOWN_PER_CLASS = ("class", "AUROC", "sensitivity", "specificity", "PPV")
MODELS: Mapping[str, tuple[str, str]] = {
    "metadata": ("metadata", "From age, sex, height, weight and pacemaker alone: what may be said before any ECG."),
    "fusion": ("fusion", "The recording and the facts together, by a residual network and a branch for the facts."),
    "fusion_augmented": (
        "fusion, augmented",
        "The same, trained with noise, baseline wander, hum and missing leads added to the recordings.",
    ),
}
"""Name in the tables of results -> title and words."""
SHOWN_OF_MODEL = ("macro AUROC", "accuracy", "no information", "macro F1", "parameters", "trained in")
STEPS: Sequence[tuple[str, str]] = (
    ("Check.", "Every file is compared with its checksum, and the tables with what is known of them."),
    ("Split by patient.", "Folds 1 to 8 train, fold 9 chooses, fold 10 is read once, at the end."),
    ("Prepare.", "12 leads at 100 Hz, scaled by one constant; facts that are missing are filled in and marked."),
    ("Train.", "The three models learn the five labels, and beside them the 71 statements of the cardiologists."),
    ("Calibrate and decide.", "On fold 9 probabilities are made honest, and thresholds and what is uncertain chosen."),
    ("Test and compare.", "Fold 10 gives the figures below; only a model that passes every check is used."),
)


def markdown_table(text: str, first_column: str) -> list[dict[str, str]]:
    """The first table of a Markdown text whose first column has this title, row by row."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        titles = _cells(line)
        if titles[:1] == [first_column]:
            rows = []
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append(dict(zip(titles, _cells(row), strict=True)))
            return rows
    raise LeadwiseError(f"no table whose first column is {first_column!r}")


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def _section(text: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n+(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if not found:
        raise LeadwiseError(f"the model card has no section {title!r}")
    return found[1].strip()


def card_parts(card: str) -> dict[str, Any]:
    """What the site shows of a model card."""
    figures = {row[next(iter(row))]: row for row in markdown_table(card, _measured_title(card))}
    (data,) = re.findall(r"^\| 5-6 data, participants \| (.*?), all that were readable \|$", card, flags=re.MULTILINE)
    return {
        "about": card.split("\n\n")[2],
        "measured_on": _measured_title(card).removeprefix("on fold 10, "),
        "macro_auroc": figures["macro AUROC"]["value [95 % interval]"],
        "data": data,
        "intended_use": _section(card, "Intended use"),
        "limits": [line.removeprefix("- ") for line in _section(card, "Limits").splitlines()],
        "per_class": [
            {title: row[title] for title in SHOWN_PER_CLASS}
            for row in markdown_table(_section(card, "Figures per class"), "class")
        ],
    }


def _measured_title(card: str) -> str:
    found = re.search(r"^\| (on fold 10, [^|]+?) \|", card, flags=re.MULTILINE)
    if not found:
        raise LeadwiseError("the model card does not say what it was measured on")
    return found[1]


def model_cards(results: str) -> list[dict[str, Any]]:
    """The three models with their figures, from the table that scripts/readme.py writes."""
    table = results.partition("<!-- ptbxl: written by scripts/readme.py -->")[2]
    rows = {row["model"]: row for row in markdown_table(table, "features") if row["features"] == "clinical"}
    if missing := MODELS.keys() - rows.keys():
        raise LeadwiseError(f"{RESULTS_PAGE}: no row of {', '.join(sorted(missing))}")
    return [
        {"title": title, "words": words, "figures": {shown: rows[name][shown] for shown in SHOWN_OF_MODEL}}
        for name, (title, words) in MODELS.items()
    ]


def site(page: str = "") -> str:
    """The site as HTML.

    Args:
        page: address of the page, without a path; empty: no frame.

    Raises:
        LeadwiseError: a source lacks what is shown, or the address is none.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from leadwise.app.answer import CLASS_WORDS, NOT_COVERED
    from leadwise.app.settings import ORIGIN
    from leadwise.datasets.releases import CITATIONS, LICENCE, PAPERS, RELEASES
    from leadwise.registry.load import BUNDLED, card_text

    page = page.rstrip("/")
    if page and not ORIGIN.fullmatch(page):
        raise LeadwiseError(f"page: received {page[:60]!r}; https://HOST or http://HOST:PORT is needed")
    package = json.loads((BUNDLED / "model.json").read_text(encoding="utf-8"))
    card = card_parts(card_text(BUNDLED))
    release = package["data"]["release"]
    counts = RELEASES[release]
    total = counts["rows"]
    tested = package["test_records"]
    labels = [
        {
            "name": SUPERCLASS_NAMES[name],
            "code": name,
            "meaning": CLASS_WORDS[name],
            "count": f"{counts[name]:,}",
            "share": f"{100 * counts[name] / total:.0f} %",
        }
        for name in SUPERCLASSES
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("site.html").render(
        page=page,
        page_origin=page,
        card=card,
        release=release,
        splits=[
            {"records": f"{total:,}", "words": "recordings in all"},
            {"records": f"{total - tested:,}", "words": "to learn from and to choose on: folds 1 to 9"},
            {"records": f"{tested:,}", "words": "unseen until the end: fold 10"},
        ],
        labels=labels,
        total=f"{total:,}",
        unlabelled=f"{counts['unlabelled']:,}",
        steps=STEPS,
        models=model_cards(RESULTS_PAGE.read_text(encoding="utf-8")),
        per_class={"columns": SHOWN_PER_CLASS, "rows": [list(row.values()) for row in card["per_class"]]},
        ece=f"{package['networks']['fusion']['test']['ece']:.3f}",
        disclaimer=DISCLAIMER,
        not_covered=NOT_COVERED,
        licence=LICENCE,
        citations=[CITATIONS[release], *PAPERS],
        version=leadwise.__version__,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write."""
    from leadwise.atomic import write_atomically

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", default="", help="address of the page, https://HOST (default: no frame)")
    parser.add_argument("--out", type=Path, default=Path("dist/site"), help="folder of index.html")
    options = parser.parse_args(arguments)
    try:
        text = site(options.page)
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "index.html", text)
    except LeadwiseError as error:
        sys.exit(f"site: error: {error}")
    print(f"{options.out / 'index.html'}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
