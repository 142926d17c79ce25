"""The ``signal`` of a request: nested lists, base64, bytes or arrays, as an array of numbers."""

import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from leadwise.serving.values import described, number, word
from leadwise.signals.leads import RecordingError
from leadwise.signals.recording import HIGHEST_FS_HZ, LONGEST_S, MISSING_COUNT

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
    if len(value) == 0:
        raise RecordingError("signal", "received no samples", "wrong_shape")
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _numeric(value)
    rows = list(value)
    if all(isinstance(row, np.ndarray) for row in rows):
        _same_length(rows)
        return _numeric(np.stack(rows)) if rows[0].dtype != object else _of_rows([row.tolist() for row in rows])
    return _of_rows(rows)


def _of_rows(rows: Sequence[Any]) -> np.ndarray:
    """Every number is looked at first: numpy would take texts and truths for numbers, or make them all long texts."""
    if not all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        raise RecordingError("signal", "received a list of something else than lists; rows are needed", "wrong_shape")
    _same_length(rows)
    kinds = set(map(type, chain.from_iterable(rows)))
    if any(issubclass(kind, list | tuple | np.ndarray) for kind in kinds):
        raise RecordingError("signal", "received 3 dimensions or more; 2 are needed", "wrong_shape")
    numbers = {kind for kind in kinds if issubclass(kind, int | float | np.integer | np.floating) and kind is not bool}
    if kinds - numbers - {type(None)}:
        raise RecordingError("signal", "received something that is not a number, such as text or true", "wrong_type")
    try:
        if kinds == numbers:
            flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * len(rows[0]))
            return flat.reshape(len(rows), len(rows[0]))
        return np.array(rows, dtype=np.float64)
    except OverflowError:
        raise RecordingError("signal", "received a number that is too large", "not_finite") from None


def _same_length(rows: Sequence[Any]) -> None:
    if len(lengths := set(map(len, rows))) > 1:
        raise RecordingError(
            "signal", "received lists of different lengths; every row needs as many numbers", "wrong_shape"
        )
    if lengths == {0}:
        raise RecordingError("signal", "received no samples", "wrong_shape")


def _numeric(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise RecordingError("signal", "received something that is not a number, such as text or true", "wrong_type")
    return array


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
