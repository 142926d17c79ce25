"""What may be known of a patient. Each feature says once what it is; whoever needs one, or all of them, asks here.

Nothing is imported, so that the command line has its options at once.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from leadwise.contract import FeatureSet


def _per(spellings: Mapping[str, float]) -> dict[str, float]:
    """Every spelling of a list with spaces -> what one of it is."""
    return {word: value for words, value in spellings.items() for word in words.split()}


NO_YES = ("no", "yes")
YES_NO_WORDS: Mapping[str, float] = _per({"yes true y 1": 1.0, "no false n 0": 0.0})
LONGEST_AMOUNT = 40
_PART = re.compile(r"(\d{1,6}(?:[.,]\d{1,6})?)[\s-]*[(\[]?([a-z'\"/][a-z'\"/. -]*)?[)\]]?[\s,]*")
_NEXT_SMALLER = {30.48: 2.54, 6.35029318: 0.45359237, 100.0: 1.0}
"""What a bare number behind feet, stone or metres counts: ``5 ft 8``, ``11 st 4``, ``1 m 72``."""


@dataclass(frozen=True, eq=False)
class Feature:
    """A number with a range, one of two words that mean 0 and 1, or what is derived of other features.

    Attributes:
        name: field of a request, column of the store and, with dashes, option of the command line.
        label: how forms and reports call it.
        unit: of the number.
        low: smallest value that a patient may have.
        high: largest value.
        choices: what 0 and 1 mean; empty for a number.
        words: further words for 0 and 1, lower case.
        units: spelling of a unit, lower case -> how many of ``unit`` one of it is.
        form_units: those of ``units`` that the form offers; empty: ``unit`` alone.
        understood: what a file may write, for a message.
        bare: from a number without a unit to one in ``unit``.
        spellings: how files call it, lower case, beside its name and its label.
        decimals: that are kept of what a file says.
        absent: its value where nobody says anything of it; ``None``: it is then unknown.
        derived_from: names of the features that ``derive`` takes; it is NaN where one of them is not above 0.
        derive: arrays of them to an array of this one.
        codes: text that a dataset holds -> number.
        leaks: it is read off the diagnosis: never an input of a model that is served, and nobody is asked for it.
        original: whether it is of the feature set ``original``: what the work that Leadwise grew from saw.
        simulate: from what is known of a simulated patient, the superclasses and a source of chance to a value,
            ``None`` where it is unknown; without it the simulator makes the feature itself, or not at all.
    """

    name: str
    label: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    words: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    form_units: tuple[str, ...] = ()
    understood: str = ""
    bare: Callable[[float], float] = float
    spellings: tuple[str, ...] = ()
    decimals: int = 2
    absent: float | None = None
    derived_from: tuple[str, ...] = ()
    derive: Callable[..., Any] | None = None
    codes: Mapping[str, int] = field(default_factory=dict)
    leaks: bool = False
    original: bool = False
    simulate: "Callable[[Mapping[str, float | None], Sequence[str], np.random.Generator], float | None] | None" = None

    @property
    def is_asked(self) -> bool:
        """Whether a request, a file or a form may state it."""
        return self.derive is None and not self.leaks

    @property
    def option(self) -> str:
        """Of the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def allowed(self) -> str:
        """What a request may hold, in words."""
        if self.choices == NO_YES:
            return "0 or false (no), 1 or true (yes)"
        if self.choices:
            return "0 ({0}), 1 ({1}), {0}, {1}".format(*self.choices)
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()

    def holds(self, value: float) -> bool:
        """Whether a patient may have this value."""
        return value in (0, 1) if self.choices else self.low <= value <= self.high

    def text(self, value: float) -> str:
        """A value in words, without its unit."""
        return self.choices[int(value)] if self.choices and value in (0, 1) else f"{value:g}"

    def sentence(self, value: float) -> str:
        """A value in words that can stand alone."""
        if self.choices == NO_YES:
            return self.label.lower() if value else f"no {self.label.lower()}"
        return f"{self.text(value)} {self.unit}".rstrip()

    def parse(self, text: str, unit: str = "") -> float | None:
        """The value that a text of a file, a form or a command line means; ``None`` where it is not understood.

        Args:
            text: such as ``63``, ``18 months``, ``5 ft 8 in``, ``female``; a unit in it counts more than
            unit: that is given elsewhere, such as in a name.
        """
        if self.choices:
            word = text.strip().casefold()
            return self.words.get(word, dict(zip(self.choices, (0.0, 1.0), strict=True)).get(word))
        parts = _parts(text)
        if unit and len(parts) == 1 and not parts[0][1]:
            parts = _parts(f"{text} {unit}")
        if len(parts) == 1 and not parts[0][1]:
            return self.bare(parts[0][0])
        total, last = 0.0, math.inf
        for position, (value, spelt) in enumerate(parts):
            is_last = position == len(parts) - 1
            one = self.units.get(spelt) if spelt or not is_last else _NEXT_SMALLER.get(last)
            if one is None or one >= last:
                return None
            total, last = total + value * one, one
        return total if parts else None


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


FEATURES: dict[str, Feature] = {}
"""Name -> feature, in the order in which networks see them."""


def register_feature(one: Feature) -> Feature:
    """Add a feature: forms, requests, files, the simulator, the store and the next training then have it.

    Raises:
        ValueError: the name is taken, or the feature is not described as it must be.
    """
    if one.name in FEATURES:
        raise ValueError(f"feature: received a second {one.name!r}; taken: {', '.join(FEATURES)}")
    if unknown := [name for name in one.derived_from if name not in FEATURES]:
        raise ValueError(f"{one.name}: derived from {unknown[0]!r}; allowed: {', '.join(FEATURES)}")
    if not one.low < one.high or len(one.choices) not in (0, 2):
        raise ValueError(f"{one.name}: received {one.low:g} to {one.high:g}, {one.choices}; a range or two words")
    FEATURES[one.name] = one
    return one


def asked_features() -> tuple[Feature, ...]:
    """Those that a request may state."""
    return tuple(one for one in FEATURES.values() if one.is_asked)


def asked_names() -> tuple[str, ...]:
    """Their names."""
    return tuple(one.name for one in asked_features())


def stored_names() -> tuple[str, ...]:
    """Columns of the store: all that is known at first hand, what leaks the diagnosis last."""
    return tuple(one.name for one in sorted(FEATURES.values(), key=lambda one: one.leaks) if one.derive is None)


def feature_names(feature_set: "FeatureSet") -> tuple[str, ...]:
    """What a network of a feature set sees: ``clinical``, whatever does not leak, or ``original``."""
    of_original = feature_set == "original"
    return tuple(one.name for one in FEATURES.values() if (one.original if of_original else not one.leaks))


def simulated(
    patient: Mapping[str, float | None], superclasses: Sequence[str], rng: "np.random.Generator"
) -> dict[str, float | None]:
    """The features that say themselves what a simulated patient has."""
    return {one.name: one.simulate(patient, superclasses, rng) for one in FEATURES.values() if one.simulate}


register_feature(Feature(
    "age", "Age", "years", high=120, original=True,
    # DICOM's letters and UCUM's ``a`` are among them.
    units=_per({
        "y yr yrs year years yo y/o a": 1.0, "m mo mos mth mths month months": 1 / 12,
        "w wk wks week weeks": 7 / 365.25, "d day days": 1 / 365.25, "h hr hrs hour hours": 1 / 8766,
    }),
    understood="a number in years, months, weeks, days or hours",
    decimals=4,  # A day is 0.0027 years.
))  # fmt: skip
register_feature(Feature(
    "sex", "Sex", choices=("male", "female"), original=True, spellings=("gender",),
    # A bare number is read either way in the field: in a file it stays unknown.
    words=_per({"m man": 0.0, "f woman w": 1.0}),
))  # fmt: skip
register_feature(Feature(
    "height_cm", "Height", "cm", 40, 250, original=True, form_units=("cm", "in"),
    units=_per({
        "m metre metres meter meters": 100.0, "cm cms centimetre centimetres centimeter centimeters": 1.0,
        "mm millimetre millimetres millimeter millimeters": 0.1, "ft foot feet '": 30.48, 'in inch inches "': 2.54,
    }),
    understood="a number in cm, m, mm, feet or inches",
    bare=lambda value: value * 100 if value < 3 else value,
))  # fmt: skip
register_feature(Feature(
    "weight_kg", "Weight", "kg", 1, 400, original=True, form_units=("kg", "lb"),
    units=_per({
        "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes": 1.0, "g gram grams gramme grammes": 0.001,
        "st stone stones": 6.35029318, "lb lbs pound pounds": 0.45359237, "oz ounce ounces": 0.028349523125,
    }),
    understood="a number in kg, g, lb, oz or stone",
))  # fmt: skip
_SIZE = ("height_cm", "weight_kg")
register_feature(Feature(
    "bmi", "Body-mass index", "kg/m²", high=math.inf, derived_from=_SIZE,
    derive=lambda height, weight: weight / (height / 100 * (height / 100)),
))  # fmt: skip
register_feature(Feature(
    "bsa", "Body-surface area", "m²", high=math.inf, derived_from=_SIZE,
    # Mosteller, N Engl J Med 1987;317:1098.
    derive=lambda height, weight: (height * weight / 3600) ** 0.5,
))  # fmt: skip
_STAGES = ("unknown", "Stadium I", "Stadium I-II", "Stadium II", "Stadium II-III", "Stadium III")
"""Of infarction, as PTB-XL writes them; the original work gave them the numbers from 0 on."""
for _name in ("infarction_stadium1", "infarction_stadium2"):
    _codes = {stage: code for code, stage in enumerate(_STAGES)}
    register_feature(Feature(_name, "Stage of infarction", high=5, codes=_codes, leaks=True, original=True))
# PTB-XL notes a pacemaker only where there is one.
register_feature(Feature("pacemaker", "Pacemaker", choices=NO_YES, words=YES_NO_WORDS, absent=0.0, original=True))
