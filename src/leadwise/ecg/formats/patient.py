"""Facts about the patient as files give them: age, sex, height, weight, pacemaker. Names, ids and dates are left."""

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping

from leadwise.contract import FACT_RANGES


def _per(spellings: Mapping[str, float]) -> dict[str, float]:
    """Every spelling of a list with spaces -> what one of it is."""
    return {word: value for words, value in spellings.items() for word in words.split()}


YEARS_PER: Mapping[str, float] = _per({
    "y yr yrs year years yo y/o a": 1.0, "m mo mos mth mths month months": 1 / 12, "w wk wks week weeks": 7 / 365.25,
    "d day days": 1 / 365.25, "h hr hrs hour hours": 1 / 8766,
})  # fmt: skip
"""Units of age in years, DICOM's letters and UCUM's ``a`` among them."""
CM_PER: Mapping[str, float] = _per({
    "m metre metres meter meters": 100.0, "cm cms centimetre centimetres centimeter centimeters": 1.0,
    "mm millimetre millimetres millimeter millimeters": 0.1, "ft foot feet '": 30.48, 'in inch inches "': 2.54,
})  # fmt: skip
KG_PER: Mapping[str, float] = _per({
    "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes": 1.0, "g gram grams gramme grammes": 0.001,
    "st stone stones": 6.35029318, "lb lbs pound pounds": 0.45359237, "oz ounce ounces": 0.028349523125,
})  # fmt: skip
_UNDERSTOOD = {
    "age": "a number in years, months, weeks, days or hours",
    "height_cm": "a number in cm, m, mm, feet or inches",
    "weight_kg": "a number in kg, g, lb, oz or stone",
}
_NEXT_SMALLER = {30.48: 2.54, 6.35029318: 0.45359237, 100.0: 1.0}
"""What a bare number behind feet, stone or metres counts: ``5 ft 8``, ``11 st 4``, ``1 m 72``."""

_SEX = {"m": 0.0, "male": 0.0, "man": 0.0, "f": 1.0, "female": 1.0, "woman": 1.0, "w": 1.0}
_YES_NO = {"yes": 1.0, "true": 1.0, "y": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "n": 0.0, "0": 0.0}
_PART = re.compile(r"(\d{1,6}(?:[.,]\d{1,6})?)[\s-]*[(\[]?([a-z'\"/][a-z'\"/. -]*)?[)\]]?[\s,]*")
LONGEST_AMOUNT = 40
_UNKNOWN = frozenset({"nan", "unknown", "unk", "none", "null", "na", "n/a", "n.a.", "?", "-", "--", "-1"})
DECIMALS = {"age": 4}
"""A day is 0.0027 years; other facts are rounded to two."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OLDEST_DAYS = 130 * 366


def number_with_unit(text: str) -> tuple[float, str] | None:
    """``72 kg`` -> ``(72.0, "kg")``; ``None`` for anything else."""
    parts = _parts(text)
    return parts[0] if len(parts) == 1 else None


def _parts(text: str) -> list[tuple[float, str]]:
    """Numbers and the units behind them, such as the two of ``5 ft 8 in``; none if there is anything else."""
    rest, parts = text.strip().casefold().replace("\u2032", "'").replace("\u2033", '"').replace("''", '"'), []
    while rest and len(rest) <= LONGEST_AMOUNT:
        match = _PART.match(rest)
        if match is None:
            return []
        unit = (match[2] or "").strip(" -").removesuffix(" and").removesuffix("old").strip(" -").replace(".", "")
        parts.append((float(match[1].replace(",", ".")), unit))
        rest = rest[match.end() :]
    return [] if rest else parts


def _amount(text: str, units: Mapping[str, float], bare: Callable[[float], float]) -> float | None:
    """A number with one of the units, several from the larger to the smaller, or a bare one; ``None`` for others."""
    parts = _parts(text)
    if len(parts) == 1 and not parts[0][1]:
        return bare(parts[0][0])
    total, last = 0.0, math.inf
    for position, (value, unit) in enumerate(parts):
        is_last = position == len(parts) - 1
        one = units.get(unit) if unit or not is_last else _NEXT_SMALLER.get(last)
        if one is None or one >= last:
            return None
        total, last = total + value * one, one
    return total if parts else None


def sex_of(text: str) -> float | None:
    """0 for male, 1 for female, from words; a bare number is read either way in the field, so it stays unknown."""
    return _SEX.get(text.strip().casefold())


def age_of(text: str) -> float | None:
    """Years from ``63``, ``063Y``, ``18 months``, ``6 weeks``; ``None`` for anything else."""
    return _amount(text, YEARS_PER, lambda bare: bare)


def height_cm_of(text: str) -> float | None:
    """Centimetres from ``172``, ``1.72 m``, ``68 in``, ``5 ft 8 in``; a bare number below 3 is taken as metres."""
    return _amount(text, CM_PER, lambda bare: bare * 100 if bare < 3 else bare)


def weight_kg_of(text: str) -> float | None:
    """Kilograms from ``72``, ``72 kg``, ``159 lb``, ``11 st 4 lb``."""
    return _amount(text, KG_PER, lambda bare: bare)


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
    "age": "age", "patient age": "age", "sex": "sex", "gender": "sex", "patient sex": "sex", "patient gender": "sex",
    "height": "height_cm", "patient height": "height_cm", "weight": "weight_kg", "patient weight": "weight_kg",
    "pacemaker": "pacemaker",
}  # fmt: skip
_UNITS: Mapping[str, Mapping[str, float]] = {"age": YEARS_PER, "height_cm": CM_PER, "weight_kg": KG_PER}
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[](.*)[)\]]\s*")


def facts_of(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, float], list[str]]:
    """Facts from pairs of a name and a text, such as the comments of a header; other names are passed over.

    Returns:
        The facts, and notes on what could not be taken.
    """
    found: dict[str, float | None] = {}
    for name, text in pairs:
        fact, unit = _fact_and_unit(name)
        if fact is not None and text.strip() and text.strip().casefold() not in _UNKNOWN:
            found[fact] = read_fact(fact, text, unit)
    return checked_facts(found)


def _fact_and_unit(name: str) -> tuple[str | None, str]:
    """``Weight (lb)`` and ``weight_lb`` -> ``("weight_kg", "lb")``; the fact is ``None`` for other names."""
    bracketed = _UNIT_IN_BRACKETS.fullmatch(name)
    words = re.sub(r"[\s_.-]+", " ", (bracketed[1] if bracketed else name).casefold()).strip()
    fact = _FACT_NAMES.get(words)
    if fact is not None:
        return fact, bracketed[2].strip() if bracketed else ""
    shorter, _, unit = words.rpartition(" ")
    fact = _FACT_NAMES.get(shorter)
    return (fact, unit) if fact is not None and unit in _UNITS.get(fact, ()) else (None, "")


def read_fact(fact: str, text: str, unit: str = "") -> float | None:
    """A fact by its name in a request; ``None`` where the text is not understood.

    Args:
        fact: ``age``, ``sex``, ``height_cm``, ``weight_kg`` or ``pacemaker``.
        text: as the file gives it; a unit in it counts more than
        unit: that the file gives elsewhere, such as in the name.
    """
    if unit and (alone := number_with_unit(text)) is not None and not alone[1]:
        text = f"{text} {unit}"
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
            understood = f" ({_UNDERSTOOD[name]} is)" if name in _UNDERSTOOD else ""
            notes.append(f"The file gives {name} in a way that is not understood{understood}; it is taken as unknown.")
            continue
        low, high, unit = FACT_RANGES.get(name, (0, 1, ""))
        if low <= value <= high:
            facts[name] = round(value, DECIMALS.get(name, 2))
        else:
            notes.append(f"The file gives {name} as {value:.4g}{unit}, which cannot be; it is taken as unknown.")
    return facts, notes


LONGEST_LINE = 2000

_FACTS = r"(?:age|sex|gender|height|weight|pacemaker)"
_NAME = r"(?:patient[ _])?[A-Za-z_]+(?:\s*[(\[][^)\]]{1,12}[)\]])?"
_NEXT = re.compile(
    rf"[\s,;|]*(?=<[A-Za-z])|[\s,;|]+(?={_NAME}\s*[:=])|[\s,;|]+(?=[\"']?{_FACTS}[\"']?\s*[,;\t|])", re.IGNORECASE
)
"""Where the next pair of the same line begins: ``<age>: 63 <sex>: F``, ``age: 63, sex: F``, ``Age;63;Sex;F``."""
_PAIR = re.compile(r"<?[\"']?([A-Za-z][\w .()\[\]/%-]{0,30}?)[\"']?>?\s*[:=,;\t|]+\s*(.*\S)\s*")
_LONG_GAP = re.compile(r"[\s,;|]{3,}")
_CELLS_END = re.compile(r"[\"']?\s*(?:[;\t|]|,(?!\d)|(?<!\d),)\s*[\"']?")


def pairs_in(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a name and the whole of its value, with every word behind a number: it may be its unit.

    Args:
        lines: with or without comment marks; longer ones than ``LONGEST_LINE`` are passed over.
    """
    pairs = []
    for line in lines:
        text = line.strip(" \t,;|").lstrip("#;%/* \t")
        if len(text) > LONGEST_LINE:
            continue
        text = _LONG_GAP.sub(lambda gap: " " if set(gap[0]) == {" "} else "\t", text)
        if text[:1] in ("'", '"') and text.endswith(text[0]) and text.count(text[0]) == 2:
            text = text[1:-1]
        start = 0
        for place in (*_NEXT.finditer(text), None):
            # Before a pair is whole, the next word with a colon is the end of its name: ``Sampling rate: 500``.
            if match := _PAIR.fullmatch(text, start, len(text) if place is None else place.start()):
                pairs.append((match[1], _value(match[2])))
                start = place.end() if place is not None else len(text)
    return pairs


def _value(text: str) -> str:
    """A value in one piece: the unit of ``Weight;159;lbs`` stands in a cell of its own."""
    joined = _CELLS_END.sub(" ", text.strip(" \t,;|"))
    return (joined.strip("\"'") if joined[:1] in ("'", '"') else joined).strip()
