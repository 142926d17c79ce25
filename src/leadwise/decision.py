"""What ``decision.json`` holds: a calibration, and policies: per class a threshold and a band of "uncertain".

Both ship inside the served model as JSON, so they need numpy only; ``leadwise.evaluation.calibration`` fits the one and
``leadwise.evaluation.decisions`` chooses the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError

Method = Literal["none", "temperature", "per_class"]
METHODS: tuple[Method, ...] = get_args(Method)

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are kept this far from 0 and 1, so that their logits are finite."""


class DecisionError(LeadwiseError):
    """A calibration or a policy cannot be read, does not exist or has impossible numbers."""


@dataclass(frozen=True)
class Calibration:
    """A straight line on each class's logit: ``logit(p) * slope + intercept``.

    One temperature for all classes (Guo et al. 2017) has the slope 1 / temperature and no intercept; a line per class
    is the logistic calibration of Platt (1999). Slopes are above 0, so the order of a class's probabilities stays,
    and with it every AUROC.

    Attributes:
        method: ``none``, ``temperature`` or ``per_class``.
        slope: one number per class.
        intercept: one number per class, in logits.
        classes: their names.
    """

    method: Method
    slope: tuple[float, ...]
    intercept: tuple[float, ...]
    classes: tuple[str, ...] = SUPERCLASSES

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DecisionError(f"calibration: received method {self.method!r}; allowed: {', '.join(METHODS)}")
        if not len(self.slope) == len(self.intercept) == len(self.classes):
            raise DecisionError(
                f"calibration: received {len(self.slope)} slopes and {len(self.intercept)} intercepts for "
                f"{len(self.classes)} classes; allowed: one of each per class"
            )
        for name, slope, intercept in zip(self.classes, self.slope, self.intercept, strict=True):
            if not (np.isfinite(slope) and slope > 0 and np.isfinite(intercept)):
                raise DecisionError(
                    f"calibration: received slope {slope} and intercept {intercept} for {name}; allowed: a finite "
                    "slope above 0, a finite intercept"
                )

    @classmethod
    def of_temperature(cls, temperature: float, classes: tuple[str, ...] = SUPERCLASSES) -> "Calibration":
        """One temperature for all classes; above 1 it makes the model less certain."""
        if not temperature > 0:
            raise DecisionError(f"calibration: received temperature {temperature}; allowed: above 0")
        return cls("temperature", (1 / temperature,) * len(classes), (0.0,) * len(classes), classes)

    @classmethod
    def identity(cls, classes: tuple[str, ...] = SUPERCLASSES) -> "Calibration":
        """Probabilities stay what they are."""
        return cls("none", (1.0,) * len(classes), (0.0,) * len(classes), classes)

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities ``(..., class)``."""
        return sigmoid(logit(probabilities) * np.asarray(self.slope) + np.asarray(self.intercept))

    def to_dict(self) -> dict[str, Any]:
        """Its part of ``decision.json``, and of a network's ``decision`` in ``model.json``."""
        slope, intercept = (dict(zip(self.classes, values, strict=True)) for values in (self.slope, self.intercept))
        return {"calibration": {"method": self.method, "slope": slope, "intercept": intercept}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Calibration":
        """The inverse of ``to_dict``; other keys are ignored.

        Raises:
            DecisionError: a part is missing or impossible.
        """
        try:
            part = content["calibration"]
            classes = tuple(part["slope"])
            slope = tuple(float(part["slope"][name]) for name in classes)
            intercept = tuple(float(part["intercept"][name]) for name in classes)
            return cls(part["method"], slope, intercept, classes)
        except (KeyError, TypeError, ValueError) as error:
            raise DecisionError(
                f"calibration: received {content!r:.200}; needed: method, slope and intercept by class ({error!r})"
            ) from None


def logit(probabilities: ArrayLike) -> NDArray[np.float64]:
    """log(p / (1 - p)), finite for every p from 0 to 1."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(p) - np.log1p(-p)


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """The inverse of ``logit``; nothing overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


Band = tuple[float, float]


@dataclass(frozen=True)
class Policy:
    """One way to answer.

    Attributes:
        rule: in words, how the thresholds were chosen.
        thresholds: class -> calibrated probability at and above which the class is reported.
        uncertain: class -> interval of calibrated probability, ends included, in which the answer is "uncertain".
    """

    rule: str
    thresholds: Mapping[str, float]
    uncertain: Mapping[str, Band]

    def limits(self, classes: Sequence[str] = SUPERCLASSES) -> NDArray[np.float64]:
        """Thresholds, ``(class,)``."""
        return np.array([self.thresholds[name] for name in classes])

    def bands(self) -> NDArray[np.float64]:
        """Bands, ``(class, 2)``."""
        return np.array([self.uncertain[name] for name in SUPERCLASSES])

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``policies`` in ``decision.json``."""
        bands = {name: list(band) for name, band in self.uncertain.items()}
        return {"rule": self.rule, "thresholds": dict(self.thresholds), "uncertain": bands}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Policy":
        """The inverse of ``to_dict``.

        Raises:
            DecisionError: a part is missing or no number.
        """
        try:
            thresholds = {name: float(value) for name, value in content["thresholds"].items()}
            bands = {name: (float(low), float(high)) for name, (low, high) in content["uncertain"].items()}
            if thresholds.keys() != bands.keys():
                raise ValueError("other classes have a band than a threshold")
            return cls(str(content["rule"]), thresholds, bands)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DecisionError(
                f"policy: received {content!r:.200}; needed: rule, thresholds and uncertain by class ({error!r})"
            ) from None


def read_policies(decision: Mapping[str, Any]) -> tuple[dict[str, Policy], str]:
    """Every policy of a ``decision.json`` by its name, and the name of the one that answers unless another is asked.

    Raises:
        DecisionError: there are none, or the one in use is not among them.
    """
    policies = {name: Policy.from_dict(content) for name, content in decision.get("policies", {}).items()}
    used = decision.get("policy")
    if not isinstance(used, str) or used not in policies:
        raise DecisionError(f"policy: received {used!r:.40}; allowed: {', '.join(policies) or 'none is there'}")
    return policies, used


def is_uncertain(probabilities: ArrayLike, bands: ArrayLike) -> NDArray[np.bool_]:
    """``(..., class)`` calibrated probabilities inside their class's ``(class, 2)`` band."""
    p, limits = np.asarray(probabilities, dtype=np.float64), np.asarray(bands, dtype=np.float64)
    return (p >= limits[:, 0]) & (p <= limits[:, 1]) & (limits[:, 0] < limits[:, 1])
