"""What is known about the patient, as numbers for a network: one transformer, fitted on the training folds.

It ships inside the served model as JSON, so it needs numpy and pandas only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from leadwise.contract import FeatureSet, LeadwiseError
from leadwise.features import FEATURES, Feature, feature_names

FEATURE_SETS: tuple[FeatureSet, ...] = get_args(FeatureSet)


class MetadataError(LeadwiseError):
    """Metadata cannot be turned into numbers; the message names the column and what was received."""


@dataclass(frozen=True)
class MetadataTransformer:
    """Raw patient columns to the input of the metadata branch.

    ``clinical``: every feature that does not leak the diagnosis, an unknown value replaced by the median of the fitted
    rows, then standardised by the mean and standard deviation of the known values; as many masks follow (1 = unknown).

    ``original``: as the work that Leadwise grew from coded its seven features: an unknown value is 0, then everything
    standardised. No masks. Leaks the diagnosis.

    Attributes:
        feature_set: ``clinical`` or ``original``.
        features: names of what it takes, in order; those of the day it was fitted.
        fill: what replaces an unknown value, per feature.
        mean: subtracted, per feature.
        sd: divided by, per feature; 1 for a feature that never varied.
    """

    feature_set: FeatureSet
    features: tuple[str, ...]
    fill: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def fit(cls, patients: pd.DataFrame, feature_set: FeatureSet) -> "MetadataTransformer":
        """Fit on raw patient columns: only those of the training folds.

        Raises:
            MetadataError: no rows, an unknown feature set, or a column that is not numeric.
        """
        if feature_set not in FEATURE_SETS:
            raise MetadataError(f"feature_set: received {feature_set!r}; allowed: {', '.join(FEATURE_SETS)}")
        if patients.empty:
            raise MetadataError("patients: received 0 rows; at least one is needed to fit")
        features = feature_names(feature_set)
        values = _values(features, patients.to_dict("records"))
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
        return cls(feature_set, features, fill, mean, sd)

    @property
    def width(self) -> int:
        """Columns that ``transform`` makes."""
        return len(self.column_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that ``transform`` makes."""
        masks = tuple(f"{name}_unknown" for name in self.features) if self.feature_set == "clinical" else ()
        return self.features + masks

    def transform(self, patients: pd.DataFrame) -> np.ndarray:
        """``(row, width)`` float32. A column that is absent, ``None`` and NaN all mean unknown.

        Raises:
            MetadataError: a value is text where a number belongs, infinite, or a stage that PTB-XL does not have.
        """
        return self.transform_many(patients.to_dict("records"))

    def transform_one(self, patient: Mapping[str, float | None]) -> np.ndarray:
        """``(1, width)`` float32 of one patient."""
        return self.transform_many([patient])

    def transform_many(self, patients: Sequence[Mapping[Any, Any]]) -> np.ndarray:
        """``(patient, width)`` float32: ``transform`` of a table with these rows; it raises the same."""
        values = _values(self.features, patients)
        unknown = np.isnan(values)
        scaled = (np.where(unknown, self.fill, values) - self.mean) / self.sd
        parts = [scaled, unknown] if self.feature_set == "clinical" else [scaled]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def all_unknown(self) -> np.ndarray:
        """``(width,)`` float32: the vector of a patient about whom nothing at all is known, every mask 1."""
        scaled = (np.array(self.fill) - self.mean) / self.sd
        masks = np.ones(self.width - len(scaled))
        return np.concatenate([scaled, masks]).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """What ``preprocessing.json`` holds under ``metadata``."""
        return {name: value if isinstance(value, str) else list(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "MetadataTransformer":
        """The inverse of ``to_dict``.

        Raises:
            MetadataError: the content is of another feature set, or names a feature that there is not.
        """
        received = content.get("feature_set")
        feature_set = next((name for name in FEATURE_SETS if name == received), None)
        if feature_set is None:
            raise MetadataError(f"feature_set: received {received!r}; allowed: {', '.join(FEATURE_SETS)}")
        features, allowed = tuple(content.get("features", ())), feature_names(feature_set)
        if not features or len(set(features)) < len(features) or not set(features) <= set(allowed):
            raise MetadataError(f"features: received {list(features)}; allowed, each once: {', '.join(allowed)}")
        numbers = {}
        for key in ("fill", "mean", "sd"):
            numbers[key] = tuple(float(value) for value in content.get(key, ()))
            if len(numbers[key]) != len(features) or not np.isfinite(numbers[key]).all():
                raise MetadataError(f"{key}: received {content.get(key)}; {len(features)} finite numbers are needed")
        return cls(feature_set, features, **numbers)


def _values(features: Sequence[str], patients: Sequence[Mapping[Any, Any]]) -> np.ndarray:
    """``(patient, feature)`` float64 out of what is given at first hand by name, NaN where unknown."""
    seen = [FEATURES[name] for name in features]
    known = {
        name: np.array([_number(patient.get(name), FEATURES[name]) for patient in patients], dtype=np.float64)
        for name in {part for one in seen for part in one.derived_from or (one.name,)}
    }
    found = []
    for one in seen:
        if one.derive is None:
            values = known[one.name]
        else:
            values = one.derive(*(np.where(known[part] > 0, known[part], np.nan) for part in one.derived_from))
        found.append(values if one.absent is None else np.nan_to_num(values, nan=one.absent))
    return np.stack(found, axis=1)


def _number(value: Any, one: Feature) -> float:
    if value is None or value is pd.NA or value != value:
        return np.nan
    if one.codes:
        if value not in one.codes:
            raise MetadataError(f"{one.name}: received {value!r}; allowed: {', '.join(one.codes)}")
        return one.codes[value]
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"{one.name}: received something that is not a number: {error}") from None
    if math.isinf(number):
        raise MetadataError(f"{one.name}: received an infinite number; a finite number or nothing is allowed")
    return number
