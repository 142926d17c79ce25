"""One recording from whatever device: units, shape, rate, leads; checked, and brought to what the models expect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.signal import resample_poly

from leadwise.contract import LEADS, ECGRecord, LeadwiseError

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


SHORTEST_STILL_S = 0.2
"""Two ticks more than 10 s at 100 Hz filled up to 1,024. In PTB-XL (100 Hz, 1 uV) all leads together keep a value for
0.06 s at most, at the ends as anywhere; rounded to 20 uV, for 0.1 s in one recording of 21,799."""
USUAL_STEP = 0.9
"""A still end that begins as near to the sample beside it as this share of samples lie to theirs begins with one that
was recorded: it has been repeated."""


def empty_ends(by_time: np.ndarray, fs_hz: float) -> tuple[int, int]:
    """Samples of ``(time, lead)`` at both ends that are not of the recording; none where there is nothing else."""
    fewest = max(2, math.ceil(SHORTEST_STILL_S * fs_hz))
    before = _empty(by_time, fewest)
    return (0, 0) if before == len(by_time) else (before, _empty(by_time[::-1], fewest))


def missing_ends(by_time: np.ndarray) -> tuple[int, int]:
    """The same without those that keep a value."""
    before = _missing(by_time)
    return (0, 0) if before == len(by_time) else (before, _missing(by_time[::-1]))


def _empty(by_time: np.ndarray, fewest: int) -> int:
    """Samples at the beginning."""
    gone = _missing(by_time)
    rest = by_time[gone:]
    if len(rest) < fewest or not _like(rest[fewest - 1], rest[0]).all():
        return gone
    moves = np.flatnonzero(~_like(rest, rest[0]).all(axis=1))
    if len(moves) == 0:
        return len(by_time)
    still = int(moves[0])
    return gone + still - _is_recorded(rest, still)


def _missing(by_time: np.ndarray) -> int:
    """Samples before the first one that any lead has."""
    if not np.isnan(by_time[0]).all():
        return 0
    present = np.flatnonzero(~np.isnan(by_time).all(axis=1))
    return int(present[0]) if len(present) else len(by_time)


def _like(samples: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Whether they are the same or missing; what is infinite is like nothing."""
    return np.isnan(samples) | ((samples == first) & np.isfinite(first))


def _is_recorded(by_time: np.ndarray, still: int) -> bool:
    """Whether the value that is kept at first is the recording's own, and not one that was put in."""
    if not by_time[0].any():
        return False
    steps = np.abs(np.diff(by_time[still - 1 :].astype(np.float64), axis=0)).sum(axis=1)
    usual = steps[1:][np.isfinite(steps[1:])]
    return bool(len(usual)) and bool(steps[0] <= np.quantile(usual, USUAL_STEP))


LOWEST_FS_HZ, HIGHEST_FS_HZ = 50.0, 2000.0
SHORTEST_S, LONGEST_S = 5.0, 600.0
LARGEST_MV = 50.0
"""No ECG reaches this: the 21,799 recordings of PTB-XL stay below 21 mV. Microvolts read as millivolts exceed it."""
LARGEST_OF_A_LEAD_MV = 1e6
"""Nor does a lead whose electrode is off, though it may exceed the other limit; larger squares would overflow."""
SMALLEST_SPAN_MV = 0.05
"""A lead that spans less than half a millimetre on paper shows no heart beat."""

SMALLEST_USUAL_SPAN_MV, LARGEST_USUAL_SPAN_MV = 0.2, 12.0
"""The median span of the leads is 0.38 to 9.5 mV in the 19,601 recordings of folds 1-9 of PTB-XL, 1.2 in the middle."""
MOST_MISSING = 0.05
"""Share of a lead's samples that may be missing; the gaps are filled along straight lines."""

MISSING_COUNT, LARGEST_COUNT = -(2**15), 2**15 - 1
"""Of 16-bit numbers: the smallest is kept for a sample that is missing, by WFDB and many devices; and the largest."""

MV_PER_UNIT: Mapping[str, float] = {"mV": 1.0, "uV": 0.001}
ORDERS: tuple[str, ...] = ("time_lead", "lead_time")


@dataclass(frozen=True)
class Recording:
    """A checked recording and what was noticed about it.

    Attributes:
        record: 12 leads in millivolts at the rate of the device.
        computed_leads: leads that were computed from leads I and II.
        missing: lead -> samples that were missing and have been filled.
        ends_cut: samples at the beginning and at the end that were none of the recording (``empty_ends``).
        noticed: what the reader of the file noticed -> its leads; none where it is the whole recording.
    """

    record: ECGRecord
    computed_leads: tuple[str, ...]
    missing: Mapping[str, int]
    ends_cut: tuple[int, int] = (0, 0)
    noticed: Mapping[ReaderFlag, tuple[str, ...]] = field(default_factory=dict)


def build_recording(
    values: np.ndarray,
    *,
    fs_hz: float,
    leads: Sequence[str] = LEADS,
    units: str = "mV",
    order: str | None = None,
    patient: Mapping[str, float | None] | None = None,
    record_id: str = "",
    noticed: Mapping[ReaderFlag, tuple[str, ...]] | None = None,
) -> Recording:
    """Check a raw recording and bring it to millivolts and standard lead order.

    Args:
        values: ``(time, lead)`` or ``(lead, time)`` numbers; NaN, or ``MISSING_COUNT``, where a sample is missing.
        fs_hz: sampling rate in Hz.
        leads: names of the leads in the order of the array.
        units: of ``MV_PER_UNIT``.
        order: of ``ORDERS``; ``None`` tells the two apart by the number of leads.
        patient, record_id: as of ``ECGRecord``.
        noticed: as of ``Recording``.

    Raises:
        RecordingError: the message names the field (``signal``, ``fs_hz``, ``leads``, ``units``, ``order``).
    """
    if not LOWEST_FS_HZ <= fs_hz <= HIGHEST_FS_HZ:
        raise RecordingError("fs_hz", f"received {fs_hz:g}; {LOWEST_FS_HZ:g} to {HIGHEST_FS_HZ:g} Hz is allowed")
    if units not in MV_PER_UNIT:
        raise RecordingError("units", f"received another unit; allowed: {', '.join(MV_PER_UNIT)}")
    by_time = without_marks(_time_first(values, len(leads), order))
    before, after = empty_ends(by_time, fs_hz)
    by_time = by_time[before : len(by_time) - after]
    seconds = len(by_time) / fs_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise RecordingError(
            "signal",
            f"received {len(by_time)} samples, {seconds:.1f} s at {fs_hz:g} Hz{_beside(before + after)}; "
            f"{SHORTEST_S:g} s to {LONGEST_S:g} s is allowed",
            "wrong_length",
        )
    names = canonical_leads(leads)
    whole, missing = _without_gaps(by_time, names)
    # A number beyond single precision becomes infinite, which is refused as too large.
    with np.errstate(over="ignore", invalid="ignore"):
        signal_mv = (whole * MV_PER_UNIT[units]).astype(np.float32)
        arranged, computed = arrange_leads(signal_mv, names)
    _check_amplitude(arranged, fs_hz, units)
    record = ECGRecord(arranged, float(fs_hz), dict(patient or {}), record_id)
    return Recording(record, computed, missing, (before, after), dict(noticed or {}))


def without_marks(by_time: np.ndarray) -> np.ndarray:
    """NaN in place of ``MISSING_COUNT`` in ``(time, lead)`` or ``(time,)``, but in leads of more than 16 bits."""
    marks = by_time == MISSING_COUNT
    if not marks.any():
        return by_time
    wider = ((by_time < MISSING_COUNT) | (by_time > LARGEST_COUNT)).any(axis=0)
    return np.where(marks & ~wider, np.nan, by_time)


def _beside(cut: int) -> str:
    return f", without {cut} at the ends in which every lead stands still or is missing" if cut else ""


def _time_first(values: np.ndarray, lead_count: int, order: str | None) -> np.ndarray:
    """The array as ``(time, lead)``."""
    if order is not None and order not in ORDERS:
        raise RecordingError("order", f"received another order; allowed: {', '.join(ORDERS)}")
    if values.ndim != 2:
        problem = f"received {values.ndim} dimensions; 2 are needed: samples and leads"
        raise RecordingError("signal", problem, "wrong_shape")
    rows, columns = values.shape
    if rows == columns == lead_count and order is None:
        problem = f"cannot be told from {rows} x {columns}; allowed: {', '.join(ORDERS)}"
        raise RecordingError("order", problem, "missing_field")
    if order is None:
        order = "lead_time" if rows == lead_count else "time_lead"
    by_time = values.T if order == "lead_time" else values
    if by_time.shape[1] != lead_count:
        problem = f"received {rows} x {columns} numbers; {lead_count} leads are named, so {lead_count} is needed"
        raise RecordingError("signal", problem, "wrong_shape")
    return by_time


def _without_gaps(by_time: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """The samples with NaN filled along straight lines, and how many of each lead were."""
    finite = np.isfinite(by_time)
    if finite.all():
        return by_time, {}
    gone = np.isnan(by_time)
    if not (finite | gone).all():
        time, lead = np.argwhere(~(finite | gone))[0]
        raise RecordingError("signal", f"sample {time} of lead {names[lead]} is not a finite number", "not_finite")
    shares = gone.mean(axis=0)
    if shares.max() > MOST_MISSING:
        worst = int(shares.argmax())
        share = f"{shares[worst]:.0%} of the samples of lead {names[worst]} are missing"
        raise RecordingError("signal", f"{share}; {MOST_MISSING:.0%} is allowed", "missing_samples")
    filled, time = np.array(by_time, dtype=np.float64), np.arange(len(by_time))
    for lead in np.flatnonzero(gone.any(axis=0)):
        out = gone[:, lead]
        filled[out, lead] = np.interp(time[out], time[~out], filled[~out, lead])
    return filled, {name: int(count) for name, count in zip(names, gone.sum(axis=0), strict=True) if count}


def _check_amplitude(signal_mv: np.ndarray, fs_hz: float, units: str) -> None:
    """Refuse what cannot be an ECG in the stated units."""
    lowest, highest = lead_extremes(signal_mv)
    reached = np.maximum(highest, -lowest)
    hint = "; were these microvolts, say units uV" if units == "mV" else ""
    # A lead that is computed from infinite ones is no number.
    if not (largest := float(reached.max())) <= LARGEST_OF_A_LEAD_MV:
        lead = LEADS[int(np.argmax(np.nan_to_num(reached, nan=np.inf)))]
        most = f"at most {LARGEST_OF_A_LEAD_MV:,.0f} mV is allowed of a lead, even of one without an electrode"
        raise RecordingError("signal", f"reaches {largest:.4g} mV in lead {lead}; {most}{hint}", "wrong_units")
    if largest > LARGEST_MV and (typical := typical_span(signal_mv, fs_hz)) > LARGEST_USUAL_SPAN_MV:
        raise RecordingError(
            "signal",
            f"reaches {largest:.4g} mV, and its leads span {typical:.4g} mV a second; at most {LARGEST_MV:g} mV is "
            f"allowed, or {LARGEST_USUAL_SPAN_MV:g} mV a second{hint}",
            "wrong_units",
        )
    spans = highest - lowest
    if (spans == 0).all():
        raise RecordingError("signal", "is a flat line in every lead", "flat_line")
    if (spans < SMALLEST_SPAN_MV).all():
        hint = "; were these millivolts, say units mV" if units == "uV" else ""
        raise RecordingError(
            "signal",
            f"spans {spans.max():.2g} mV at most; an ECG spans {SMALLEST_SPAN_MV:g} mV or more{hint}",
            "wrong_units",
        )


def typical_span(signal_mv: np.ndarray, fs_hz: float) -> float:
    """Peak to peak of ``(time, lead)`` within a second: the median over the seconds and over the leads that move."""
    second = round(fs_hz)
    whole = signal_mv[: len(signal_mv) // second * second].reshape(-1, second, signal_mv.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        spans = np.median(np.ptp(whole, axis=1), axis=0)
    moving = spans[~(spans == 0)]
    return float(np.median(moving)) if len(moving) else 0.0


LARGEST_FACTOR = 10_000
"""Largest denominator of the ratio of two rates; the rate is then off by 0.005 % at most, as clocks of devices are."""


def resample(signal: np.ndarray, fs_hz: float, target_hz: float) -> np.ndarray:
    """Resample a recording with a polyphase filter that cuts below the lower of the two Nyquist frequencies.

    Beyond its ends the signal goes on along the line through its first and its last sample, so that an offset or a
    drift does not ring there.

    Returns:
        ``(ceil(time * target_hz / fs_hz), lead)`` of ``(time, lead)``; the same array if the rates are equal.
    """
    ratio = Fraction(target_hz / fs_hz).limit_denominator(LARGEST_FACTOR)
    if ratio == 1:
        return signal
    return np.asarray(resample_poly(signal, ratio.numerator, ratio.denominator, axis=0, padtype="line"))
