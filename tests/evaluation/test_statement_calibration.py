import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from leadwise.calibration import logit, sigmoid
from leadwise.evaluation import calibration
from leadwise.evaluation.calibration import PRIOR_SD, choose_method, fit_calibration, fit_temperature, patient_parts

CODES = ("AFIB", "PACE", "PVC")


def drawn(slopes: list[float], intercepts: list[float], records: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a line on the logit would make right, and the labels."""
    rng = np.random.default_rng(4)
    logits = rng.normal(-1.5, 2, (records, len(slopes)))
    labels = (rng.uniform(size=logits.shape) < sigmoid(logits * slopes + intercepts)).astype(float)
    return labels, sigmoid(logits)


def test_without_a_prior_the_line_is_that_of_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PRIOR_SD", (1e4, 1e4))
    labels, probabilities = drawn([0.5, 1.0, 2.2], [0.4, -1.0, 2.5])
    found = fit_calibration("per_class", labels, probabilities, CODES)
    for k in range(3):
        reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(probabilities[:, [k]]), labels[:, k])
        assert found.slope[k] == pytest.approx(reference.coef_[0, 0], rel=1e-4)
        assert found.intercept[k] == pytest.approx(reference.intercept_[0], abs=1e-3)


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
    found = fit_calibration("per_class", labels, probabilities, ["AFIB"])
    np.testing.assert_allclose([found.slope[0], found.intercept[0]], reference, atol=1e-4)


def test_perfectly_parted_classes_leave_finite_lines() -> None:
    labels = np.repeat([[0.0], [1.0]], 50, axis=0)
    found = fit_calibration("per_class", labels, labels, ["PACE"])
    assert np.isfinite([*found.slope, *found.intercept]).all()
    assert found.apply(np.array([[0.0], [1.0]]))[:, 0] == pytest.approx([0, 1], abs=0.05)


def test_the_method_that_fits_other_patients_best_is_chosen() -> None:
    patients = np.arange(3000) // 2
    straight = drawn([1.0] * 3, [0.0] * 3)
    too_sure = drawn([0.5] * 3, [0.0] * 3)
    askew = drawn([0.6, 1.0, 2.0], [1.5, -1.5, 2.0])
    assert choose_method(*too_sure, patients, CODES)[0] == "temperature"
    method, losses = choose_method(*askew, patients, CODES)
    assert method == "per_class"
    assert losses["per_class"] < losses["temperature"] < losses["none"]
    # Where nothing is wrong, next to nothing is changed.
    fitted = fit_calibration(choose_method(*straight, patients, CODES)[0], *straight, CODES)
    np.testing.assert_allclose(fitted.apply(straight[1]), straight[1], atol=0.03)
    temperature = fit_calibration("temperature", *too_sure, CODES)
    assert temperature.slope == pytest.approx([1 / fit_temperature(*too_sure)] * 3)


def test_no_statements_no_choice() -> None:
    method, losses = choose_method(np.empty((9, 0)), np.empty((9, 0)), np.arange(9), ())
    assert (method, losses) == ("none", {})
    assert fit_calibration(method, np.empty((9, 0)), np.empty((9, 0)), ()).classes == ()


def test_no_patient_is_fitted_and_judged_on() -> None:
    patients = np.random.default_rng(0).integers(0, 40, 300)
    judged_rows = []
    for fitted, judged in patient_parts(patients):
        assert not set(patients[fitted]) & set(patients[judged])
        judged_rows += judged.tolist()
    assert sorted(judged_rows) == list(range(300))
