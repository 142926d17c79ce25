"""The numbers of a file in millivolts, and how they got there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.signals.leads import lead_extremes
from leadwise.signals.readers.errors import ReaderError, shown_text
from leadwise.signals.readers.found import Channel, Hints, Question
from leadwise.signals.readers.units import MV_PER_UNIT, USUAL_SPAN_MV, likely_unit, unit_of


@dataclass(frozen=True)
class Millivolts:
    """``(time, lead)`` float32, how the numbers were converted, and stored numbers per millivolt where known."""

    signal_mv: np.ndarray
    how: str
    gain_per_mv: tuple[float, ...] | None


def to_millivolts(
    file: str,
    channels: Sequence[Channel],
    signal: np.ndarray,
    hints: Hints,
    notes: list[str],
    questions: list[Question],
    asked: Question | None = None,
) -> Millivolts | None:
    """Convert by hint or by what the file states; ask where neither says the units.

    Args:
        file: name of the file, for messages.
        channels: the leads.
        signal: ``(time, lead)`` their values.
        hints: what the caller knows; it counts more than the file.
        notes: a note is added where a hint goes against the file.
        questions: a question is added where the units are not known.
        asked: that question, if the format has a better one than the usual.

    Raises:
        ReaderError: a hint is no unit or no gain.
    """
    _check_hints(file, hints)
    stated = [unit_of(channel.unit) for channel in channels]
    spelled = sorted({channel.unit.strip() for channel in channels if channel.unit.strip()})
    if hints.gain is not None:
        if None not in stated:
            notes.append(f"The file states {_listed(spelled)}; {hints.gain:g} units per mV was taken, as given.")
        # What the file has scaled already goes back to the numbers that it stores.
        factors = [(channel.gain or 1.0) / hints.gain for channel in channels]
        gains = (float(hints.gain),) * len(channels)
        return Millivolts(_scaled(signal, factors), f"divided by {hints.gain:g} units per mV", gains)
    if hints.units is not None:
        if any(unit not in (None, hints.units) for unit in stated):
            notes.append(f"The file states {_listed(spelled)}; {hints.units} was taken, as given.")
        units = [hints.units] * len(channels)
    else:
        units = [unit for unit in stated if unit is not None]
        if len(units) < len(channels):
            questions.append(asked or _unit_question(channels, signal))
            return None
    factors = [MV_PER_UNIT[unit] for unit in units]
    return Millivolts(_scaled(signal, factors), _how(units), _gain_per_mv(channels, factors))


def _check_hints(file: str, hints: Hints) -> None:
    if hints.units is not None and hints.units not in MV_PER_UNIT:
        raise ReaderError(file, "units", f"received {shown_text(str(hints.units))}; allowed: {', '.join(MV_PER_UNIT)}")
    if hints.gain is not None and not (np.isfinite(hints.gain) and hints.gain > 0):
        raise ReaderError(file, "gain", f"received {hints.gain:g}; a number of units per mV above 0 is needed")


def _unit_question(channels: Sequence[Channel], signal: np.ndarray) -> Question:
    """Ask for the units, with what the size of the numbers suggests."""
    spans = lead_spans(signal)
    typical = float(np.median(spans)) if spans.size else 0.0
    unclear = sorted({channel.unit.strip() for channel in channels if channel.unit.strip()})
    says = f"says {_listed(unclear)}" if unclear else "does not say its units"
    low, high = USUAL_SPAN_MV
    likely = likely_unit(typical)
    if likely is None and typical > 0:
        none_fits = (
            f" None of {', '.join(MV_PER_UNIT)} makes that of them, but a gain (units per mV) between "
            f"{typical / high:.3g} and {typical / low:.3g} does."
        )
    else:
        none_fits = " Numbers straight from a converter need a gain (units per mV) instead."
    return Question(
        "units",
        f"The file {says}: what are its numbers? Its leads span {typical:.4g} of them in the median, those of an ECG "
        f"{low:g} to {high:g} mV.{none_fits}",
        suggestion=likely,
        allowed=tuple(MV_PER_UNIT),
    )


def lead_spans(signal: np.ndarray) -> np.ndarray:
    """``(lead,)`` largest minus smallest number of each lead that has one."""
    finite = np.isfinite(signal)
    # Two huge numbers of different sign are further apart than any number.
    with np.errstate(over="ignore"):
        if finite.all():
            low, high = lead_extremes(signal)
            return high - low
        with_values = finite.any(axis=0)
        low = np.min(signal, axis=0, where=finite, initial=np.inf)[with_values]
        high = np.max(signal, axis=0, where=finite, initial=-np.inf)[with_values]
        return high - low


def _listed(spelled: Sequence[str]) -> str:
    return ", ".join(shown_text(unit) for unit in spelled[:4])


def _scaled(signal: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    # A number beyond float32 becomes infinite, which the checks of a recording refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        return (signal * np.asarray(factors)).astype(np.float32)


def _how(units: Sequence[str]) -> str:
    different = list(dict.fromkeys(units))
    words = {
        "V": "V, times 1000",
        "mV": "mV, taken as they are",
        "uV": "µV, divided by 1000",
        "nV": "nV, divided by 10^6",
    }
    return "; ".join(words[unit] for unit in different)


def _gain_per_mv(channels: Sequence[Channel], factors: Sequence[float]) -> tuple[float, ...] | None:
    gains = [channel.gain for channel in channels]
    known = [gain / factor for gain, factor in zip(gains, factors, strict=True) if gain is not None]
    return tuple(known) if len(known) == len(channels) else None
