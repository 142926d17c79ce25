"""Calibration of the statements on fold 9: as the network gives them, one temperature for all, or a line for each.

The way wins that has the lowest log loss on patients that it was not fitted on. On fold 9 of PTB-XL 1.0.3, 50
statements, two residual networks: 0.0790 and 0.0800 as given, 0.0783 and 0.0799 with a temperature, 0.0769 and 0.0779
with lines under the prior below; 0.0772 and 0.0782 with lines without a prior.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import METHODS, Calibration, Method, logit, sigmoid
from leadwise.evaluation.calibration import fit_temperature, log_loss

Floats = NDArray[np.float64]

PARTS = 10
"""Parts of the cross-validation."""

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
