"""Height and weight in the units that people know, and in those that the models take."""

from collections.abc import Mapping

from leadwise.contract import FACT_RANGES

HEIGHT_UNITS: Mapping[str, float] = {"cm": 1.0, "in": 2.54}
WEIGHT_UNITS: Mapping[str, float] = {"kg": 1.0, "lb": 0.45359237}
"""Unit -> how many of the model's unit it is (international yard and pound, 1959)."""
UNITS: Mapping[str, Mapping[str, float]] = {"height_cm": HEIGHT_UNITS, "weight_kg": WEIGHT_UNITS}


def to_model(fact: str, value: float | None, unit: str) -> float | None:
    """A number of the form as the models take it, within their range after rounding."""
    if value is None:
        return None
    low, high, _ = FACT_RANGES[fact]
    return min(max(round(value * UNITS[fact][unit], 2), low), high)


def from_model(fact: str, value: float | None, unit: str) -> float | None:
    """The inverse of ``to_model``, to a tenth."""
    return None if value is None else round(value / UNITS[fact][unit], 1)


def limits(fact: str, unit: str) -> tuple[float, float]:
    """Smallest and largest number of the form, to a tenth."""
    low, high, _ = FACT_RANGES[fact]
    return round(low / UNITS[fact][unit], 1), round(high / UNITS[fact][unit], 1)
