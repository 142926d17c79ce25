"""Facts about the patient as files give them: age, sex, height, weight, pacemaker. Names, ids and dates are left."""

import datetime
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

from leadwise.features import FEATURES, Feature, asked_features

_UNKNOWN = frozenset({"nan", "unknown", "unk", "none", "null", "na", "n/a", "n.a.", "?", "-", "--", "-1"})
_NEITHER = frozenset({"other", "undefined", "unspecified", "u", "un", "o", "x"})
"""How devices write that a sex is not known, or neither of both."""
_DATES = (
    (r"(\d{8})(?:[\dT.:+-].*)?", "%Y%m%d"),
    (r"(\d{1,2}[-/]\d{1,2}[-/]\d{4})", "%m-%d-%Y"),
    (r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?", "%Y-%m-%d"),
    (r"(\d{1,2}-[A-Za-z]{3}-\d{4})", "%d-%b-%Y"),
)
"""As DICOM and HL7, MUSE, ISO 8601 and EDF+ write them; a time may follow the first and the third."""
_OLDEST_DAYS = 130 * 366


def date_of(text: str) -> datetime.date | None:
    """A date in one of ``_DATES``; ``None`` for anything else."""
    for pattern, form in _DATES:
        if match := re.fullmatch(pattern, text.strip()):
            with suppress(ValueError):
                return datetime.datetime.strptime(match[1].replace("/", "-"), form).date()
    return None


def day_of(year: int, month: int, day: int) -> str:
    """A date of three numbers as ``date_of`` takes it; those that cannot be one are none there either."""
    return f"{year:04}{month:02}{day:02}"


def age_between(birth: str, recorded: str) -> float | None:
    """Whole years from birth to the recording; both dates are then forgotten."""
    born, then = date_of(birth), date_of(recorded)
    if born is None or then is None or not 0 <= (then - born).days <= _OLDEST_DAYS:
        return None
    return float(then.year - born.year - ((then.month, then.day) < (born.month, born.day)))


SEXES = {1: "male", 2: "female"}
"""As SCP-ECG, ISHNE and MFER number them."""


def facts_said(
    *, age: str = "", born: str = "", recorded: str = "", sex: str = "", sizes: Iterable[tuple[str, str, str]] = ()
) -> dict[str, float | None]:
    """Facts as a file gives them, by name, not checked yet; ``None``: not understood.

    Args:
        age: at the recording; what is not understood is made up for by the dates.
        born: date of birth, which only serves to know the age.
        recorded: date of the recording.
        sex: in words; a bare number is read either way in the field, so it is not understood.
        sizes: name of a fact, its text and its unit; of several of one fact the first counts.
    """
    facts: dict[str, float | None] = {}
    years = FEATURES["age"].parse(age)
    if years is None:
        years = age_between(born, recorded)
    if age or years is not None:
        facts["age"] = years
    if sex and sex.casefold() not in _UNKNOWN | _NEITHER:
        facts["sex"] = FEATURES["sex"].parse(sex)
    for name, text, unit in sizes:
        if text and name not in facts and text.casefold() not in _UNKNOWN:
            facts[name] = FEATURES[name].parse(text, unit)
    return facts


@lru_cache(maxsize=1)
def _names(features: tuple[Feature, ...]) -> dict[str, Feature]:
    """How files call each fact, in words of lower case."""
    return {
        f"{before}{words}": feature
        for feature in features
        for words in (_without_unit(feature), feature.label.casefold(), *feature.spellings)
        for before in ("", "patient ")
    }


def _without_unit(feature: Feature) -> str:
    words, _, last = feature.name.rpartition("_")
    return (words if last in feature.units else feature.name).replace("_", " ")


_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[](.*)[)\]]\s*")


def facts_of(pairs: Iterable[tuple[str, str]]) -> dict[str, float | None]:
    """Facts, as ``facts_said`` gives them, from pairs of a name and a text; other names are passed over."""
    facts: dict[str, float | None] = {}
    for name, text in pairs:
        feature, unit = _feature_and_unit(name)
        if feature is not None and text.strip() and text.strip().casefold() not in _UNKNOWN:
            facts[feature.name] = feature.parse(text, unit)
    return facts


def _feature_and_unit(name: str) -> tuple[Feature | None, str]:
    """``Weight (lb)`` and ``weight_lb`` -> ``weight_kg`` and ``"lb"``; the feature is ``None`` for other names."""
    bracketed = _UNIT_IN_BRACKETS.fullmatch(name)
    words = re.sub(r"[\s_.-]+", " ", (bracketed[1] if bracketed else name).casefold()).strip()
    names = _names(asked_features())
    if words in names:
        return names[words], bracketed[2].strip() if bracketed else ""
    shorter, _, unit = words.rpartition(" ")
    feature = names.get(shorter)
    return (feature, unit) if feature is not None and unit in feature.units else (None, "")


def checked_facts(found: Mapping[str, float | None]) -> tuple[dict[str, float], list[str]]:
    """The facts that a patient can have, and notes on the others: ``None`` was given but could not be read.

    0 where every number is above it means that it is not known.
    """
    facts, notes = {}, []
    for name, value in found.items():
        feature = FEATURES[name]
        if value is None:
            understood = f" ({feature.understood} is)" if feature.understood else ""
            notes.append(f"The file gives {name} in a way that is not understood{understood}; it is taken as unknown.")
        elif feature.holds(value):
            facts[name] = round(value, feature.decimals)
        elif value != 0 or feature.low <= 0:
            given = f"{value:.4g} {feature.unit}".rstrip()
            notes.append(f"The file gives {name} as {given}, which cannot be; it is taken as unknown.")
    return facts, notes


LONGEST_LINE = 2000

_NAME = r"(?:patient[ _])?[A-Za-z_]+(?:\s*[(\[][^)\]]{1,12}[)\]])?"


@lru_cache(maxsize=1)
def _next(features: tuple[Feature, ...]) -> re.Pattern[str]:
    """Where the next pair of the same line begins: ``<age>: 63 <sex>: F``, ``age: 63, sex: F``, ``Age;63;Sex;F``."""
    words = "|".join(map(re.escape, _names(features)))
    cell = rf"[\s,;|]+(?=[\"']?(?:{words})[\"']?\s*[,;\t|])"
    return re.compile(rf"[\s,;|]*(?=<[A-Za-z])|[\s,;|]+(?={_NAME}\s*[:=])|{cell}", re.IGNORECASE)


_PAIR = re.compile(r"<?[\"']?([A-Za-z][\w .()\[\]/%-]{0,30}?)[\"']?>?\s*[:=,;\t|]+\s*(.*\S)\s*")
_LONG_GAP = re.compile(r"[\s,;|]{3,}")
_CELLS_END = re.compile(r"[\"']?\s*(?:[;\t|]|,(?!\d)|(?<!\d),)\s*[\"']?")


def pairs_in(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a name and the whole of its value, with every word behind a number: it may be its unit.

    Comment marks are left out, and lines that are longer than ``LONGEST_LINE`` passed over.
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
        for place in (*_next(asked_features()).finditer(text), None):
            # Before a pair is whole, the next word with a colon is the end of its name: ``Sampling rate: 500``.
            if match := _PAIR.fullmatch(text, start, len(text) if place is None else place.start()):
                pairs.append((match[1], _value(match[2])))
                start = place.end() if place is not None else len(text)
    return pairs


def _value(text: str) -> str:
    """A value in one piece: the unit of ``Weight;159;lbs`` stands in a cell of its own."""
    joined = _CELLS_END.sub(" ", text.strip(" \t,;|"))
    return (joined.strip("\"'") if joined[:1] in ("'", '"') else joined).strip()
