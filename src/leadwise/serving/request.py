"""One row of a request: read, checked, and turned into a recording and the facts about the patient."""

import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

import numpy as np

from leadwise.contract import FS_HZ, LEADS, ECGRecord
from leadwise.ecg.record import (
    HIGHEST_FS_HZ,
    LONGEST_S,
    MISSING_COUNT,
    MV_PER_UNIT,
    ORDERS,
    READER_FLAGS,
    ReaderFlag,
    Recording,
    RecordingError,
    build_recording,
)
from leadwise.features import NO_YES, Feature, asked_features, asked_names

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


ENCODING_FIELDS: tuple[str, ...] = ("dtype", "shape", "units_per_count")
DTYPES: Mapping[str, str] = {"int16": "<i2", "float32": "<f4"}
"""What base64 may hold, both little-endian."""
MOST_SAMPLES = int(LONGEST_S * HIGHEST_FS_HZ)


def read_samples(given: Mapping[str, Any]) -> np.ndarray:
    """``(rows, columns)`` numbers in the units of the request; NaN where a sample is missing.

    Args:
        given: the fields of the row that were given, ``signal`` among them.

    Raises:
        RecordingError: ``signal``, ``dtype``, ``shape`` or ``units_per_count`` is wrong or missing.
    """
    value = given["signal"]
    if isinstance(value, str | bytes):
        return _of_bytes(value, given)
    for field in ("dtype", "units_per_count"):
        if field in given:
            raise RecordingError(field, "is for a signal in base64; this one is not", "not_allowed")
    if not isinstance(value, list | tuple | np.ndarray):
        raise RecordingError(
            "signal",
            f"received {described(value)}; nested lists of numbers, or text in base64, are needed",
            "wrong_type",
        )
    if isinstance(value, np.ndarray) and value.dtype != object and value.size:
        if value.dtype.kind not in "fiu":
            raise RecordingError("signal", NO_NUMBER, "wrong_type")
        samples = value
    else:
        samples = _of_lists(value)
    if "shape" in given and _shape(given["shape"]) != samples.shape:
        raise RecordingError(
            "shape", f"says otherwise than the signal, which has {_by(samples.shape)} numbers", "wrong_shape"
        )
    return samples


def _of_bytes(value: str | bytes, given: Mapping[str, Any]) -> np.ndarray:
    for field in ("dtype", "shape"):
        if field not in given:
            raise RecordingError(field, "not given; it is needed with a signal in base64", "missing_field")
    dtype, shape = word(given["dtype"], "dtype", tuple(DTYPES)), _shape(given["shape"])
    scale = _units_per_count(given, dtype)
    needed = shape[0] * shape[1] * np.dtype(DTYPES[dtype]).itemsize
    data = _decoded(value, needed, f"{_by(shape)} {dtype} numbers") if isinstance(value, str) else value
    if len(data) != needed:
        raise RecordingError(
            "signal", f"received {len(data)} bytes; {_by(shape)} {dtype} numbers are {needed}", "wrong_shape"
        )
    counts = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    if dtype == "float32":
        return counts
    samples = counts * np.float32(scale)
    missing = counts == MISSING_COUNT
    if missing.any():
        samples[missing] = np.nan
    return np.asarray(samples)


def _decoded(text: str, needed: int, what: str) -> bytes:
    """Bytes out of base64 (RFC 4648, with its padding)."""
    # Looked at before anything is decoded: the text may be long, and another one each time.
    if (letters := -(-needed // 3) * 4) != len(text):
        raise RecordingError(
            "signal", f"received text of {len(text)} characters; {what} are {letters} in base64", "bad_base64"
        )
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise RecordingError(
            "signal", f"received text of {len(text)} characters that is not base64 (RFC 4648)", "bad_base64"
        ) from None


def _shape(value: Any) -> tuple[int, int]:
    sizes = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(sizes, list | tuple) or len(sizes) != 2:
        raise RecordingError("shape", f"received {described(value)}; two whole numbers are needed", "wrong_type")
    rows, columns = (number(size, "shape") for size in sizes)
    if not all(1 <= size <= MOST_SAMPLES and size == int(size) for size in (rows, columns)):
        raise RecordingError("shape", f"received {rows:.6g} x {columns:.6g}; whole numbers above 0 are needed")
    return int(rows), int(columns)


def _units_per_count(given: Mapping[str, Any], dtype: str) -> float:
    if dtype != "int16":
        if "units_per_count" in given:
            raise RecordingError("units_per_count", f"is for int16; dtype is {dtype}", "not_allowed")
        return 1.0
    if "units_per_count" not in given:
        raise RecordingError(
            "units_per_count",
            "not given; with int16, how many of the units one count is (1 for counts of 1 uV and units uV)",
            "missing_field",
        )
    scale = number(given["units_per_count"], "units_per_count")
    if not 1e-9 <= scale <= 1e6:
        raise RecordingError("units_per_count", f"received {scale:.6g}; 1e-9 to 1e6 is allowed")
    return scale


def _of_lists(value: Any) -> np.ndarray:
    """Every number is looked at first: numpy would take texts and truths for numbers, or make them all long texts."""
    rows, kinds = list(value), set(map(type, value))
    if np.ndarray in kinds:
        rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
        kinds = set(map(type, rows))
    if not all(issubclass(kind, list | tuple) for kind in kinds):
        raise RecordingError("signal", "received a list of something else than lists; rows are needed", "wrong_shape")
    lengths = set(map(len, rows))
    if len(lengths) > 1:
        problem = "received lists of different lengths; every row needs as many numbers"
        raise RecordingError("signal", problem, "wrong_shape")
    if not any(lengths):
        raise RecordingError("signal", "received no samples", "wrong_shape")
    kinds = set(map(type, chain.from_iterable(rows)))
    if any(issubclass(kind, list | tuple | np.ndarray) for kind in kinds):
        raise RecordingError("signal", "received 3 dimensions or more; 2 are needed", "wrong_shape")
    numbers = {kind for kind in kinds if issubclass(kind, int | float | np.integer | np.floating) and kind is not bool}
    if kinds - numbers - {type(None)}:
        raise RecordingError("signal", NO_NUMBER, "wrong_type")
    try:
        if kinds == numbers:
            flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * len(rows[0]))
            return flat.reshape(len(rows), len(rows[0]))
        return np.array(rows, dtype=np.float64)
    except OverflowError:
        raise RecordingError("signal", "received a number that is too large", "not_finite") from None


NO_NUMBER = "received something that is not a number, such as text or true"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


SIGNAL_FIELDS: tuple[str, ...] = ("signal", *ENCODING_FIELDS, "order", "leads", "fs_hz", "units", "noticed")


def request_fields() -> tuple[str, ...]:
    """Every field of a request row, all optional; ``fs_hz`` is needed with a ``signal``."""
    return ("id", *SIGNAL_FIELDS, *asked_names())


LONGEST_ID = 200

RecordId = str | int | float
Answer = dict[str, Any]
"""What comes back for one row, ready for JSON."""


def refused(error: RecordingError, row: int, record_id: RecordId | None) -> Answer:
    """What stands in the place of an answer; ``row`` is counted from 0."""
    told = {"code": error.code, "field": error.field, "message": f"row {row}: {error}", "row": row}
    return {"id": record_id, "error": told}


def message_of(error: Mapping[str, Any]) -> str:
    """What an answer's error says, without the row's place in its request, which says nothing elsewhere."""
    return str(error["message"]).removeprefix(f"row {error.get('row')}: ")


@dataclass(frozen=True)
class Request:
    """One checked row.

    Attributes:
        record_id: the caller's name for the row, as it was sent, or ``None``.
        recording: the recording, or ``None`` for an answer from the facts alone.
        patient: the facts that were given, as numbers.
        warnings: what the caller should know about how the row was read.
    """

    record_id: RecordId | None
    recording: Recording | None
    patient: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def record(self) -> ECGRecord | None:
        """The recording as a record, without what was noticed on the way."""
        return self.recording.record if self.recording else None


def parse_row(row: Mapping[str, Any]) -> Request:
    """Read one row, values by field name; ``None`` and NaN mean not given.

    Raises:
        RecordingError: a field is unknown, of a wrong type or out of range, or there is nothing to answer from.
    """
    given = _given_fields(row)
    record_id = _record_id(given.get("id"))
    patient = {one.name: _fact(given[one.name], one) for one in asked_features() if one.name in given}
    recording = _recording(given, patient, "" if record_id is None else str(record_id))
    if recording is None and not patient:
        problem = f"not given, nor any of {', '.join(asked_names())}; one of them is needed"
        raise RecordingError("signal", problem, "missing_field")
    return Request(record_id, recording, patient, _warnings(recording, patient))


def _given_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise RecordingError("row", f"received {described(row)}; fields by name are needed", "wrong_type")
    allowed = request_fields()
    if unknown := [name for name in row if name not in allowed]:
        shown = str(unknown[0])
        shown = shown if len(shown) <= LONGEST_ECHO and shown.isprintable() else "a long or odd name"
        raise RecordingError(shown, f"unknown field; allowed: {', '.join(allowed)}", "unknown_field")
    return {name: value for name, value in row.items() if not absent(value)}


def absent(value: Any) -> bool:
    """Whether a value means not given."""
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _record_id(value: Any) -> RecordId | None:
    plain = value.item() if isinstance(value, np.integer | np.floating) else value
    if isinstance(plain, str) and len(plain) <= LONGEST_ID:
        return plain
    if is_number(plain) and abs(plain) < (math.inf if isinstance(plain, float) else 10**LONGEST_ID):
        return plain
    if absent(plain):
        return None
    raise RecordingError(
        "id", f"received {described(value)}; text of at most {LONGEST_ID} characters, or a number, is needed"
    )


def record_id_of(row: Any) -> RecordId | None:
    """The caller's name of a row that may be wrong in any way; ``None`` where it has none that can be repeated."""
    try:
        return _record_id(row.get("id"))
    except (AttributeError, RecordingError):
        return None


def _fact(value: Any, one: Feature) -> float:
    """A number in its range, or one of two words: yes and no as 0, 1, true or false, others as 0, 1 or the words."""
    if not one.choices:
        amount = number(value, one.name)
        if not one.holds(amount):
            raise RecordingError(one.name, f"received {amount:.6g}; {one.allowed} is allowed")
        return amount
    if isinstance(value, str):
        found = None if one.choices == NO_YES else one.parse(value)
    elif isinstance(value, bool | np.bool_):
        found = float(value) if one.choices == NO_YES else None
    else:
        found = float(value) if is_number(value) and value in (0, 1) else None
    if found is None:
        raise RecordingError(one.name, f"received {described(value)}; allowed: {one.allowed}")
    return found


def _recording(given: Mapping[str, Any], patient: Mapping[str, float], record_id: str) -> Recording | None:
    if "signal" not in given:
        return None
    if "fs_hz" not in given:
        raise RecordingError("fs_hz", "not given; the sampling rate in Hz is needed with a signal", "missing_field")
    return build_recording(
        read_samples(given),
        fs_hz=number(given["fs_hz"], "fs_hz"),
        leads=_lead_names(given["leads"]) if "leads" in given else LEADS,
        units=word(given.get("units", "mV"), "units", tuple(MV_PER_UNIT)),
        order=word(given["order"], "order", ORDERS) if "order" in given else None,
        patient=patient,
        record_id=record_id,
        noticed=_noticed(given["noticed"]) if "noticed" in given else None,
    )


def _noticed(value: Any) -> dict[ReaderFlag, tuple[str, ...]]:
    """Flags with their leads; in a table, one without leads is ``None`` and was not noticed."""
    if not isinstance(value, Mapping):
        raise RecordingError("noticed", f"received {described(value)}; leads by flag are needed", "wrong_type")
    if any(name not in READER_FLAGS for name in value):
        raise RecordingError("noticed", f"received another flag; allowed: {', '.join(READER_FLAGS)}")
    return {
        name: tuple(word(lead, "noticed", LEADS) for lead in _lead_names(value[name], "noticed"))
        for name in READER_FLAGS
        if value.get(name) is not None
    }


def _lead_names(value: Any, field: str = "leads") -> list[str]:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise RecordingError(field, f"received {described(value)}; a list of lead names is needed", "wrong_type")
    return list(names)


def _warnings(recording: Recording | None, patient: Mapping[str, float]) -> tuple[str, ...]:
    found = []
    if recording is None:
        found.append("no recording: answered from the facts about the patient alone, which tell little")
    else:
        if recording.computed_leads:
            found.append(f"leads computed from I and II: {', '.join(recording.computed_leads)}")
        if recording.record.fs_hz < FS_HZ:
            found.append(
                f"sampled at {recording.record.fs_hz:g} Hz: everything above {recording.record.fs_hz / 2:g} Hz is lost"
            )
    if unknown := [one.name for one in asked_features() if one.name not in patient and one.absent is None]:
        found.append(f"not given, so taken as unknown: {', '.join(unknown)}")
    return tuple(found)
