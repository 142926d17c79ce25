"""What is selected on fold 9 after training: one temperature, and one threshold per class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, VALIDATION_FOLD
from leadwise.evaluation.metrics import DEFAULT_THRESHOLD, validate

Floats = NDArray[np.float64]

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are kept this far from 0 and 1, so that their logits are finite."""

TEMPERATURE_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Decision:
    """How probabilities become answers: the content of ``decision.json``.

    Attributes:
        temperature: divides the logits; above 1 it makes the model less certain.
        thresholds: class -> calibrated probability at and above which the class is reported.
    """

    temperature: float
    thresholds: Mapping[str, float]

    @classmethod
    def choose(cls, labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str] = SUPERCLASSES) -> "Decision":
        """Fit the temperature, then pick the thresholds on the calibrated probabilities, on the rows of fold 9."""
        temperature = fit_temperature(labels, probabilities)
        chosen = best_f1_thresholds(labels, apply_temperature(probabilities, temperature))
        return cls(temperature, dict(zip(classes, chosen.tolist(), strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """What ``decision.json`` holds."""
        return {
            "temperature": self.temperature,
            "thresholds": dict(self.thresholds),
            "policy": "best_f1",
            "chosen_on": f"fold {VALIDATION_FOLD}",
        }


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature with the smallest binary cross-entropy over all rows and classes (Guo et al. 2017).

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: uncalibrated, same shape.

    Returns:
        The temperature, kept within ``TEMPERATURE_RANGE``: labels that the model separates perfectly have no optimum.

    Raises:
        MetricError: the arrays cannot be compared.
    """
    from scipy.optimize import minimize_scalar

    y, p, _ = validate(labels, probabilities)
    signed = np.where(y == 1, 1.0, -1.0) * logit(p)

    def cross_entropy(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    bounds = tuple(np.log(TEMPERATURE_RANGE))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Calibrated probabilities, any shape; their order stays, and 0.5 stays 0.5."""
    return 1 / (1 + np.exp(-logit(probabilities) / temperature))


def logit(probabilities: ArrayLike) -> Floats:
    """log(p / (1 - p)), finite for every p from 0 to 1."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(p) - np.log1p(-p)


def best_f1_thresholds(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """The threshold per class with the best F1, ``(class,)``.

    A threshold stands halfway between two neighbouring probabilities, so that rounding elsewhere flips no decision.
    A class without positives keeps 0.5.
    """
    y, p, _ = validate(labels, probabilities)
    return np.array([_best_f1_threshold(y[:, k], p[:, k]) for k in range(y.shape[1])])


def _best_f1_threshold(y: Floats, p: Floats) -> float:
    if not y.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-p, kind="stable")
    ranked, alarms = p[order], np.arange(1, len(p) + 1)
    scores = 2 * np.cumsum(y[order]) / (alarms + y.sum())
    below = np.append(ranked[1:], 0.0)
    last_of_its_value = np.append(ranked[:-1] > ranked[1:], True)
    best = int(np.argmax(np.where(last_of_its_value, scores, -1.0)))
    return float((ranked[best] + below[best]) / 2)
