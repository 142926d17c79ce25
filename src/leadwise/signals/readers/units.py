"""Units of voltage as files spell them, and what a bare number most likely means."""

import re
from collections.abc import Mapping

MV_PER_UNIT: Mapping[str, float] = {"V": 1000.0, "mV": 1.0, "uV": 0.001, "nV": 1e-6}
"""Units that a file may state or a caller may name, in millivolts."""

_SPELLINGS = {
    "v": "V", "volt": "V", "volts": "V",
    "mv": "mV", "millivolt": "mV", "millivolts": "mV",
    "uv": "uV", "\u00b5v": "uV", "\u03bcv": "uV", "mcv": "uV", "microvolt": "uV", "microvolts": "uV",
    "\u00c2\u00b5v": "uV",  # UTF-8 read as Latin-1
    "nv": "nV", "nanovolt": "nV", "nanovolts": "nV",
}  # fmt: skip

LONGEST_COLUMN_NAME = 80

USUAL_SPAN_MV = (0.6, 3.0)
"""What the leads of an ECG span in the median, largest minus smallest number; so do 98 % of PTB-XL."""


def unit_of(text: str) -> str | None:
    """A unit of voltage as ``MV_PER_UNIT`` spells it; ``None`` for anything else."""
    folded = text.strip().strip("[]()").casefold()
    # Case-folding turns the micro sign into the Greek letter.
    return _SPELLINGS.get(folded.replace("\u03bc", "u").replace("\u00c2", "")) or _SPELLINGS.get(folded)


def name_and_unit(text: str) -> tuple[str, str]:
    """Split a column name such as ``V1 (mV)``, ``V1 [uV]`` or ``V1_mV`` into name and unit; the unit may be empty."""
    stripped = text.strip().strip("'\"").strip()
    if len(stripped) > LONGEST_COLUMN_NAME:
        return stripped, ""
    for pattern in (r"(.*?)\s*[\[(]\s*([^\])]+)\s*[\])]$", r"(.+?)[\s_/-]+([^\s_/-]+)$"):
        match = re.fullmatch(pattern, stripped)
        if match and (unit_of(match[2]) or _is_time_unit(match[2])):
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


def _is_time_unit(text: str) -> bool:
    return seconds_of(text) is not None


def likely_unit(span: float) -> str | None:
    """The unit in which a span is that of an ECG: a suggestion, never taken without being asked; ``None`` for none."""
    low, high = USUAL_SPAN_MV
    return next((unit for unit, mv in MV_PER_UNIT.items() if low <= span * mv <= high), None)
