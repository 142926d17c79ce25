"""Fitting a calibration on fold 9: one temperature, or a line per class where that is clearly better.

Measured on fold 9 of PTB-XL 1.0.3 by ten-fold cross-validation over patients, five times, with two residual networks,
A trained without and B with mixup: mean log loss over records and classes, in brackets by how much it is above that of
the temperature with the 95 % interval over patients, and the expected calibration error.

| | A | ECE | B | ECE |
|---|---|---|---|---|
| as it is | 0.2620 (0.0055, 0.0029 to 0.0083) | 0.032 | 0.2597 (0.0000, -0.0003 to 0.0003) | 0.024 |
| one temperature | 0.2565 | 0.025 | 0.2597 | 0.023 |
| a temperature per class | 0.2566 (0.0001, -0.0003 to 0.0005) | 0.023 | 0.2600 (0.0003, 0.0002 to 0.0005) | 0.023 |
| **line per class** | 0.2547 (-0.0018, -0.0032 to -0.0005) | 0.018 | 0.2581 (-0.0016, -0.0030 to -0.0002) | 0.019 |
| beta per class | 0.2547 (-0.0018, -0.0033 to -0.0004) | 0.019 | 0.2578 (-0.0019, -0.0034 to -0.0004) | 0.017 |
| isotonic per class | 0.2585 (0.0020, -0.0006 to 0.0047) | 0.023 | 0.2614 (0.0017, -0.0009 to 0.0045) | 0.019 |
| line on all five logits | 0.2543 (-0.0023, -0.0043 to 0.0000) | 0.017 | 0.2570 (-0.0027, -0.0051 to -0.0003) | 0.019 |

So the gain is in the intercepts. The line per class is taken: of those that win it has the fewest numbers, and it keeps
the order of each class's probabilities, which the line on all five logits does not.

For the statements the way wins that has the lowest log loss on patients that it was not fitted on. On the same fold, 50
statements: 0.0790 and 0.0800 as given, 0.0783 and 0.0799 with a temperature, 0.0769 and 0.0779 with lines under a
prior, 0.0772 and 0.0782 without one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import METHODS, SMALLEST_PROBABILITY, Calibration, Method, logit, sigmoid
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import log_loss, validate

Floats = NDArray[np.float64]

TEMPERATURE_RANGE = (0.05, 20.0)
INTERCEPT_RANGE = (-5.0, 5.0)
WEAK_PENALTY = 1e-4
"""On the square of a slope, beside the summed cross-entropy: felt only where a class is separated perfectly."""
MOST_STEPS = 50
PARTS, REPEATS = 10, 5
"""Cross-validation: patients are dealt to so many parts, so many times."""
FEWEST_PATIENTS = 200
"""With fewer on fold 9 (simulated data have some dozens) nothing but a temperature is fitted."""
CLEARLY = 1.0
"""Standard errors by which the line per class must be better, else the simpler one is taken (Breiman et al. 1984)."""


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
        gain, error = (value if np.isfinite(value) else None for value in (self.gain, self.gain_error))
        return {
            **self.calibration.to_dict(),
            "temperature": self.temperature,
            "cross_validated_log_loss": dict(self.log_loss),
            "gain_of_per_class_over_temperature": gain,
            "standard_error_of_gain": error,
        }


def choose_calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: ArrayLike,
    *,
    seed: int,
    classes: tuple[str, ...] = SUPERCLASSES,
) -> ChosenCalibration:
    """The line per class where its cross-validated log loss is clearly lower, else one temperature.

    Args:
        labels: ``(record, class)`` of 0 and 1, fold 9.
        probabilities: as the network gave them, same shape.
        patients: ``(record,)``; records of a patient stay in one part of the cross-validation.
        seed: of the dealing of patients to parts.
        classes: names of the classes.

    Raises:
        MetricError: the arrays cannot be compared.
    """
    y, p, _ = validate(labels, probabilities)
    temperature = fit_temperature(y, p)
    simple = Calibration.of_temperature(temperature, classes)
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    if patient.max() + 1 < FEWEST_PATIENTS:
        return ChosenCalibration(simple, temperature, {}, np.nan, np.nan)
    losses = cross_validated_losses(y, p, patient, seed=seed)
    by_patient = np.bincount(patient, weights=losses["temperature"] - losses["per_class"])
    gain = float(by_patient.sum() / len(y))
    centred = by_patient - np.bincount(patient) * gain
    error = float(np.sqrt(np.square(centred).sum()) / len(y))
    chosen = fit_per_class(y, p, classes) if gain > CLEARLY * error else simple
    return ChosenCalibration(
        chosen, temperature, {name: float(loss.mean()) for name, loss in losses.items()}, gain, error
    )


def cross_validated_losses(
    labels: ArrayLike, probabilities: ArrayLike, patient: NDArray[np.integer], *, seed: int
) -> dict[Method, Floats]:
    """Log loss ``(record,)`` of each method on records of patients that it was not fitted on, mean over classes.

    Args:
        patient: ``(record,)``, number of the patient from 0.
    """
    y, p, _ = validate(labels, probabilities)
    generator = np.random.default_rng(seed)
    total = {name: np.zeros(len(y)) for name in METHODS}
    for _ in range(REPEATS):
        part = (generator.permutation(patient.max() + 1) % PARTS)[patient]
        for held_out in (part == number for number in range(PARTS)):
            for name in METHODS:
                fitted = fit(name, y[~held_out], p[~held_out])
                total[name][held_out] += log_loss(y[held_out], fitted.apply(p[held_out])).mean(axis=1)
    return {name: loss / REPEATS for name, loss in total.items()}


def fit(method: Method, labels: ArrayLike, probabilities: ArrayLike) -> Calibration:
    """Fit one method on all rows; the classes are named ``0``, ``1``, ... unless they are the superclasses."""
    count = np.shape(labels)[-1]
    classes = SUPERCLASSES if count == len(SUPERCLASSES) else tuple(map(str, range(count)))
    if method == "none":
        return Calibration.identity(classes)
    if method == "temperature":
        return Calibration.of_temperature(fit_temperature(labels, probabilities), classes)
    return fit_per_class(labels, probabilities, classes)


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


def fit_per_class(labels: ArrayLike, probabilities: ArrayLike, classes: tuple[str, ...] = SUPERCLASSES) -> Calibration:
    """Slope and intercept of each class's logit with the smallest cross-entropy (Platt 1999).

    Slopes are kept within 1 / ``TEMPERATURE_RANGE`` and intercepts within ``INTERCEPT_RANGE``, for classes that the
    model separates perfectly; a class with one value only stays as it is.

    Raises:
        MetricError: the arrays cannot be compared.
    """
    y, p, _ = validate(labels, probabilities)
    lines = [_line(y[:, k], logit(p[:, k])) for k in range(y.shape[1])]
    return Calibration("per_class", tuple(line[0] for line in lines), tuple(line[1] for line in lines), classes)


def _line(y: Floats, logits: Floats) -> tuple[float, float]:
    """Newton's method on the penalised cross-entropy, which is convex; a step that does not lower it is halved."""
    if y.min() == y.max():
        return 1.0, 0.0

    def cost(slope: float, intercept: float) -> float:
        z = slope * logits + intercept
        return float((np.logaddexp(0, z) - y * z).sum()) + WEAK_PENALTY * slope**2 / 2

    slope, intercept = 1.0, 0.0
    lowest = cost(slope, intercept)
    for _ in range(MOST_STEPS):
        p = sigmoid(slope * logits + intercept)
        error, w = p - y, p * (1 - p)
        gradient = (error * logits).sum() + WEAK_PENALTY * slope, error.sum()
        aa, ab, bb = (w * logits * logits).sum() + WEAK_PENALTY, (w * logits).sum(), w.sum() + SMALLEST_PROBABILITY
        scale = aa * bb - ab * ab
        steps = (bb * gradient[0] - ab * gradient[1]) / scale, (aa * gradient[1] - ab * gradient[0]) / scale
        size = 1.0
        while (reached := cost(slope - size * steps[0], intercept - size * steps[1])) > lowest and size > 1e-6:
            size /= 2
        gained, lowest = lowest - reached, min(reached, lowest)
        if gained <= 0:
            break
        slope, intercept = slope - size * steps[0], intercept - size * steps[1]
    smallest, largest = TEMPERATURE_RANGE
    return float(np.clip(slope, 1 / largest, 1 / smallest)), float(np.clip(intercept, *INTERCEPT_RANGE))


PRIOR_SD = (0.5, 1.0)
"""How far slope and intercept of a statement's own line may stray from 1 and 0 for no reason: standard deviations of a
Gaussian prior. Some statements have five positives in fold 9; a line through so few overfits without a prior."""

SLOPES = (0.05, 20.0)
LARGEST_STEP = 1.0
SMALL_STEP = 1e-8
NEWTON_STEPS = 100


def choose_method(
    labels: Floats, probabilities: Floats, patients: ArrayLike, codes: Sequence[str]
) -> tuple[Method, dict[Method, float]]:
    """The method with the lowest cross-validated log loss, and the log loss of each; nothing without statements.

    Args:
        labels: ``(record, statement)`` of 0 and 1.
        probabilities: same shape, as the network gave them.
        patients: ``(record,)``; the rows on which a fit is judged are of other patients than those it was fitted on.
        codes: of the statements.
    """
    if not codes:
        return "none", {}
    losses: dict[Method, float] = {}
    for method in METHODS:
        calibrated = np.empty_like(probabilities)
        for fitted, judged in patient_parts(patients):
            calibration = fit_calibration(method, labels[fitted], probabilities[fitted], codes)
            calibrated[judged] = calibration.apply(probabilities[judged])
        losses[method] = float(log_loss(labels, calibrated).mean())
    return min(METHODS, key=lambda method: losses[method]), losses


def fit_calibration(method: Method, labels: Floats, probabilities: Floats, codes: Sequence[str]) -> Calibration:
    """Fit one method on ``(record, statement)`` labels and probabilities.

    ``temperature`` is one for all statements (Guo et al. 2017), ``per_class`` a line on the logit of each (Platt 1999)
    under the prior of ``PRIOR_SD``.
    """
    if method == "none" or not codes:
        return Calibration.identity(tuple(codes))
    if method == "temperature":
        return Calibration.of_temperature(fit_temperature(labels, probabilities), tuple(codes))
    slopes, intercepts = _lines(labels, logit(probabilities))
    return Calibration("per_class", tuple(slopes.tolist()), tuple(intercepts.tolist()), tuple(codes))


def patient_parts(patients: ArrayLike) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit on and rows to judge on, ``PARTS`` times; every row is judged once, no patient is on both sides."""
    from sklearn.model_selection import GroupKFold

    groups = np.asarray(patients)
    parts = min(PARTS, len(np.unique(groups)))
    yield from GroupKFold(parts, shuffle=True, random_state=0).split(groups, groups=groups)


def _lines(labels: Floats, logits: Floats) -> tuple[Floats, Floats]:
    """Slopes and intercepts of the largest posterior, each ``(statement,)``, by Newton's method for all at once."""
    prior_slope, prior_intercept = 1 / np.square(PRIOR_SD)
    slope, intercept = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(slope * logits + intercept)
        error, spread = p - labels, p * (1 - p)
        by_slope = (error * logits).sum(axis=0) + prior_slope * (slope - 1)
        by_intercept = error.sum(axis=0) + prior_intercept * intercept
        aa = (spread * logits**2).sum(axis=0) + prior_slope
        ab = (spread * logits).sum(axis=0)
        bb = spread.sum(axis=0) + prior_intercept
        steps = np.stack([bb * by_slope - ab * by_intercept, aa * by_intercept - ab * by_slope]) / (aa * bb - ab**2)
        # A full step from far off may overshoot; within this length the curvature is about the same.
        steps *= np.minimum(1, LARGEST_STEP / np.maximum(np.abs(steps).max(axis=0), SMALL_STEP))
        slope, intercept = slope - steps[0], intercept - steps[1]
        if np.abs(steps).max() < SMALL_STEP:
            break
    return np.clip(slope, *SLOPES), intercept
