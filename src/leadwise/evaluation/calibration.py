"""Fitting a calibration on fold 9: one temperature, or a line per class where that is clearly better.

Of seven ways that were tried (``docs/training.md`` holds the figures), those with intercepts win; of these the line per
class has the fewest numbers, and it keeps the order of each class's probabilities.

For the statements the way wins that has the lowest log loss on patients that it was not fitted on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.decision import METHODS, Calibration, Method, logit, sigmoid
from leadwise.evaluation.bootstrap import finite
from leadwise.evaluation.metrics import Floats, log_loss, validate

TEMPERATURE_RANGE = (0.05, 20.0)
INTERCEPT_RANGE = (-5.0, 5.0)
PARTS, REPEATS = 10, 5
"""Cross-validation: patients are dealt to so many parts, so many times."""
FEWEST_PATIENTS = 200
"""With fewer on fold 9 (simulated data have some dozens) nothing but a temperature is fitted."""
CLEARLY = 1.0
"""Standard errors by which the line per class must be better, else the simpler one is taken (Breiman et al. 1984)."""

WEAK = 1e-4
"""Weight of the square of a class's slope, beside the summed cross-entropy: felt only where a class is separated
perfectly."""
PRIOR_SD = (0.5, 1.0)
"""How far slope and intercept of a statement's own line may stray from 1 and 0 for no reason: standard deviations of a
Gaussian prior. Some statements have five positives in fold 9; a line through so few overfits without a prior."""

LARGEST_STEP, SMALL_STEP, MOST_STEPS = 1.0, 1e-6, 50
"""Of Newton's method; an error as small as a step is squared by the next."""

Splits = Iterable[tuple[NDArray[Any], NDArray[Any]]]
"""Rows to fit on and rows to judge on, as masks or indices."""


@dataclass(frozen=True)
class ChosenCalibration:
    """A calibration and why it was chosen.

    Attributes:
        calibration: fitted on all rows of fold 9.
        temperature: the best single temperature, whether or not it is in use.
        log_loss: cross-validated mean log loss by method; empty where fold 9 has too few patients.
        gain: by how much the line per class beats the temperature; NaN where it was not tried.
        gain_error: standard error of ``gain`` over patients.
    """

    calibration: Calibration
    temperature: float
    log_loss: dict[str, float]
    gain: float
    gain_error: float

    def to_dict(self) -> dict[str, Any]:
        """What ``calibration.json`` holds."""
        return {
            **self.calibration.to_dict(),
            "temperature": self.temperature,
            "cross_validated_log_loss": dict(self.log_loss),
            "gain_of_per_class_over_temperature": finite(self.gain),
            "standard_error_of_gain": finite(self.gain_error),
        }


def choose_calibration(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike, *, seed: int
) -> ChosenCalibration:
    """The line per class where its cross-validated log loss is clearly lower, else one temperature.

    Args:
        labels: ``(record, class)`` of 0 and 1, fold 9.
        probabilities: as the network gave them, same shape.
        patients: ``(record,)``; records of a patient stay in one part of the cross-validation.
        seed: of the dealing of patients to parts.

    Raises:
        LeadwiseError: the arrays cannot be compared.
    """
    y, p, _ = validate(labels, probabilities)
    temperature = fit_temperature(y, p)
    simple = Calibration.of_temperature(temperature)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    if patient.max() + 1 < FEWEST_PATIENTS:
        return ChosenCalibration(simple, temperature, {}, np.nan, np.nan)
    losses = held_out_losses(y, p, _dealt(patient, seed))
    by_patient = np.bincount(patient, weights=losses["temperature"] - losses["per_class"])
    gain = float(by_patient.sum() / len(y))
    centred = by_patient - np.bincount(patient) * gain
    error = float(np.sqrt(np.square(centred).sum()) / len(y))
    chosen = fit("per_class", y, p, SUPERCLASSES) if gain > CLEARLY * error else simple
    return ChosenCalibration(
        chosen, temperature, {name: float(loss.mean()) for name, loss in losses.items()}, gain, error
    )


def choose_method(labels: Floats, probabilities: Floats, patients: ArrayLike) -> tuple[Method, dict[Method, float]]:
    """The method with the lowest cross-validated log loss, and the log loss of each; nothing without statements.

    Args:
        labels: ``(record, statement)`` of 0 and 1.
        probabilities: same shape, as the network gave them.
        patients: ``(record,)``; the rows on which a fit is judged are of other patients than those it was fitted on.
    """
    if not labels.size:
        return "none", {}
    held_out = held_out_losses(labels, probabilities, patient_parts(patients), prior=True)
    losses = {method: float(loss.mean()) for method, loss in held_out.items()}
    return min(METHODS, key=lambda method: losses[method]), losses


def held_out_losses(
    labels: Floats, probabilities: Floats, splits: Splits, *, prior: bool = False
) -> dict[Method, Floats]:
    """Log loss ``(record,)`` of each method on rows that it was not fitted on, mean over classes and times judged."""
    total, judged_times = {name: np.zeros(len(labels)) for name in METHODS}, np.zeros(len(labels))
    for fitted, judged in splits:
        judged_times[judged] += 1
        for name in METHODS:
            calibrated = fit(name, labels[fitted], probabilities[fitted], prior=prior).apply(probabilities[judged])
            total[name][judged] += log_loss(labels[judged], calibrated).mean(axis=1)
    return {name: loss / judged_times for name, loss in total.items()}


def _dealt(patient: NDArray[np.integer], seed: int) -> Splits:
    """``PARTS`` times ``REPEATS`` splits of patients numbered from 0."""
    generator = np.random.default_rng(seed)
    for _ in range(REPEATS):
        part = (generator.permutation(patient.max() + 1) % PARTS)[patient]
        yield from ((part != number, part == number) for number in range(PARTS))


def patient_parts(patients: ArrayLike) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """``PARTS`` splits: every row is judged once, no patient is on both sides."""
    from sklearn.model_selection import GroupKFold

    groups = np.asarray(patients)
    parts = min(PARTS, len(np.unique(groups)))
    yield from GroupKFold(parts, shuffle=True, random_state=0).split(groups, groups=groups)


def fit(
    method: Method,
    labels: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    prior: bool = False,
) -> Calibration:
    """Fit one method on all rows: a temperature for all classes (Guo et al. 2017), or a line for each (Platt 1999).

    Slopes are kept within 1 / ``TEMPERATURE_RANGE``, for classes that the model separates perfectly. Without a prior,
    intercepts are kept within ``INTERCEPT_RANGE``, and a class with one value only stays as it is.

    Args:
        method: ``none``, ``temperature`` or ``per_class``.
        labels: ``(record, class)`` of 0 and 1.
        probabilities: as the network gave them, same shape.
        classes: their names; numbers from 0 if not given.
        prior: lines under the prior of ``PRIOR_SD``, for classes with few positives.

    Raises:
        LeadwiseError: the arrays cannot be compared.
    """
    names = tuple(classes if classes is not None else map(str, range(np.shape(labels)[-1])))
    if method == "none" or not names:
        return Calibration.identity(names)
    if method == "temperature":
        return Calibration.of_temperature(fit_temperature(labels, probabilities), names)
    y, p, _ = validate(labels, probabilities)
    if prior:
        of_slope, of_intercept = 1 / np.square(PRIOR_SD)
        slope, intercept, _ = newton_lines(y, logit(p), slope_weight=of_slope, intercept_weight=of_intercept)
    else:
        slope, intercept, _ = newton_lines(y, logit(p), centre=0.0, slope_weight=WEAK)
        intercept = np.clip(intercept, *INTERCEPT_RANGE)
        constant = y.min(axis=0) == y.max(axis=0)
        slope[constant], intercept[constant] = 1.0, 0.0
    smallest, largest = TEMPERATURE_RANGE
    slope = np.clip(slope, 1 / largest, 1 / smallest)
    return Calibration("per_class", tuple(slope.tolist()), tuple(intercept.tolist()), names)


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature with the smallest binary cross-entropy over all rows and classes (Guo et al. 2017).

    Returns:
        The temperature, kept within ``TEMPERATURE_RANGE``: labels that the model separates perfectly have no optimum.

    Raises:
        LeadwiseError: the arrays cannot be compared.
    """
    from scipy.optimize import minimize_scalar

    y, p, _ = validate(labels, probabilities)
    signed = np.where(y == 1, 1.0, -1.0) * logit(p)

    def cross_entropy(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    bounds = tuple(np.log(TEMPERATURE_RANGE))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def newton_lines(
    labels: Floats,
    logits: Floats,
    weights: Floats | float = 1.0,
    *,
    start: Floats | float = 0.0,
    centre: float = 1.0,
    slope_weight: float = 0.0,
    intercept_weight: float = 0.0,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Slopes and intercepts of largest posterior, and which have not come to rest, each ``(column,)``.

    Args:
        labels: ``(record, column)`` or ``(record, 1)`` of 0 and 1.
        logits: the same.
        weights: how often each record counts, ``(record, column)``.
        start: intercepts to start from; slopes start from 1.
        centre: of the slope's prior.
        slope_weight: of the square of its distance from there.
        intercept_weight: of the square of the intercept.
    """
    there = weights * labels
    slope, intercept = np.ones(there.shape[1]), np.full(there.shape[1], start)
    for _ in range(MOST_STEPS):
        p = sigmoid(slope * logits + intercept)
        expected = weights * p
        error, spread = expected - there, expected * (1 - p)
        by_slope = (logits * error).sum(axis=0) + slope_weight * (slope - centre)
        by_intercept = error.sum(axis=0) + intercept_weight * intercept
        tilted = logits * spread
        aa = (logits * tilted).sum(axis=0) + slope_weight
        ab = tilted.sum(axis=0)
        bb = spread.sum(axis=0) + intercept_weight + SMALL_STEP**2
        determinant = aa * bb - ab**2 + SMALL_STEP**2
        steps = np.stack([bb * by_slope - ab * by_intercept, aa * by_intercept - ab * by_slope]) / determinant
        # A full step from far off may overshoot; within this length the curvature is about the same.
        steps *= np.minimum(1, LARGEST_STEP / np.maximum(np.abs(steps).max(axis=0), SMALL_STEP))
        slope, intercept = slope - steps[0], intercept - steps[1]
        moving = np.abs(steps).max(axis=0) >= SMALL_STEP
        if not moving.any():
            break
    return slope, intercept, moving
