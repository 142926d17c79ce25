"""Bodies of requests that nobody should send: a valid request changed in every way, and plain bytes."""

import base64
import gzip
import json
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.features import asked_names
from leadwise.serving.api import JSON
from leadwise.serving.request import request_fields

MARKER = "7.654321"
"""A sample of the valid recording; with ``CHUNK``, of its base64, what no answer and no log may repeat."""

_LEADS = [name for k, name in enumerate(LEADS) if k not in (2, 3, 4, 5)]
_ECG = np.round(simulate_record("NORM", 1).signal_mv[:600, [LEADS.index(name) for name in _LEADS]].astype(float), 3)
_ECG[300, 7] = float(MARKER)
_COUNTS = base64.b64encode(np.round(_ECG * 1000).astype("<i2").tobytes()).decode("ascii")
CHUNK = _COUNTS[4000:4020]

FACTS_ROW: dict[str, Any] = {"id": "a", "age": 63, "sex": "female", "height_cm": 170, "weight_kg": 70, "pacemaker": 0}
LISTS_ROW: dict[str, Any] = FACTS_ROW | {"signal": _ECG.tolist(), "leads": _LEADS, "fs_hz": 100, "units": "mV"}
_PACKED: dict[str, Any] = {"signal": _COUNTS, "dtype": "int16", "shape": [600, 8], "units_per_count": 1}
BASE64_ROW: dict[str, Any] = LISTS_ROW | _PACKED | {"units": "uV", "order": "time_lead"}

_ODD_TEXTS = ["", "NaN", "null", "0", "\x00", "\ud800", "A" * 5000, "=" * 8]
_ODD_VALUES: list[Any] = [
    *(math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, 10**30, 10**4000, 2**63, -(2**63) - 1, 2**53 + 1),
    *(*_ODD_TEXTS, _COUNTS[:-4], _COUNTS + "AAAA", _COUNTS[:-1] + "="),
    *([], {}, [[]], [[None]], [[], [1]], [[1, 2], [3]], [[[1.0]]], [["1.0"]], [[True]], [{}], [None] * 5000),
    *([[0.0] * 8] * 600, [[math.nan] * 8] * 600, [[1e300] * 8] * 600, [[10**400] * 8] * 600, _ECG.T.tolist()),
    *([600, 8.0], [8, 600], [0, 0], [-1, -1], [1e308, 1e308], [600, 8, 1], [2**31, 2**31], ["600", "8"]),
    *([*_LEADS, "V7"], [*_LEADS[:7], "V1"], _LEADS[::-1], [name.lower() for name in _LEADS], ["I"] * 5000),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
hostile_values = st.sampled_from(_ODD_VALUES) | json_values
_numbers = st.integers(-2, 2100) | st.floats(-2, 2100, allow_nan=False)
_changes = st.dictionaries(
    st.sampled_from(request_fields()) | st.text(max_size=25), hostile_values | _numbers, max_size=4
)


@st.composite
def hostile_rows(draw: st.DrawFn) -> Any:
    """A valid row with some fields changed and others left out; or no row at all."""
    if draw(st.integers(0, 15)) == 0:
        return draw(json_values)
    row = dict(draw(st.sampled_from([FACTS_ROW, LISTS_ROW, BASE64_ROW])))
    for name in draw(st.lists(st.sampled_from(request_fields()), max_size=2)):
        row.pop(name, None)
    return row | draw(_changes)


_explained = hostile_values.filter(lambda value: value is not True)
_optional = {
    "policy": st.sampled_from(["best_f1", "youden", "target_sensitivity"]) | hostile_values,
    "explain": st.sampled_from([False, "HEART", [1], ["MI", None], {}]) | _explained,
    "all_findings": st.booleans() | hostile_values,
    "other": json_values,
}
_params = st.fixed_dictionaries({}, optional=_optional)


@st.composite
def json_bodies(draw: st.DrawFn) -> bytes:
    """An envelope of hostile rows, or something like one."""
    rows = draw(st.lists(hostile_rows(), max_size=3))
    kind = draw(st.sampled_from(["dataframe_records", "inputs", "instances", "columns", "split", "split", "odd"]))
    content: dict[str, Any]
    if kind == "columns":
        names = {name for row in rows if isinstance(row, dict) for name in row}
        content = {"inputs": {name: [row.get(name) for row in rows if isinstance(row, dict)] for name in names}}
    elif kind == "split":
        names_ = list(draw(st.sampled_from(rows))) if rows and all(isinstance(row, dict) for row in rows) else ["age"]
        data = [[row.get(name) for name in names_] if isinstance(row, dict) else row for row in rows]
        content = {"dataframe_split": {"columns": names_, "data": data}}
    elif kind == "odd":
        content = draw(st.dictionaries(st.sampled_from(["inputs", "dataframe_split", "x"]), hostile_values, max_size=2))
    else:
        content = {kind: rows}
    if draw(st.booleans()):
        content["params"] = draw(_params | json_values)
    return json.dumps(content).encode()


_TOKENS = (
    b"NaN",
    b"1e999",
    b"-",
    b"00",
    b"[[[[",
    b"}}",
    b"\xff",
    b'"\\ud800"',
    b"," * 50,
    b"1" * 5000,
    b"\x00",
    b" " * 999,
)
_NESTED = (b"[", b'{"a":', b'{"inputs":[{"signal":[[', b'{"inputs":', b'[{"a":[')
_VALID = json.dumps({"inputs": [BASE64_ROW, LISTS_ROW]}).encode()


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A body that was cut, or has something put in, or taken out, or changed."""
    body = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 3)):
            case 0:
                del body[place:]
            case 1:
                body[place:place] = draw(st.sampled_from(_TOKENS) | st.binary(max_size=8))
            case 2:
                del body[place : place + draw(st.integers(1, 100))]
            case _:
                body[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(body)


@st.composite
def repeated(draw: st.DrawFn) -> bytes:
    """A body of which one object, wherever it is, names a key twice; once perhaps with an escape."""
    body = json.dumps(
        {"inputs": [draw(st.sampled_from([FACTS_ROW, LISTS_ROW, BASE64_ROW]))], "params": {"explain": []}}
    )
    starts = [place for place, sign in enumerate(body) if sign == "{"]
    place = draw(st.sampled_from(starts)) + 1
    name = body[place + 1 : body.index('"', place + 1)]
    written = draw(st.sampled_from([name, f"\\u{ord(name[0]):04x}{name[1:]}"]))
    value = draw(st.sampled_from(["1", "null", '"x:y"', "[]", "{}", "NaN", '{"a": 1, "a": 2}']))
    return f'{body[:place]}"{written}":{value},{body[place:]}'.encode()


other_encodings = st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-32-le", "utf-8-sig"])
recoded = st.builds(lambda body, name: body.decode("ascii").encode(name), json_bodies(), other_encodings)
numbered = st.builds(
    lambda body, number: body.replace(b'"id": "a"', b'"id": ' + number.encode()),
    json_bodies() | st.just(_VALID),
    st.integers(-(10**30), 10**30).map(str)
    | st.floats().map(json.dumps)
    | st.sampled_from(["1e999", "-0", "9" * 5000]),
)
"""Bodies with numbers of every size in the place of an id."""


@st.composite
def packed(draw: st.DrawFn) -> bytes:
    """A body in gzip, damaged or more than one; or one that only begins like it."""
    body = gzip.compress(draw(json_bodies() | st.just(_VALID)), mtime=0)
    whole = st.just(body)
    return draw(st.one_of(whole, damaged(whole), st.just(body * 2), st.just(gzip.compress(body)))) or b"\x1f"


_deep = st.builds(lambda opened, times: opened * times, st.sampled_from(_NESTED), st.sampled_from([3, 900, 30_000]))


_types = ["text/csv", "application/vnd.apache.parquet", "application/octet-stream"]
_kinds = st.sampled_from([None, "", *_types, "application/json; charset=latin-1", "application/json;;", "\xff"])
_bodies = [json_bodies(), damaged(st.just(_VALID)), damaged(json_bodies()), _deep, st.binary(max_size=300), repeated()]
json_requests = st.tuples(st.one_of(*_bodies, recoded, numbered), st.just(JSON))
requests_of_another_kind = st.tuples(json_bodies() | st.binary(max_size=300), _kinds | st.just(JSON))
hostile_requests = st.one_of(json_requests, json_requests, json_requests, requests_of_another_kind)
"""A body and its content type."""

VALID_BODIES = {
    name: (json.dumps({"inputs": [row]}).encode(), JSON)
    for name, row in (("base64", BASE64_ROW), ("lists", LISTS_ROW), ("facts", FACTS_ROW))
}
assert set(FACTS_ROW) - {"id"} == set(asked_names())
