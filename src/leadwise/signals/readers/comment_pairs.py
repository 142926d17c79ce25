"""Pairs of a name and a value in free text: the comments of a WFDB header, the lines above the table of a CSV."""

import re
from collections.abc import Iterable

LONGEST_LINE = 2000

_FACTS = r"(?:age|sex|gender|height|weight|pacemaker)"
_NAME = r"(?:patient[ _])?[A-Za-z_]+(?:\s*[(\[][^)\]]{1,12}[)\]])?"
_NEXT = re.compile(
    rf"[\s,;|]*(?=<[A-Za-z])|[\s,;|]+(?={_NAME}\s*[:=])|[\s,;|]+(?=[\"']?{_FACTS}[\"']?\s*[,;\t|])", re.IGNORECASE
)
"""Where the next pair of the same line begins: ``<age>: 63 <sex>: F``, ``age: 63, sex: F``, ``Age;63;Sex;F``."""
_PAIR = re.compile(r"<?[\"']?([A-Za-z][\w .()\[\]/%-]{0,30}?)[\"']?>?\s*[:=,;\t|]+\s*(.*\S)\s*")
_LONG_GAP = re.compile(r"[\s,;|]{3,}")
_CELLS_END = re.compile(r"[\"']?\s*(?:[;\t|]|,(?!\d)|(?<!\d),)\s*[\"']?")


def pairs_in(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a name and the whole of its value, with every word behind a number: it may be its unit.

    Args:
        lines: with or without comment marks; longer ones than ``LONGEST_LINE`` are passed over.
    """
    pairs = []
    for line in lines:
        text = line.strip(" \t,;|").lstrip("#;%/* \t")
        if len(text) > LONGEST_LINE:
            continue
        text = _LONG_GAP.sub(lambda gap: " " if set(gap[0]) == {" "} else "\t", text)
        if text[:1] in ("'", '"') and text.endswith(text[0]) and text.count(text[0]) == 2:
            text = text[1:-1]
        start = 0
        for place in (*_NEXT.finditer(text), None):
            # Before a pair is whole, the next word with a colon is the end of its name: ``Sampling rate: 500``.
            if match := _PAIR.fullmatch(text, start, len(text) if place is None else place.start()):
                pairs.append((match[1], _value(match[2])))
                start = place.end() if place is not None else len(text)
    return pairs


def _value(text: str) -> str:
    """A value in one piece: the unit of ``Weight;159;lbs`` stands in a cell of its own."""
    joined = _CELLS_END.sub(" ", text.strip(" \t,;|"))
    return (joined.strip("\"'") if joined[:1] in ("'", '"') else joined).strip()
