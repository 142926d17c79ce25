"""The temperature and the lines are the best ones, and a line per class is taken only where it helps other patients."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from leadwise.decision import Calibration, logit
from leadwise.evaluation.calibration import (
    FEWEST_PATIENTS,
    PRIOR_SD,
    TEMPERATURE_RANGE,
    choose_calibration,
    choose_method,
    fit,
    fit_temperature,
    patient_parts,
)
from leadwise.evaluation.metrics import log_loss


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


def test_no_temperature_on_a_grid_is_better() -> None:
    y, p = true_and_stated(1, 1.7, records=300)
    best = log_loss(y, Calibration.of_temperature(fit_temperature(y, p)).apply(p)).mean()
    for other in np.geomspace(*TEMPERATURE_RANGE, 60):
        assert best <= log_loss(y, Calibration.of_temperature(other).apply(p)).mean() + 1e-9


def test_perfect_separation_ends_at_the_edge_of_the_range() -> None:
    y = np.tile([[0, 1]], (20, 3))[:, :5].astype(float)
    p = np.clip(y, 0.1, 0.9)
    assert TEMPERATURE_RANGE[0] <= fit_temperature(y, p) < 0.06
    lines = fit("per_class", np.vstack([y, 1 - y]), np.vstack([p, 1 - p]))
    assert max(lines.slope) <= 1 / TEMPERATURE_RANGE[0]
    assert min(lines.slope) > 1


def test_lines_are_those_of_a_logistic_regression() -> None:
    y, p = shifted(2)
    found = fit("per_class", y, p)
    for k in range(5):
        reference = LogisticRegression(C=1e6, tol=1e-9).fit(logit(p[:, [k]]), y[:, k])
        assert found.slope[k] == pytest.approx(reference.coef_[0, 0], rel=1e-3)
        assert found.intercept[k] == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_a_class_with_one_value_stays_as_it_is() -> None:
    y, p = shifted(3, records=100)
    y[:, 4], y[:, 0] = 0, 1
    found = fit("per_class", y, p)
    assert (found.slope[0], found.intercept[0]) == (found.slope[4], found.intercept[4]) == (1, 0)


def test_probabilities_that_say_the_opposite_keep_a_slope_above_0() -> None:
    y, p = shifted(4, records=300)
    assert min(fit("per_class", y, 1 - p).slope) > 0


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


@pytest.mark.parametrize("positives", [0, 1, 5, 60])
def test_with_the_prior_the_line_is_the_one_of_largest_posterior(positives: int) -> None:
    rng = np.random.default_rng(positives)
    labels = np.zeros((400, 1))
    labels[:positives] = 1
    probabilities = np.clip(rng.beta(0.5, 4, (400, 1)) + 0.6 * labels, 0, 1)
    x, y = logit(probabilities)[:, 0], labels[:, 0]

    def loss(line: np.ndarray) -> float:
        scores = line[0] * x + line[1]
        prior = np.square((line - [1, 0]) / PRIOR_SD).sum() / 2
        return float((np.logaddexp(0, scores) - y * scores).sum() + prior)

    reference = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
    found = fit("per_class", labels, probabilities, prior=True)
    np.testing.assert_allclose([found.slope[0], found.intercept[0]], reference, atol=1e-4)


def test_the_method_that_fits_other_patients_best_is_chosen() -> None:
    patients = np.arange(2000) // 2
    assert choose_method(*true_and_stated(3, 2.0, 2000), patients)[0] == "temperature"
    askew = shifted(4)
    method, losses = choose_method(*askew, patients)
    assert method == "per_class"
    assert losses["per_class"] < losses["temperature"] < losses["none"]
    # Where nothing is wrong, next to nothing is changed.
    straight = true_and_stated(5, 1.0, 2000)
    fitted = fit(choose_method(*straight, patients)[0], *straight, prior=True)
    np.testing.assert_allclose(fitted.apply(straight[1]), straight[1], atol=0.03)
    assert choose_method(np.empty((9, 0)), np.empty((9, 0)), np.arange(9)) == ("none", {})
    assert fit("per_class", np.empty((9, 0)), np.empty((9, 0)), prior=True).classes == ()


def test_no_patient_is_fitted_and_judged_on() -> None:
    patients = np.random.default_rng(0).integers(0, 40, 300)
    judged_rows = []
    for fitted, judged in patient_parts(patients):
        assert not set(patients[fitted]) & set(patients[judged])
        judged_rows += judged.tolist()
    assert sorted(judged_rows) == list(range(300))
