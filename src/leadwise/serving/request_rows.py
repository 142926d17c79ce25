"""Recordings as a caller holds them, turned into rows of a request: arrays become base64."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from leadwise.contract import ECGRecord
from leadwise.serving.payload import PayloadError, absent
from leadwise.serving.values import described
from leadwise.signals.recording import Recording


def request_row(record: Any, position: int = 0) -> dict[str, Any]:
    """One row of a request, ready for JSON; fields that are ``None`` or NaN are left out.

    Args:
        record: fields by name as ``docs/serving.md`` lists them, of which ``signal`` may be a ``(time, lead)`` or
            ``(lead, time)`` array; or an ``ECGRecord``, a ``Recording``, or what ``leadwise.signals.readers`` returns.
            An int16 array is sent as it is, with ``units_per_count`` (1 if not given); any other as float32.
        position: its place among the records, counted from 0.

    Raises:
        PayloadError: it is none of these, the array is none of two dimensions with numbers, or a question about a file
            is open.
    """
    row = _fields(record, position)
    signal = row.get("signal")
    if isinstance(signal, np.ndarray):
        row |= _packed(signal, row, position)
    return {name: _plain(value) for name, value in row.items() if not absent(value)}


def _fields(record: Any, position: int) -> dict[str, Any]:
    if isinstance(record, Mapping):
        return dict(record)
    if isinstance(record, Recording):
        record = record.record
    if isinstance(record, ECGRecord):
        row = {"id": record.record_id or None, "signal": record.signal_mv, "fs_hz": record.fs_hz}
        return row | {"units": "mV", "order": "time_lead"} | dict(record.patient)
    if hasattr(record, "array_row"):
        if record.questions:
            question = record.questions[0]
            raise PayloadError(position, question.field, question.text, "missing_field")
        row = record.array_row()
        return {"id": record.file} | row
    raise PayloadError(position, "record", f"received {described(record)}; fields by name are needed", "wrong_type")


def _packed(signal: np.ndarray, row: Mapping[str, Any], position: int) -> dict[str, Any]:
    if signal.ndim != 2:
        problem = f"received {signal.ndim} dimensions; 2 are needed: samples and leads"
        raise PayloadError(position, "signal", problem, "wrong_shape")
    if signal.dtype.kind not in "fiu":
        problem = "received something that is not a number, such as text or true"
        raise PayloadError(position, "signal", problem, "wrong_type")
    counts = signal.dtype == np.int16
    # What is too large for single precision becomes infinite, and is refused where it arrives.
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(signal, dtype="<i2" if counts else "<f4").tobytes()
    packed = {"signal": base64.b64encode(data).decode("ascii"), "shape": list(signal.shape)}
    if counts:
        return packed | {"dtype": "int16", "units_per_count": row.get("units_per_count", 1)}
    return packed | {"dtype": "float32"}


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
