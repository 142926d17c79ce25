"""Lead names as files spell them: plain, with a prefix, as codes of DICOM and HL7, and in other languages.

Codes: ISO/IEEE 11073-10101 (``MDC_ECG_LEAD_*``, used by HL7 aECG), DICOM PS3.16 CID 3001 (scheme ``MDC`` as ``2:n``,
scheme ``SCPECG`` as ``5.6.3-9-n`` with the lead numbers of EN 1064).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from leadwise.contract import LEADS
from leadwise.ecg.formats.base import Channel, MissingField, ReadOptions, shown_text
from leadwise.ecg.record import RecordingError, lead_extremes

MV_PER_UNIT: Mapping[str, float] = {"V": 1000.0, "mV": 1.0, "uV": 0.001, "nV": 1e-6}
"""Units that a file may state or a caller may name, in millivolts."""

_SPELLINGS = {
    "v": "V", "volt": "V", "volts": "V", "mv": "mV", "millivolt": "mV", "millivolts": "mV", "uv": "uV", "mcv": "uV",
    "microvolt": "uV", "microvolts": "uV", "nv": "nV", "nanovolt": "nV", "nanovolts": "nV",
}  # fmt: skip

LONGEST_COLUMN_NAME = 80

USUAL_SPAN_MV = (0.6, 3.0)
"""What the leads of an ECG span in the median, largest minus smallest number; so do 98 % of PTB-XL."""


# The same few units come again with every lead.
@lru_cache(maxsize=256)
def unit_of(text: str) -> str | None:
    """A unit of voltage as ``MV_PER_UNIT`` spells it; ``None`` for anything else."""
    # Case-folding turns the micro sign into the Greek letter; in UTF-8 that was read as Latin-1, two stand for it.
    folded = text.strip().strip("[]()").casefold()
    return _SPELLINGS.get(folded.replace("\u00e2\u03bc", "u").replace("\u03bc", "u"))


def unit_ratio(unit: str, other: str) -> float | None:
    """How many of another unit of voltage one unit is; ``None`` where either is none."""
    one, two = unit_of(unit), unit_of(other)
    return MV_PER_UNIT[one] / MV_PER_UNIT[two] if one and two else None


def name_and_unit(text: str) -> tuple[str, str]:
    """Split a column name such as ``V1 (mV)``, ``V1 [uV]`` or ``V1_mV`` into name and unit; the unit may be empty."""
    stripped = text.strip().strip("'\"").strip()
    if len(stripped) > LONGEST_COLUMN_NAME:
        return stripped, ""
    for pattern in (r"(.*?)\s*[\[(]\s*([^\])]+)\s*[\])]$", r"(.+?)[\s_/-]+([^\s_/-]+)$"):
        match = re.fullmatch(pattern, stripped)
        if match and (unit_of(match[2]) or seconds_of(match[2]) is not None):
            return match[1].strip(), match[2].strip()
    return stripped, ""


def seconds_of(unit: str) -> float | None:
    """A unit of time in seconds; ``None`` for anything else."""
    return _TIME_UNITS.get(unit.strip().strip("[]()").casefold().replace("\u03bc", "u").replace("\u00b5", "u"))


_TIME_UNITS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6,
    "ns": 1e-9,
}  # fmt: skip


LEAD_NUMBERS: dict[int, str] = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
}  # fmt: skip
"""Lead numbers of EN 1064 (SCP-ECG), which the codes of ISO/IEEE 11073 and DICOM share."""

INVERTED_AVR = 65


def numbered_lead(number: int, source: str) -> str:
    """The lead of a number of EN 1064, ``-aVR`` for its 65; other numbers by the standard or format of the file."""
    return LEAD_NUMBERS.get(number) or ("-aVR" if number == INVERTED_AVR else f"lead {number} of {source}")


MDC_ECG_LEADS = 131072
"""The ECG leads are partition 2 of ISO/IEEE 11073-10101: code ``2:n`` as one number is this plus n."""

_ALIASES = {name.casefold(): name for name in LEADS}
# Spanish, Portuguese and French (derivacion, derivation) limb leads; chest leads of IEC 60601-2-25.
_ALIASES |= {"d1": "I", "d2": "II", "d3": "III", "di": "I", "dii": "II", "diii": "III"}
_ALIASES |= {"l1": "I", "l2": "II", "l3": "III", "li": "I", "lii": "II", "liii": "III"}
_ALIASES |= {f"c{number}": f"V{number}" for number in range(1, 7)}

_CODES = {f"2:{number}": name for number, name in LEAD_NUMBERS.items()}
_CODES |= {f"5.6.3-9-{number}": name for number, name in LEAD_NUMBERS.items()}
_CODES |= {str(MDC_ECG_LEADS + number): name for number, name in LEAD_NUMBERS.items()}

_PREFIX = re.compile(r"^(?:mdc[ _]?ecg[ _]?lead|ecg|ekg|leads?|derivation|derivacion|ableitung|signal)(?:[ _:.]+|-)")
_GLUED_PREFIX = re.compile(r"^(?:ecg|ekg|lead)(?=(?:i{1,3}|av[rlf]|v[1-6])$)")
_SUFFIX = re.compile(r"[ _-]+(?:ref|raw|filtered|lead|signal|ecg|ekg)$")
_BRACKETS = re.compile(r" ?(?:\(([^()]*)\)|\[([^\[\]]*)\])")
_HARMLESS = frozenset(
    {"einthoven", "goldberger", "wilson", "raw", "filtered", "ref", "lead", "signal", "ecg", "ekg", "12-lead", "limb",
     "chest", "limb lead", "chest lead", "augmented", "precordial", "adc", "adu", "counts", "lsb", "a.u.", "au", "nu"}
)  # fmt: skip
"""What may stand in brackets beside a unit; anything else makes another lead of it, such as ``V3 (R)``."""
_MULTIPLE = re.compile(r"[\d.]+(?:e-?\d+)? ?|/\w+$")
"""What makes another unit of a unit: ``100 uV``, ``1e-4 V``, ``uV/bit``."""

_INVERSION = r"(?:inv|inverted|inverse|neg|negative|negated|minus|reversed|flipped|upside down)"
_INVERTED = re.compile(rf"{_INVERSION}[ _.-]+(.+)|(.+?)[ _.-]+{_INVERSION}|-(avr)")
"""In words any lead; with a mere minus only aVR, which Cabrera's order shows upside down: others are ``ECG-I``."""
_BRACKETED_INVERSION = re.compile(rf"{_INVERSION}|-1?|[x*] ?-1")


# The same few names come again with every file.
@lru_cache(maxsize=256)
def standard_lead(name: str) -> tuple[str, float] | None:
    """The standard lead that a name or code of a file means, such as ``Lead I``, ``5.6.3-9-61``, ``V1 (inverted)``.

    Returns:
        The name as ``LEADS`` spells it, and 1, or -1 where the file holds the lead upside down; or ``None``.
    """
    folded = name.strip().strip("'\"").strip().casefold()
    if len(folded) > 80:
        return None
    if folded in _CODES:
        return _CODES[folded], 1.0
    signs = []
    for content in (one or other for one, other in _BRACKETS.findall(folded)):
        if _BRACKETED_INVERSION.fullmatch(content.strip()):
            signs.append(-1.0)
        elif content.strip() not in _HARMLESS and unit_of(_MULTIPLE.sub("", content)) is None:
            return None
    folded = _without(_PREFIX, _without(_SUFFIX, _BRACKETS.sub("", folded)))
    folded = _GLUED_PREFIX.sub("", folded)
    if inverted := _INVERTED.fullmatch(folded):
        folded = _without(_PREFIX, next(filter(None, inverted.groups())))
        signs.append(-1.0)
    lead = _ALIASES.get(folded) or _ALIASES.get(re.sub(r"[ ._]", "", folded))
    # Upside down said twice may mean either.
    return None if lead is None or len(signs) > 1 else (lead, -1.0 if signs else 1.0)


def standard_leads(names: Iterable[str]) -> set[str]:
    """The standard leads among some names."""
    return {known[0] for name in names if (known := standard_lead(name)) is not None}


def checksum_note(where: str, damaged: Sequence[str]) -> str:
    """What to note of leads that do not fit their checksum."""
    leads = ", ".join(damaged[:12])
    return f"The checksum in the {where} does not fit the samples of {leads}: the file may be damaged."


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text without any number of what a pattern finds at one of its ends; never empty."""
    while (shorter := pattern.sub("", text)) != text and shorter:
        text = shorter
    return text


def to_millivolts(
    channels: Sequence[Channel],
    signal: np.ndarray,
    hints: ReadOptions,
    notes: list[str],
    questions: list[MissingField],
    asked: MissingField | None = None,
) -> tuple[np.ndarray | None, str, tuple[float, ...] | None]:
    """Convert ``(time, lead)`` by hint or by what the file states; ask where neither says the units.

    Notes and questions are added to the lists; ``asked`` is the format's own question, if it has a better one.

    Returns:
        ``(time, lead)`` float32, how the numbers were converted, and stored numbers per millivolt where known; as long
        as the units are in question, nothing of it.
    """
    if hints.units is not None and hints.units not in MV_PER_UNIT:
        raise RecordingError("units", f"received {shown_text(str(hints.units))}; allowed: {', '.join(MV_PER_UNIT)}")
    if hints.gain is not None and not (np.isfinite(hints.gain) and hints.gain > 0):
        raise RecordingError("gain", f"received {hints.gain:g}; a number of units per mV above 0 is needed")
    stated = [unit_of(channel.unit) for channel in channels]
    spelled = sorted({channel.unit.strip() for channel in channels if channel.unit.strip()})
    if hints.gain is not None:
        if None not in stated:
            notes.append(f"The file states {_listed(spelled)}; {hints.gain:g} units per mV was taken, as given.")
        # What the file has scaled already goes back to the numbers that it stores.
        factors = [(channel.gain or 1.0) / hints.gain for channel in channels]
        gains = (float(hints.gain),) * len(channels)
        return _scaled(signal, factors), f"divided by {hints.gain:g} units per mV", gains
    if hints.units is not None:
        if any(unit not in (None, hints.units) for unit in stated):
            notes.append(f"The file states {_listed(spelled)}; {hints.units} was taken, as given.")
        units = [hints.units] * len(channels)
    else:
        units = [unit for unit in stated if unit is not None]
        if len(units) < len(channels):
            questions.append(asked or _unit_question(channels, signal))
            return None, "", None
    factors = [MV_PER_UNIT[unit] for unit in units]
    known = [channel.gain / factor for channel, factor in zip(channels, factors, strict=True) if channel.gain]
    how = "; ".join(_HOW[unit] for unit in dict.fromkeys(units))
    return _scaled(signal, factors), how, tuple(known) if len(known) == len(channels) else None


def _unit_question(channels: Sequence[Channel], signal: np.ndarray) -> MissingField:
    """Ask for the units, with what the size of the numbers suggests."""
    spans, (low, high) = lead_spans(signal), USUAL_SPAN_MV
    typical = float(np.median(spans)) if spans.size else 0.0
    unclear = sorted({channel.unit.strip() for channel in channels if channel.unit.strip()})
    says = f"says {_listed(unclear)}" if unclear else "does not say its units"
    # A suggestion, never taken without being asked.
    likely = next((unit for unit, mv in MV_PER_UNIT.items() if low <= typical * mv <= high), None)
    if likely is None and typical > 0:
        between = f"a gain (units per mV) between {typical / high:.3g} and {typical / low:.3g}"
        gain = f"None of {', '.join(MV_PER_UNIT)} makes that of them, but {between} does."
    else:
        gain = "Numbers straight from a converter need a gain (units per mV) instead."
    span = f"Its leads span {typical:.4g} of them in the median, those of an ECG {low:g} to {high:g} mV."
    text = f"The file {says}: what are its numbers? {span} {gain}"
    return MissingField("units", text, likely, tuple(MV_PER_UNIT))


def lead_spans(signal: np.ndarray) -> np.ndarray:
    """``(lead,)`` largest minus smallest number of each lead that has one."""
    finite = np.isfinite(signal)
    if finite.all():
        low, high = lead_extremes(signal)
    else:
        with_values = finite.any(axis=0)
        low = np.min(signal, axis=0, where=finite, initial=np.inf)[with_values]
        high = np.max(signal, axis=0, where=finite, initial=-np.inf)[with_values]
    # Two huge numbers of different sign are further apart than any number.
    with np.errstate(over="ignore"):
        return np.asarray(high - low)


def _listed(spelled: Sequence[str]) -> str:
    return ", ".join(shown_text(unit) for unit in spelled[:4])


def _scaled(signal: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    # A number beyond float32 becomes infinite, which the checks of a recording refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        return (signal * np.asarray(factors)).astype(np.float32)


_HOW = {"V": "V, times 1000", "mV": "mV, taken as they are", "uV": "µV, divided by 1000", "nV": "nV, divided by 10^6"}
