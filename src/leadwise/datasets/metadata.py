"""What is known about the patient, as numbers for a network: one transformer, fitted on the training folds.

It ships inside the served model as JSON, so it needs numpy and pandas only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadwise.contract import CLINICAL_FEATURES, ORIGINAL_FEATURES, FeatureSet, LeadwiseError

FEATURES: Mapping[FeatureSet, tuple[str, ...]] = {"clinical": CLINICAL_FEATURES, "original": ORIGINAL_FEATURES}

NUMBERS: tuple[str, ...] = ("age", "sex", "height_cm", "weight_kg", "pacemaker")
"""The columns that hold numbers."""

STADIUM_CODES: Mapping[str, int] = {
    "unknown": 0,
    "Stadium I": 1,
    "Stadium I-II": 2,
    "Stadium II": 3,
    "Stadium II-III": 4,
    "Stadium III": 5,
}
"""Stages of infarction as PTB-XL writes them, and the numbers that the original work gave them."""


class MetadataError(LeadwiseError):
    """Metadata cannot be turned into numbers; the message names the column and what was received."""


def body_mass_index(height_cm: np.ndarray, weight_kg: np.ndarray) -> np.ndarray:
    """Body-mass index in kg/m2; NaN where height or weight is unknown or not positive."""
    height, weight = _positive(height_cm), _positive(weight_kg)
    return weight / np.square(height / 100)


def body_surface_area(height_cm: np.ndarray, weight_kg: np.ndarray) -> np.ndarray:
    """Body-surface area in m2 by Mosteller (N Engl J Med 1987;317:1098); NaN where a part is unknown."""
    return np.sqrt(_positive(height_cm) * _positive(weight_kg) / 3600)


@dataclass(frozen=True)
class MetadataTransformer:
    """Raw patient columns to the input of the metadata branch.

    ``clinical``: the seven ``CLINICAL_FEATURES``, an unknown value replaced by the median of the fitted rows, then
    standardised by the mean and standard deviation of the known values; seven masks follow (1 = unknown). PTB-XL notes
    a pacemaker only where there is one, so an absent note means 0 and counts as known.

    ``original``: the seven ``ORIGINAL_FEATURES`` as the work that Leadwise grew from coded them: stages by
    ``STADIUM_CODES``, an unknown value is 0, then everything standardised. No masks. Leaks the diagnosis.

    Attributes:
        feature_set: ``clinical`` or ``original``.
        fill: what replaces an unknown value, per feature.
        mean: subtracted, per feature.
        sd: divided by, per feature; 1 for a feature that never varied.
    """

    feature_set: FeatureSet
    fill: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def fit(cls, patients: pd.DataFrame, feature_set: FeatureSet) -> "MetadataTransformer":
        """Fit on raw patient columns: only those of the training folds.

        Raises:
            MetadataError: no rows, an unknown feature set, or a column that is not numeric.
        """
        if feature_set not in FEATURES:
            raise MetadataError(f"feature_set: received {feature_set!r}; allowed: {', '.join(FEATURES)}")
        if patients.empty:
            raise MetadataError("patients: received 0 rows; at least one is needed to fit")
        values = _values(patients, feature_set)
        columns = [column[np.isfinite(column)] for column in values.T]
        if feature_set == "clinical":
            fill = tuple(float(np.median(known)) if len(known) else 0.0 for known in columns)
        else:
            fill = (0.0,) * len(columns)
            columns = list(np.nan_to_num(values, nan=0.0).T)
        mean = tuple(float(known.mean()) if len(known) else 0.0 for known in columns)
        spread = [float(known.std()) if len(known) else 0.0 for known in columns]
        # A constant column's spread is rounding noise, not zero: dividing by it would blow up the first other value.
        sd = tuple(s if s > 1e-9 * max(1.0, abs(m)) else 1.0 for s, m in zip(spread, mean, strict=True))
        return cls(feature_set, fill, mean, sd)

    @property
    def width(self) -> int:
        """Columns that ``transform`` makes."""
        return len(self.column_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that ``transform`` makes."""
        features = FEATURES[self.feature_set]
        masks = tuple(f"{name}_unknown" for name in features) if self.feature_set == "clinical" else ()
        return features + masks

    def transform(self, patients: pd.DataFrame) -> np.ndarray:
        """``(row, width)`` float32. A column that is absent, ``None`` and NaN all mean unknown.

        Raises:
            MetadataError: a value is text where a number belongs, infinite, or a stage that PTB-XL does not have.
        """
        return self._scaled(_values(patients, self.feature_set))

    def transform_one(self, patient: Mapping[str, float | None]) -> np.ndarray:
        """``(1, width)`` float32 of one patient."""
        return self.transform_many([patient])

    def transform_many(self, patients: Sequence[Mapping[str, float | None]]) -> np.ndarray:
        """``(patient, width)`` float32: ``transform`` of a table with these rows, of a few at a tenth of the time.

        Raises:
            MetadataError: as ``transform``.
        """
        if self.feature_set != "clinical":
            return self.transform(pd.DataFrame([dict(patient) for patient in patients]))
        known = {name: np.array([_number(patient.get(name), name) for patient in patients]) for name in NUMBERS}
        return self._scaled(_clinical(known))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        unknown = np.isnan(values)
        scaled = (np.where(unknown, self.fill, values) - self.mean) / self.sd
        parts = [scaled, unknown] if self.feature_set == "clinical" else [scaled]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def hidden(self) -> np.ndarray:
        """``(width,)`` float32: the vector of a patient about whom nothing at all is known, every mask 1."""
        scaled = (np.array(self.fill) - self.mean) / self.sd
        masks = np.ones(self.width - len(scaled))
        return np.concatenate([scaled, masks]).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """What ``preprocessing.json`` holds under ``metadata``."""
        return {
            "feature_set": self.feature_set,
            "features": list(FEATURES[self.feature_set]),
            "fill": list(self.fill),
            "mean": list(self.mean),
            "sd": list(self.sd),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "MetadataTransformer":
        """The inverse of ``to_dict``.

        Raises:
            MetadataError: the content is of another feature set or version.
        """
        received = content.get("feature_set")
        feature_set = next((name for name in FEATURES if name == received), None)
        if feature_set is None:
            raise MetadataError(f"feature_set: received {received!r}; allowed: {', '.join(FEATURES)}")
        features = FEATURES[feature_set]
        if tuple(content.get("features", ())) != features:
            raise MetadataError(f"features: received {content.get('features')}; allowed: {list(features)}")
        numbers = {}
        for key in ("fill", "mean", "sd"):
            numbers[key] = tuple(float(value) for value in content.get(key, ()))
            if len(numbers[key]) != len(features) or not np.isfinite(numbers[key]).all():
                raise MetadataError(f"{key}: received {content.get(key)}; {len(features)} finite numbers are needed")
        return cls(feature_set, **numbers)


def _positive(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return np.where(values > 0, values, np.nan)


def _values(patients: pd.DataFrame, feature_set: FeatureSet) -> np.ndarray:
    """``(row, 7)`` float64, NaN where unknown."""
    columns = {name: _numbers(patients, name) for name in NUMBERS}
    if feature_set == "clinical":
        return _clinical(columns)
    columns["pacemaker"] = np.nan_to_num(columns["pacemaker"], nan=0.0)
    for name in ("infarction_stadium1", "infarction_stadium2"):
        columns[name] = _stadium_codes(patients, name)
    return np.stack([columns[name] for name in FEATURES[feature_set]], axis=1)


def _clinical(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """``(row, 7)`` float64 of the clinical features from those that are known at first hand, NaN where unknown."""
    derived = {
        "bmi": body_mass_index(columns["height_cm"], columns["weight_kg"]),
        "bsa": body_surface_area(columns["height_cm"], columns["weight_kg"]),
        "pacemaker": np.nan_to_num(columns["pacemaker"], nan=0.0),
    }
    return np.stack([{**columns, **derived}[name] for name in CLINICAL_FEATURES], axis=1)


def _number(value: float | None, name: str) -> float:
    try:
        number = np.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"{name}: received something that is not a number: {error}") from None
    if math.isinf(number):
        raise MetadataError(f"{name}: received an infinite number; a finite number or nothing is allowed")
    return number


def _numbers(patients: pd.DataFrame, name: str) -> np.ndarray:
    if name not in patients:
        return np.full(len(patients), np.nan)
    try:
        values = pd.to_numeric(patients[name]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"{name}: received something that is not a number: {error}") from None
    if np.isinf(values).any():
        raise MetadataError(f"{name}: received an infinite number; a finite number or nothing is allowed")
    return values


def _stadium_codes(patients: pd.DataFrame, name: str) -> np.ndarray:
    if name not in patients:
        return np.full(len(patients), np.nan)
    texts = patients[name]
    if foreign := sorted(set(texts.dropna().astype(str)) - set(STADIUM_CODES)):
        raise MetadataError(f"{name}: received {foreign[0]!r}; allowed: {', '.join(STADIUM_CODES)}")
    return texts.map(STADIUM_CODES, na_action="ignore").to_numpy(dtype=np.float64, na_value=np.nan)
