"""What a session has already worked out. It lives in the session's own state, so that no patient reaches another."""

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")
KEPT = 12
RECORDINGS_KEPT = 4
"""A recording of ten minutes takes up to 60 MB."""


def remembered(
    state: MutableMapping[Any, Any], name: str, key: Hashable, make: Callable[[], T], *, kept: int = KEPT
) -> T:
    """What ``make`` gave for a key; of each name the last ``kept``."""
    known: dict[Hashable, T] = state.setdefault(f"remembered-{name}", {})
    if key not in known:
        known[key] = make()
        while len(known) > kept:
            del known[next(iter(known))]
    return known[key]
