"""One row of a request: read, checked, and turned into a recording and the facts about the patient."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadwise.contract import FACT_RANGES, FS_HZ, LEADS, ECGRecord, LeadwiseError
from leadwise.serving.samples import ENCODING_FIELDS, read_samples
from leadwise.serving.values import LONGEST_ECHO, described, is_number, number, word
from leadwise.signals.leads import RecordingCode, RecordingError
from leadwise.signals.recording import MV_PER_UNIT, ORDERS, Recording, build_recording

SIGNAL_FIELDS: tuple[str, ...] = ("signal", *ENCODING_FIELDS, "order", "leads", "fs_hz", "units")
FACTS: tuple[str, ...] = ("age", "sex", "height_cm", "weight_kg", "pacemaker")
FIELDS: tuple[str, ...] = ("id", *SIGNAL_FIELDS, *FACTS)
"""Every field of a request row, all optional; ``fs_hz`` is needed with a ``signal``."""

SEX_WORDS: Mapping[str, float] = {"male": 0.0, "m": 0.0, "female": 1.0, "f": 1.0}

LONGEST_ID = 200

RecordId = str | int | float
Answer = dict[str, Any]
"""What comes back for one row, ready for JSON."""


class PayloadError(LeadwiseError):
    """A row of a request cannot be answered.

    Attributes:
        row: its position in the request, counted from 0.
        field: the field that is wrong.
        problem: what was received and what is allowed; never samples of a signal.
        code: the kind of problem.
    """

    def __init__(self, row: int, field: str, problem: str, code: RecordingCode) -> None:
        super().__init__(f"row {row}: {field}: {problem}")
        self.row = row
        self.field = field
        self.problem = problem
        self.code: RecordingCode = code

    def answer(self, record_id: RecordId | None) -> Answer:
        """What stands in the place of an answer."""
        told = {"code": self.code, "field": self.field, "message": str(self), "row": self.row}
        return {"id": record_id, "error": told}


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


def parse_row(row: Mapping[str, Any], position: int = 0) -> Request:
    """Read one row; ``None`` and NaN mean not given.

    Args:
        row: values by field name.
        position: its place in the request, counted from 0.

    Raises:
        PayloadError: a field is unknown, of a wrong type or out of range, or there is nothing to answer from.
    """
    try:
        given = _given_fields(row)
        record_id = _record_id(given.get("id"))
        patient = _facts(given)
        recording = _recording(given, patient, "" if record_id is None else str(record_id))
        if recording is None and not patient:
            raise RecordingError(
                "signal", f"not given, nor any of {', '.join(FACTS)}; one of them is needed", "missing_field"
            )
    except RecordingError as error:
        raise PayloadError(position, error.field, error.problem, error.code) from None
    return Request(record_id, recording, patient, _warnings(recording, patient))


def _given_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise RecordingError("row", f"received {described(row)}; fields by name are needed", "wrong_type")
    if unknown := [name for name in row if name not in FIELDS]:
        shown = str(unknown[0])
        shown = shown if len(shown) <= LONGEST_ECHO and shown.isprintable() else "a long or odd name"
        raise RecordingError(shown, f"unknown field; allowed: {', '.join(FIELDS)}", "unknown_field")
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


def _facts(given: Mapping[str, Any]) -> dict[str, float]:
    facts = {}
    for name, (low, high, unit) in FACT_RANGES.items():
        if name in given:
            facts[name] = number(given[name], name)
            if not low <= facts[name] <= high:
                raise RecordingError(name, f"received {facts[name]:.6g}; {low:g} to {high:g}{unit} is allowed")
    if "sex" in given:
        facts["sex"] = _either(given["sex"], "sex", "0 (male), 1 (female), male, female", SEX_WORDS)
    if "pacemaker" in given:
        facts["pacemaker"] = _either(given["pacemaker"], "pacemaker", "0 or false (no), 1 or true (yes)", {})
    return facts


def _either(value: Any, field: str, allowed: str, words: Mapping[str, float]) -> float:
    if isinstance(value, str):
        meant = words.get(value.strip().casefold())
    elif isinstance(value, bool | np.bool_):
        meant = float(value) if field == "pacemaker" else None
    else:
        meant = float(value) if is_number(value) and value in (0, 1) else None
    if meant is None:
        raise RecordingError(field, f"received {described(value)}; allowed: {allowed}")
    return meant


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
    )


def _lead_names(value: Any) -> list[str]:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise RecordingError("leads", f"received {described(value)}; a list of lead names is needed", "wrong_type")
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
    if unknown := [name for name in FACTS if name not in patient and name != "pacemaker"]:
        found.append(f"not given, so taken as unknown: {', '.join(unknown)}")
    return tuple(found)
