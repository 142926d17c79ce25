"""The body of a request to the scoring server: rows out of each envelope that MLflow documents.

MLflow's own reading would drop unknown fields, merge rows that name different facts, and repeat the body in its error
messages; a patient's recording must not come back or reach a log.
"""

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.serving.request import described, request_fields

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


Rows = list[dict[str, Any]]


def rows_of_json(body: bytes) -> tuple[Rows, Any]:
    """Rows of a JSON body, and its ``params`` as they were given.

    Raises:
        RequestError: the body is not JSON, not one of the four envelopes, or too large.
    """
    _refuse_many(body)
    rows, parameters = _opened(_parsed(body))
    # Of a whole number of more than 64 bits orjson makes a float.
    if any(isinstance(row.get("id"), float) and abs(row["id"]) >= 2**63 for row in rows):
        return _opened(_parsed_exactly(body))
    return rows, parameters


def _opened(content: Any) -> tuple[Rows, Any]:
    """What is in one of the envelopes."""
    if not isinstance(content, dict):
        raise RequestError("not_an_envelope", "body", f"an object is needed with one of {', '.join(_READERS)}")
    parameters = content.pop("params", None)
    found = [name for name in _READERS if name in content]
    if len(found) != 1 or len(content) != 1:
        raise RequestError(
            "not_an_envelope", "body", f"exactly one of {', '.join(_READERS)} is needed, and nothing else but params"
        )
    rows = _READERS[found[0]](content[found[0]], found[0])
    if not rows:
        raise RequestError("no_records", found[0], "received no rows")
    if len(rows) > MOST_RECORDS:
        raise RequestError("too_many_records", found[0], f"received {len(rows)} rows; {MOST_RECORDS} are allowed")
    return rows, parameters


def _refuse_many(body: bytes) -> None:
    """Before anything is parsed: what is short in JSON may be long in memory."""
    lists = body.count(b"[") + body.count(b"{")
    for count, most, what in ((body.count(b","), MOST_VALUES, "values"), (lists, MOST_LISTS, "lists and objects")):
        if count > most:
            raise RequestError("too_many_values", "body", f"more than {most:,} {what} in JSON; send signals in base64")


def _parsed(body: bytes) -> Any:
    """Quickly, by orjson; slowly where it would not take the body, or not tell of a key that is named twice."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parsed_exactly(body)
    # Each pair of a key and its value has a colon: if there are no more of them, no pair was lost.
    unexplained = body.count(b":") - sum(map(len, _objects(content)))
    if unexplained and b"\\" not in body:
        unexplained -= sum(
            text.count(":") for row in _objects(content) for text in row.values() if isinstance(text, str)
        )
    return _parsed_exactly(body) if unexplained else content


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    """The objects that a request has where it is as it should be: envelope, parameters, columns, rows."""
    if isinstance(content, dict):
        yield content
        for value in content.values():
            inner = value if isinstance(value, list) else [value]
            yield from (row for row in inner if isinstance(row, dict))


def _parsed_exactly(body: bytes) -> Any:
    """By the standard library, which takes NaN as Python's own clients write it, and whole numbers of any size.

    Raises:
        RequestError: it is not JSON in UTF-8, or an object names a key twice.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise RequestError("not_json", "body", f"not JSON: no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        why = f"{error.msg} at character {error.pos}"
        if b"\0" in body[:4]:
            why = "UTF-16 or UTF-32 in place of UTF-8"
        elif body.startswith(codecs.BOM_UTF8):
            why = "a byte order mark in front of it"
        raise RequestError("not_json", "body", f"not JSON: {why}") from None
    except (ValueError, RecursionError):
        raise RequestError("not_json", "body", "not JSON: nested too deeply, or with a number too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise RequestError("repeated_key", "body", f"an object names {described(twice)} twice")
    return content


def _records(content: Any, name: str) -> Rows:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise RequestError("not_an_envelope", name, "a list of objects, one per row, is needed")
    return content


def _split(content: Any, name: str) -> Rows:
    if not isinstance(content, dict) or not {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}:
        raise RequestError("not_an_envelope", name, "an object with columns and data is needed")
    columns, data = content["columns"], content["data"]
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise RequestError("not_an_envelope", f"{name}.columns", "a list of field names is needed")
    if len(set(columns)) < len(columns):
        raise RequestError("not_an_envelope", f"{name}.columns", "a field is named twice")
    if not isinstance(data, list):
        raise RequestError("not_an_envelope", f"{name}.data", "a list of rows is needed")
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise RequestError(
                "not_an_envelope", f"{name}.data", f"row {number} is not a list of {len(columns)} values"
            )
    return [dict(zip(columns, row, strict=True)) for row in data]


def rows_or_columns(content: Any, name: str) -> Rows:
    """A list of rows, one row, or columns: an object whose every value is a list with one entry per row.

    Raises:
        RequestError: ``content`` is none of them; the message names it ``name``.
    """
    if not isinstance(content, dict):
        return _records(content, name)
    names = set(request_fields()) - {"signal", "leads", "shape"}
    scalars = [isinstance(value, list) for field, value in content.items() if field in names and value is not None]
    if not any(scalars):
        return [content]
    columns = {field: value for field, value in content.items() if value is not None}
    lengths = {len(value) if isinstance(value, list) else -1 for value in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise RequestError(
            "not_an_envelope", name, "either one row, or lists of the same length, one entry per row, are needed"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


_READERS: Mapping[str, Callable[[Any, str], Rows]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": rows_or_columns,
    "instances": rows_or_columns,
}


PARAMETERS: tuple[str, ...] = ("policy", "explain", "all_findings")


@dataclass(frozen=True)
class RequestParams:
    """What a request asks beside its rows.

    Attributes:
        policy: one of the package's threshold policies; ``None``: the one that it prefers.
        explain: the superclasses whose probability is to be explained.
        all_findings: list every trusted statement, those below their threshold as well.
    """

    policy: str | None = None
    explain: tuple[str, ...] = ()
    all_findings: bool = False


def read_parameters(content: Any, policies: Sequence[str]) -> RequestParams:
    """Check ``params``; ``None`` means not given.

    Args:
        content: an object with any of ``PARAMETERS``, or ``None``.
        policies: the names that ``policy`` may have.

    Raises:
        RequestError: it is no object, or a parameter is unknown or not allowed.
    """
    if content is None:
        return RequestParams()
    names = f"allowed: {', '.join(PARAMETERS)}"
    if not isinstance(content, Mapping):
        raise _wrong("unknown_parameter", "", content, f"an object is needed; {names}")
    if unknown := [name for name in content if name not in PARAMETERS]:
        raise _wrong("unknown_parameter", "", unknown[0], names)
    policy, everything = content.get("policy"), content.get("all_findings")
    if policy is not None and not (isinstance(policy, str) and policy in policies):
        raise _wrong("not_allowed", ".policy", policy, f"allowed: {', '.join(policies)}")
    explain = _classes(content.get("explain"))
    if everything is not None and not isinstance(everything, bool | np.bool_):
        raise _wrong("wrong_type", ".all_findings", everything, "true or false is needed")
    return RequestParams(policy, explain, bool(everything))


def _classes(value: Any) -> tuple[str, ...]:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if names is None or isinstance(names, bool):
        return SUPERCLASSES if names else ()
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise _wrong("wrong_type", ".explain", value, "true, false, a class or a list of classes")
    if unknown := [name for name in listed if name not in SUPERCLASSES]:
        raise _wrong("not_allowed", ".explain", unknown[0], f"allowed: {', '.join(SUPERCLASSES)}")
    return tuple(name for name in SUPERCLASSES if name in listed)


def _wrong(code: str, field: str, value: Any, allowed: str) -> RequestError:
    return RequestError(code, f"params{field}", f"received {described(value)}; {allowed}")
