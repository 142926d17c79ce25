"""Facts about the patient as files give them: age, sex, height, weight, pacemaker. Names, ids and dates are left."""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping

from leadwise.contract import FACT_RANGES

YEARS_PER: Mapping[str, float] = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25, "h": 1 / 8766}
"""First letter of a unit of age (DICOM's age string, MUSE's AgeUnits, HL7's units) in years."""
CM_PER: Mapping[str, float] = {"cm": 1.0, "m": 100.0, "mm": 0.1, "in": 2.54, "inch": 2.54, "inches": 2.54, '"': 2.54}
KG_PER: Mapping[str, float] = {"kg": 1.0, "g": 0.001, "lb": 0.45359237, "lbs": 0.45359237, "pounds": 0.45359237}

_SEX = {"m": 0.0, "male": 0.0, "man": 0.0, "f": 1.0, "female": 1.0, "woman": 1.0, "w": 1.0}
_YES_NO = {"yes": 1.0, "true": 1.0, "y": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "n": 0.0, "0": 0.0}
_NUMBER = re.compile(r"^\s*(\d{1,6}(?:[.,]\d{1,6})?)\s*([a-zA-Z\"]*)\.?\s*$")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OLDEST_DAYS = 130 * 366


def number_with_unit(text: str) -> tuple[float, str] | None:
    """``72 kg`` -> ``(72.0, "kg")``; ``None`` for anything else."""
    match = _NUMBER.match(text)
    return (float(match[1].replace(",", ".")), match[2].casefold()) if match else None


def sex_of(text: str) -> float | None:
    """0 for male, 1 for female, from words; a bare number is read either way in the field, so it stays unknown."""
    return _SEX.get(text.strip().casefold())


def age_of(text: str) -> float | None:
    """Years from ``63``, ``063Y``, ``18 months``; ``None`` for anything else."""
    found = number_with_unit(text)
    if found is None:
        return None
    value, unit = found
    return value * YEARS_PER[unit[0]] if unit[:1] in YEARS_PER else value if not unit else None


def height_cm_of(text: str) -> float | None:
    """Centimetres from ``172``, ``1.72 m``, ``68 in``; a bare number below 3 is taken as metres."""
    return _measured(text, CM_PER, lambda bare: bare * 100 if bare < 3 else bare)


def weight_kg_of(text: str) -> float | None:
    """Kilograms from ``72``, ``72 kg``, ``159 lb``."""
    return _measured(text, KG_PER, lambda bare: bare)


def _measured(text: str, units: Mapping[str, float], bare: Callable[[float], float]) -> float | None:
    found = number_with_unit(text)
    if found is None:
        return None
    value, unit = found
    if not unit:
        return bare(value)
    return value * units[unit] if unit in units else None


def date_of(text: str) -> datetime.date | None:
    """A date from ``19710123`` (DICOM, HL7; a time may follow), ``01-23-1971`` (MUSE) or ``23-JAN-1971`` (EDF+)."""
    stripped = text.strip()
    if re.fullmatch(r"\d{8}([\dT.:+-].*)?", stripped):
        return _date(int(stripped[:4]), int(stripped[4:6]), int(stripped[6:8]))
    if match := re.fullmatch(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})", stripped):
        return _date(int(match[3]), int(match[1]), int(match[2]))
    if match := re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?", stripped):
        return _date(int(match[1]), int(match[2]), int(match[3]))
    if (match := re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", stripped)) and match[2].casefold() in _MONTHS:
        return _date(int(match[3]), _MONTHS.index(match[2].casefold()) + 1, int(match[1]))
    return None


def _date(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def age_between(birth: str, recorded: str) -> float | None:
    """Whole years from birth to the recording; both dates are then forgotten."""
    born, then = date_of(birth), date_of(recorded)
    if born is None or then is None or not 0 <= (then - born).days <= _OLDEST_DAYS:
        return None
    return float(then.year - born.year - ((then.month, then.day) < (born.month, born.day)))


_FACT_NAMES: Mapping[str, str] = {
    "age": "age", "patient age": "age", "sex": "sex", "gender": "sex", "patient sex": "sex",
    "height": "height_cm", "height cm": "height_cm", "patient height": "height_cm",
    "weight": "weight_kg", "weight kg": "weight_kg", "patient weight": "weight_kg",
    "pacemaker": "pacemaker",
}  # fmt: skip


def facts_of(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, float], list[str]]:
    """Facts from pairs of a name and a text, such as the comments of a header; other names are passed over.

    Returns:
        The facts, and notes on what could not be taken.
    """
    found: dict[str, float | None] = {}
    for name, text in pairs:
        fact = _FACT_NAMES.get(re.sub(r"[\s_.()-]+", " ", name.casefold()).strip())
        if fact is None or not text.strip() or text.strip().casefold() in ("nan", "unknown", "none", "n/a", "?", "-1"):
            continue
        found[fact] = _read_fact(fact, text)
    return checked_facts(found)


def _read_fact(fact: str, text: str) -> float | None:
    match fact:
        case "age":
            return age_of(text)
        case "sex":
            return sex_of(text)
        case "height_cm":
            return height_cm_of(text)
        case "weight_kg":
            return weight_kg_of(text)
    return _YES_NO.get(text.strip().casefold())


def checked_facts(found: Mapping[str, float | None]) -> tuple[dict[str, float], list[str]]:
    """Leave out what no patient can have; 0 for a height or a weight means that it is not known.

    Returns:
        The facts, and notes on what was left out: a fact that is ``None`` was given but could not be read.
    """
    facts, notes = {}, []
    for name, value in found.items():
        if value == 0 and name in ("height_cm", "weight_kg"):
            continue
        if value is None:
            notes.append(f"The file gives {name} in a way that is not understood; it is taken as unknown.")
            continue
        low, high, unit = FACT_RANGES.get(name, (0, 1, ""))
        if low <= value <= high:
            facts[name] = round(value, 2)
        else:
            notes.append(f"The file gives {name} as {value:.4g}{unit}, which cannot be; it is taken as unknown.")
    return facts, notes
