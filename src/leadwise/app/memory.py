"""What a session has already worked out. It lives in the session's own state, so that no patient reaches another."""

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")
KEPT = 12


def remembered(state: MutableMapping[str, Any], name: str, key: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` gave for a key, the last ``KEPT`` of each name."""
    kept: dict[Hashable, T] = state.setdefault(f"remembered-{name}", {})
    if key not in kept:
        kept[key] = make()
        while len(kept) > KEPT:
            del kept[next(iter(kept))]
    return kept[key]
