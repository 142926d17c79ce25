"""Lead names and lead order: from any order and case to the 12 standard leads, four of them computed if absent."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from leadwise.contract import LEADS, LeadwiseError

INDEPENDENT_LEADS: tuple[str, ...] = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads that hold all the information of a 12-lead ECG: the other four are sums of leads I and II."""
INDEPENDENT_COLUMNS = np.array([LEADS.index(name) for name in INDEPENDENT_LEADS])
"""Where they stand among ``LEADS``."""

LEADS_FROM_I_AND_II: dict[str, tuple[float, float]] = {
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Weights of leads I and II: Einthoven's law (1912) and Goldberger's augmented leads (1942)."""

_CANONICAL = {name.casefold(): name for name in LEADS}


RecordingCode = Literal[
    "unknown_field",
    "missing_field",
    "wrong_type",
    "not_allowed",
    "bad_base64",
    "wrong_shape",
    "wrong_length",
    "not_finite",
    "missing_samples",
    "unknown_lead",
    "repeated_lead",
    "missing_lead",
    "wrong_units",
    "flat_line",
    "not_an_ecg",
    "too_large",
]
"""What can be wrong with one record, for programs; ``docs/serving.md`` says what each means."""


class RecordingError(LeadwiseError):
    """A recording cannot be read: the field of the request or file that is wrong, what was received and is allowed."""

    def __init__(self, field: str, problem: str, code: RecordingCode = "not_allowed") -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.code: RecordingCode = code


def canonical_leads(names: Sequence[str]) -> list[str]:
    """Lead names, in any case, as ``LEADS`` spells them.

    Raises:
        RecordingError: a name is unknown or given twice, or one of ``INDEPENDENT_LEADS`` is missing.
    """
    if tuple(names) == LEADS:
        return list(LEADS)
    known: list[str] = []
    for position, name in enumerate(names):
        canonical = _CANONICAL.get(name.strip().casefold())
        if canonical is None:
            shown = repr(name) if len(name) <= 10 else f"text of {len(name)} characters"
            problem = f"position {position}: unknown lead {shown}; allowed: {', '.join(LEADS)}"
            raise RecordingError("leads", problem, "unknown_lead")
        if canonical in known:
            raise RecordingError("leads", f"position {position}: lead {canonical} is named twice", "repeated_lead")
        known.append(canonical)
    if missing := [name for name in INDEPENDENT_LEADS if name not in known]:
        problem = f"missing {', '.join(missing)}; needed: {', '.join(INDEPENDENT_LEADS)} (the others are computed)"
        raise RecordingError("leads", problem, "missing_lead")
    return known


def arrange_leads(signal: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Put leads into standard order and compute those of ``LEADS_FROM_I_AND_II`` that are absent.

    Returns:
        ``(time, 12)`` of ``(time, len(names))``, the same array if it is so already, and the leads that were computed.

    Raises:
        RecordingError: the names are not allowed, or are not as many as the columns.
    """
    given = canonical_leads(names)
    if signal.shape[1] != len(given):
        problem = f"received {len(given)} names for {signal.shape[1]} leads of the signal"
        raise RecordingError("leads", problem, "wrong_shape")
    if tuple(given) == LEADS:
        return signal, ()
    columns = {name: signal[:, column] for column, name in enumerate(given)}
    computed = tuple(name for name in LEADS if name not in columns)
    for name in computed:
        of_i, of_ii = LEADS_FROM_I_AND_II[name]
        columns[name] = of_i * columns["I"] + of_ii * columns["II"]
    return np.stack([columns[name] for name in LEADS], axis=1), computed


def lead_extremes(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each lead of ``(time, lead)``; NaN where one is missing."""
    # Along samples that do not lie side by side it would take five times as long.
    by_lead = np.ascontiguousarray(signal.T)
    return by_lead.min(axis=1), by_lead.max(axis=1)


ReaderFlag = Literal[
    "ends_cut", "checksum_mismatch", "file_incomplete", "rate_suspected", "electrode_off", "baseline_sway"
]

READER_FLAGS: Mapping[ReaderFlag, str] = {
    "ends_cut": "samples at the ends, where no lead has a value",
    "checksum_mismatch": "the checksum in the file does not fit its samples: the file may be damaged",
    "file_incomplete": "the file announces another number of samples than it holds: it may be cut off",
    "rate_suspected": "the times or the header of the file tell another sampling rate than the one that was taken",
    "electrode_off": "the device noted that an electrode was off",
    "baseline_sway": "the device noted a swaying baseline",
}
"""Flag -> its detail in an answer."""
