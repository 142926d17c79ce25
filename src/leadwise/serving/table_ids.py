"""Numbers that name the rows of a table, where a gap in their column has turned them into floats."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from leadwise.serving.payload import Answer, absent

WARNING = "id: whole numbers that a column with gaps held as floats are given back as whole numbers"

Places = frozenset[int]
"""Of rows in their table."""


def mend_ids(rows: list[dict[str, Any]]) -> Places:
    """Make whole numbers of ids that are floats because other rows have none; the places of the rows concerned.

    A column of floats without a gap is as its owner made it; floats from 2**53 on may have been rounded, and stay.
    """
    there = {place: row["id"] for place, row in enumerate(rows) if not absent(row.get("id"))}
    if len(there) == len(rows) or not all(map(_is_whole, there.values())):
        return frozenset()
    for place, value in there.items():
        rows[place]["id"] = int(value)
    return frozenset(there)


def tell_mended(answers: Iterable[Answer], places: Places) -> Iterator[Answer]:
    """The answers, of which those to mended rows say so."""
    for place, answer in enumerate(answers):
        if place in places and "error" not in answer:
            answer["warnings"].append(WARNING)
        yield answer


def _is_whole(value: Any) -> bool:
    return isinstance(value, float | np.floating) and abs(float(value)) < 2**53 and value == int(value)
