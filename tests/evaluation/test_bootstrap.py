"""Intervals come from whole patients, are reproducible, and equal an explicit resampling."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from leadwise.evaluation.bootstrap import Estimate, Interval, centred, estimates, patient_weights
from leadwise.evaluation.metrics import all_metrics

generator = np.random.default_rng(0)
PATIENTS = generator.integers(0, 120, 200)
LABELS = (generator.random((200, 5)) < 0.3).astype(np.float32)
PROBABILITIES = 1 / (1 + np.exp(-(generator.normal(size=(200, 5)) + 2 * LABELS - 1)))


def intervals(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, Interval]:
    found = estimates(partial(all_metrics, labels, probabilities), weights)
    return {name: estimate.interval for name, estimate in found.items()}


def test_records_of_one_patient_are_drawn_together() -> None:
    weights = patient_weights(PATIENTS, 50, seed=1)
    for patient in np.unique(PATIENTS):
        mine = weights[:, patient == PATIENTS]
        assert (mine == mine[:, :1]).all()
    first_of_each = np.unique(PATIENTS, return_index=True)[1]
    assert (weights[:, first_of_each].sum(axis=1) == len(first_of_each)).all()


def test_the_draw_depends_on_the_seed_only() -> None:
    again = patient_weights(PATIENTS, 5, seed=1)
    np.testing.assert_array_equal(patient_weights(PATIENTS, 5, seed=1), again)
    assert (patient_weights(PATIENTS, 5, seed=2) != again).any()


def test_intervals_equal_an_explicit_resampling() -> None:
    weights = patient_weights(PATIENTS, 30, seed=3)
    areas, scores = [], []
    for one in weights:
        rows = np.repeat(np.arange(200), one)
        areas.append(roc_auc_score(LABELS[rows], PROBABILITIES[rows], average="macro"))
        scores.append(f1_score(LABELS[rows], PROBABILITIES[rows] >= 0.5, average="macro"))
    found = intervals(LABELS, PROBABILITIES, weights)
    for name, replicates in (("macro_auroc", areas), ("macro_f1", scores)):
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.quantile(replicates, [0.025, 0.975])))


def test_a_class_that_vanishes_from_replicates_is_left_out_of_them() -> None:
    labels = LABELS.copy()
    labels[:, 4] = 0
    never = intervals(labels, PROBABILITIES, patient_weights(PATIENTS, 20, 5))["macro_auroc"]
    assert never.bounds() == [None, None]
    labels[PATIENTS[0] == PATIENTS, 4] = 1
    found = intervals(labels, PROBABILITIES, patient_weights(PATIENTS, 300, 5))
    assert found["auroc/HYP"].low <= found["auroc/HYP"].high


def test_a_calibration_error_lies_in_its_interval_once_centred() -> None:
    """Drawing records with replacement adds as much chance again, so plain percentiles lie above the value."""
    generator = np.random.default_rng(8)
    p = generator.random((400, 5))
    y = (generator.random(p.shape) < p).astype(float)
    drawn = estimates(partial(all_metrics, y, p), patient_weights(np.arange(400), 200, 6))["ece"]
    assert drawn.interval.low > drawn.value
    shifted = centred(drawn)
    assert shifted.interval.low < drawn.value < shifted.interval.high
    assert centred(Estimate(0.0, drawn.replicates)).replicates.min() == 0
    assert np.isnan(centred(Estimate(0.5, np.full(3, np.nan))).replicates).all()
