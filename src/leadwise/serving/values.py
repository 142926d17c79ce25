"""Single values of a request: read, or refused in words that repeat nothing long."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from leadwise.signals.leads import RecordingError

LONGEST_ECHO = 20
"""A message repeats no more than this of a text that it received: a request's text may be a patient's."""


def described(value: Any) -> str:
    """What was received, without repeating anything long."""
    match value:
        case None:
            return "null"
        case bool() | np.bool_():
            return str(bool(value)).lower()
        case str():
            return ascii(value) if len(value) <= LONGEST_ECHO else f"text of {len(value)} characters"
        case bytes():
            return f"{len(value)} bytes"
        case int() if abs(value) >= 10**LONGEST_ECHO:
            return "a huge number"
        case int() | float() | np.integer() | np.floating():
            return f"{value:.6g}"
        case Mapping():
            return "an object"
        case Sequence() | np.ndarray():
            return "a list"
    return "something else"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def number(value: Any, field: str) -> float:
    """A number as float; infinite where it is too large for one.

    Raises:
        RecordingError: it is none.
    """
    if is_number(value):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise RecordingError(field, f"received {described(value)}; a number is needed", "wrong_type")


def word(value: Any, field: str, allowed: tuple[str, ...]) -> str:
    """One of some words.

    Raises:
        RecordingError: it is none of them.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise RecordingError(field, f"received {described(value)}; allowed: {', '.join(allowed)}")
