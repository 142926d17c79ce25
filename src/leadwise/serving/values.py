"""Single values of a request: read, or refused in words that repeat nothing long."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from leadwise.contract import LeadwiseError
from leadwise.ecg.leads import RecordingError

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


STATUS: Mapping[str, int] = {
    **dict.fromkeys(("not_json", "repeated_key", "not_an_envelope", "no_records", "not_gzip", "upgrade"), 400),
    **dict.fromkeys(("unknown_parameter", "wrong_type", "not_allowed"), 400),
    **dict.fromkeys(("too_large", "too_many_records", "too_many_values"), 413),
    **dict.fromkeys(("content_type", "content_encoding"), 415),
    "too_slow": 408,
    "busy": 503,
}
"""HTTP status of a request that cannot be answered at all, by code: all there are."""


class RequestError(LeadwiseError):
    """A request cannot be answered at all; the message never repeats the body.

    Attributes:
        code: the kind of problem, of ``STATUS``.
        field: the part of the request that is wrong.
        status: of the HTTP answer.
    """

    def __init__(self, code: str, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.code, self.field, self.status = code, field, STATUS[code]


LARGEST_BODY = 64 * 2**20
"""Bytes of a body. 10 min of 12 leads at 2,000 Hz in base64 are 38 MB."""
MOST_RECORDS = 1024
MOST_VALUES = 4_000_000
"""Numbers and other values written out in JSON: 10 min of 12 leads at 500 Hz are 3.6 million."""
MOST_LISTS = 400_000
"""Lists and objects in JSON; an empty one takes 25 times as many bytes in memory as in the body."""
MOST_EXPLAINED = 8
"""Records of a request that asks for explanations: each 10 s cost a thousand windows of a network, 1 to 2 s of work."""
LONGEST_EXPLAINED_S = 30.0
