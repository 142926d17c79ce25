"""The temperature and the lines are the best ones, and a line per class is taken only where it helps other patients."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as reference_log_loss

from leadwise.calibration import Calibration, logit
from leadwise.evaluation.calibration import (
    FEWEST_PATIENTS,
    TEMPERATURE_RANGE,
    choose_calibration,
    cross_validated_losses,
    fit_per_class,
    fit_temperature,
    log_loss,
)


def true_and_stated(seed: int, temperature: float, records: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are ``temperature`` times too certain."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (records, 5))
    labels = (generator.random((records, 5)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return labels, 1 / (1 + np.exp(-logits * temperature))


def shifted(seed: int, records: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose logits are off by an amount per class."""
    y, p = true_and_stated(seed, 1.3, records)
    return y, 1 / (1 + np.exp(-(logit(p) + np.array([0.6, -0.6, 0.3, -0.3, 0.5]))))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(*true_and_stated(0, temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_temperature_on_a_grid_is_better() -> None:
    y, p = true_and_stated(1, 1.7, records=300)
    best = log_loss(y, Calibration.of_temperature(fit_temperature(y, p)).apply(p)).mean()
    for other in np.geomspace(*TEMPERATURE_RANGE, 60):
        assert best <= log_loss(y, Calibration.of_temperature(other).apply(p)).mean() + 1e-9


def test_perfect_separation_ends_at_the_edge_of_the_range() -> None:
    y = np.tile([[0, 1]], (20, 3))[:, :5].astype(float)
    p = np.clip(y, 0.1, 0.9)
    assert TEMPERATURE_RANGE[0] <= fit_temperature(y, p) < 0.06
    lines = fit_per_class(np.vstack([y, 1 - y]), np.vstack([p, 1 - p]))
    assert max(lines.slope) <= 1 / TEMPERATURE_RANGE[0]
    assert min(lines.slope) > 1


def test_lines_are_those_of_a_logistic_regression() -> None:
    y, p = shifted(2)
    found = fit_per_class(y, p)
    for k in range(5):
        reference = LogisticRegression(C=1e6, tol=1e-9).fit(logit(p[:, [k]]), y[:, k])
        assert found.slope[k] == pytest.approx(reference.coef_[0, 0], rel=1e-3)
        assert found.intercept[k] == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_a_class_with_one_value_stays_as_it_is() -> None:
    y, p = shifted(3, records=100)
    y[:, 4], y[:, 0] = 0, 1
    found = fit_per_class(y, p)
    assert (found.slope[0], found.intercept[0]) == (found.slope[4], found.intercept[4]) == (1, 0)


def test_probabilities_that_say_the_opposite_keep_a_slope_above_0() -> None:
    y, p = shifted(4, records=300)
    assert min(fit_per_class(y, 1 - p).slope) > 0


def test_log_loss_is_that_of_scikit_learn() -> None:
    y, p = true_and_stated(5, 1.0, records=200)
    assert log_loss(y, p).mean() == pytest.approx(reference_log_loss(y.ravel(), p.ravel()))
    assert np.isfinite(log_loss([[1.0, 0.0]], [[0.0, 1.0]])).all()


def test_lines_are_taken_where_they_help_other_patients() -> None:
    y, p = shifted(6)
    chosen = choose_calibration(y, p, np.arange(len(y)), seed=1)
    assert chosen.calibration.method == "per_class"
    assert chosen.gain > 3 * chosen.gain_error > 0
    assert chosen.log_loss["per_class"] < chosen.log_loss["temperature"] < chosen.log_loss["none"]
    content = json.loads(json.dumps(chosen.to_dict(), allow_nan=False))
    assert content["temperature"] == pytest.approx(fit_temperature(y, p))
    assert Calibration.from_dict(content) == chosen.calibration


def test_the_temperature_stays_where_lines_gain_nothing() -> None:
    y, p = true_and_stated(7, 1.8, records=1000)
    chosen = choose_calibration(y, p, np.arange(len(y)), seed=1)
    assert chosen.calibration == Calibration.of_temperature(chosen.temperature)


def test_few_patients_get_a_temperature() -> None:
    y, p = shifted(8, records=FEWEST_PATIENTS - 1)
    chosen = choose_calibration(y, p, np.arange(len(y)), seed=1)
    assert chosen.calibration.method == "temperature"
    assert chosen.log_loss == {}
    json.dumps(chosen.to_dict(), allow_nan=False)


def test_a_patient_is_never_on_both_sides() -> None:
    """Were records of a patient parted, a copy of a record would have been seen by the fit."""
    y, p = shifted(9, records=400)
    together = np.tile(np.arange(len(y)), 2)
    copied = cross_validated_losses(np.tile(y, (2, 1)), np.tile(p, (2, 1)), together, seed=3)
    once = cross_validated_losses(y, p, np.arange(len(y)), seed=3)
    for method, losses in copied.items():
        np.testing.assert_allclose(losses, np.tile(once[method], 2), atol=1e-3)
