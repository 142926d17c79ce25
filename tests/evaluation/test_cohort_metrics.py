"""Metrics where some labels are unknown: against scikit-learn and statistics known by hand."""

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, recall_score, roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.decision import logit, sigmoid
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.cohort_metrics import (
    FEWEST_KNOWN,
    calibration_line,
    cohort_estimates,
    cohort_metrics,
    known_labels,
)
from leadwise.evaluation.subgroups import Subgroup, evaluate_subgroups

LIMITS = np.array([0.4, 0.5, 0.3, 0.6, 0.2])


def made_up(records: int = 300, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, labels drawn from them, and a third of the labels unknown."""
    rng = np.random.default_rng(seed)
    p = sigmoid(rng.normal(-0.5, 1.5, (records, 5)))
    y = (rng.random(p.shape) < p).astype(float)
    y[rng.random(p.shape) < 0.3] = np.nan
    return y, p


def test_each_class_is_measured_on_its_known_labels_as_scikit_learn_would() -> None:
    y, p = made_up()
    found = cohort_metrics(y, p, thresholds=LIMITS)
    for k, name in enumerate(SUPERCLASSES):
        known = ~np.isnan(y[:, k])
        truth, given = y[known, k], p[known, k]
        assert found[f"auroc/{name}"] == pytest.approx(roc_auc_score(truth, given))
        assert found[f"auprc/{name}"] == pytest.approx(average_precision_score(truth, given))
        assert found[f"brier/{name}"] == pytest.approx(brier_score_loss(truth, given))
        assert found[f"log_loss/{name}"] == pytest.approx(log_loss(truth, given))
        said = given >= LIMITS[k]
        assert found[f"chosen/sensitivity/{name}"] == pytest.approx(recall_score(truth, said))
        assert found[f"chosen/specificity/{name}"] == pytest.approx(recall_score(truth, said, pos_label=0))
    areas = [found[f"auroc/{name}"] for name in SUPERCLASSES]
    assert found["macro_auroc"] == pytest.approx(np.mean(areas))


def test_the_line_that_calibrates_is_that_of_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    p = sigmoid(rng.normal(0, 2, 2000))
    y = (rng.random(2000) < sigmoid(0.6 * logit(p) - 0.8)).astype(float)
    intercept, slope = calibration_line(y, p)
    regression = LogisticRegression(C=np.inf).fit(logit(p)[:, np.newaxis], y)
    assert slope == pytest.approx(regression.coef_[0, 0], abs=1e-3)
    large = brentq(lambda shift: sigmoid(logit(p) + shift).mean() - y.mean(), -5, 5)
    assert intercept == pytest.approx(large, abs=1e-5)
    weights = rng.integers(0, 3, (4, 2000))
    by_weight = calibration_line(y, p, weights)
    repeated = [calibration_line(np.repeat(y, weight), np.repeat(p, weight)) for weight in weights]
    np.testing.assert_allclose(np.stack(by_weight, axis=1), repeated, atol=1e-4)


def test_where_labels_are_separated_or_of_one_kind_there_is_no_line() -> None:
    assert np.isnan(calibration_line([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])[1])
    assert np.isnan(calibration_line([1, 1, 1], [0.1, 0.2, 0.8])).all()


def test_unknown_labels_change_nothing_whatever_the_model_says_of_them() -> None:
    y, p = made_up()
    other = np.where(np.isnan(y), 1 - p, p)
    before, after = cohort_metrics(y, p, thresholds=LIMITS), cohort_metrics(y, other, thresholds=LIMITS)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_equal(after[name], before[name], err_msg=name)


def test_a_class_with_few_known_labels_has_figures_and_counts_in_no_mean() -> None:
    y, p = made_up()
    y[:, 1] = np.where(np.arange(len(y)) < FEWEST_KNOWN - 1, 1, 0)
    y[:, 4] = np.nan
    found = cohort_metrics(y, p, thresholds=LIMITS)
    known = known_labels(y)
    assert known["MI"].present == FEWEST_KNOWN - 1 and not known["MI"].is_enough
    assert known["HYP"].unknown == len(y) and "auroc/HYP" not in found
    assert np.isfinite(found["auroc/MI"])
    counted = [found[f"auroc/{name}"] for name in ("NORM", "STTC", "CD")]
    assert found["macro_auroc"] == pytest.approx(np.mean(counted))


def test_intervals_draw_patients_and_agree_with_drawing_the_rows_themselves() -> None:
    y, p = made_up(120)
    patients = np.repeat(np.arange(60), 2)
    weights = patient_weights(patients, 200, seed=3)
    found = cohort_estimates(y, p, weights, thresholds=LIMITS)
    drawn = []
    for weight in weights[:5]:
        rows = np.repeat(np.arange(120), weight)
        known = rows[~np.isnan(y[rows, 0])]
        drawn.append(roc_auc_score(y[known, 0], p[known, 0]))
    np.testing.assert_allclose(found["auroc/NORM"].replicates[:5], drawn)
    assert found["auroc/NORM"].interval.low < found["auroc/NORM"].value < found["auroc/NORM"].interval.high


def test_arrays_of_other_shapes_are_refused_with_what_was_received() -> None:
    y, p = made_up(20)
    with pytest.raises(LeadwiseError, match=r"\(20, 4\)"):
        cohort_metrics(y, p[:, :4], thresholds=LIMITS)
    with pytest.raises(LeadwiseError, match=r"\(3,\)"):
        cohort_metrics(y, p, thresholds=LIMITS[:3])


def test_subgroups_count_known_labels_only() -> None:
    y, p = made_up(200)
    y[:, 3] = np.nan
    y[:12, 3], y[12:24, 3] = 1, 0
    everyone = Subgroup("sex", "female", np.ones(200, dtype=bool))
    (found,) = evaluate_subgroups([everyone], y, p, np.arange(200), patient_weights(np.arange(200), 100, 1))
    assert found.positives["CD"] == 12
    assert found.found["auroc/CD"].value == pytest.approx(roc_auc_score(y[:24, 3], p[:24, 3]))
    assert found.found["macro_auroc"].value == pytest.approx(
        np.mean([found.found[f"auroc/{name}"].value for name in SUPERCLASSES])
    )
    y[5:12, 3] = np.nan
    (few,) = evaluate_subgroups([everyone], y, p, np.arange(200), patient_weights(np.arange(200), 100, 1))
    assert few.suppressed["auroc/CD"].startswith("5 of 17 records have CD")
