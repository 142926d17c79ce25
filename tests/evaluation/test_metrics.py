"""What metrics take, what they refuse, and how they are named; ``test_metric_registry`` compares their values."""

import numpy as np
import pytest
from sklearn.metrics import (
    confusion_matrix,
)

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation import metrics
from leadwise.evaluation.metric_registry import all_metrics


def draw(seed: int, records: int = 300, decimals: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities that know something about them, and how often each record counts."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((records, 5)) < [0.44, 0.25, 0.24, 0.22, 0.12]).astype(np.float32)
    labels[:2] = [[0] * 5, [1] * 5]
    logits = 1.5 * generator.normal(size=labels.shape) + 2 * labels - 1
    weights = generator.poisson(1, records)
    weights[:2] = 1
    return labels, np.round(1 / (1 + np.exp(-logits)), decimals), weights


def test_rates_of_nothing_are_undefined() -> None:
    y = np.array([[0.0, 1.0], [0.0, 1.0]])
    rates = metrics.decision_rates(y, [[0.1, 0.9], [0.2, 0.8]])
    np.testing.assert_array_equal(rates["sensitivity"], [np.nan, 1])
    np.testing.assert_array_equal(rates["specificity"], [1, np.nan])
    np.testing.assert_array_equal(rates["ppv"], [np.nan, 1])
    np.testing.assert_array_equal(rates["npv"], [1, np.nan])


def test_confusion_matrices_are_those_of_scikit_learn() -> None:
    y, p, _ = draw(1)
    found = metrics.confusion_matrices(y, p, [0.2, 0.4, 0.5, 0.6, 0.9])
    for k, threshold in enumerate([0.2, 0.4, 0.5, 0.6, 0.9]):
        np.testing.assert_array_equal(found[k], confusion_matrix(y[:, k], p[:, k] >= threshold))


def test_the_floor_is_the_accuracy_of_never_predicting_anything() -> None:
    y, p, w = draw(3)
    np.testing.assert_allclose(metrics.all_zero_accuracy(y, w), metrics.binary_accuracy(y, np.zeros_like(p), 0.5, w))


def test_a_probability_at_the_threshold_is_positive() -> None:
    np.testing.assert_array_equal(metrics.decide([[0.5, np.nextafter(0.5, 0)]]), [[1, 0]])


def test_one_record_and_no_weight_at_all_do_not_crash() -> None:
    y, p, _ = draw(7)
    assert all_metrics(y[:1], p[:1])["binary_accuracy"] >= 0
    nothing = all_metrics(y, p, np.zeros(len(y)))
    assert all(np.isnan(value) or value == 0 for value in nothing.values())


@pytest.mark.parametrize(
    ("labels", "probabilities", "weights", "named"),
    [
        (np.zeros((4, 5)), np.zeros((4, 3)), None, r"\(4, 5\) and \(4, 3\)"),
        (np.zeros((0, 5)), np.zeros((0, 5)), None, "shapes"),
        (np.full((4, 5), 2), np.zeros((4, 5)), None, "labels: received 2"),
        (np.full((4, 5), np.nan), np.zeros((4, 5)), None, "labels: received nan"),
        (np.zeros((4, 5)), np.full((4, 5), np.nan), None, "probabilities: received nan at row 0"),
        (np.zeros((4, 5)), np.full((4, 5), 1.01), None, "probabilities: received 1.01"),
        (np.zeros((4, 5)), np.zeros((4, 5)), np.ones(3), r"weights: received shape \(3,\)"),
        (np.zeros((4, 5)), np.zeros((4, 5)), -np.ones(4), "weights: received a negative"),
    ],
)
def test_what_cannot_be_compared_is_named(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None, named: str
) -> None:
    with pytest.raises(metrics.MetricError, match=named):
        all_metrics(labels, probabilities, weights)


def test_thresholds_that_fit_no_class_are_named() -> None:
    y, p, _ = draw(8)
    for thresholds in ([0.5] * 4, 1.5, float("nan")):
        with pytest.raises(metrics.MetricError, match="thresholds: received"):
            metrics.f1(y, p, thresholds)


def test_names_follow_the_classes() -> None:
    y, p, _ = draw(9)
    found = all_metrics(y, p)
    assert [name for name in found if name.startswith("auroc/")] == [f"auroc/{name}" for name in SUPERCLASSES]
    assert found["macro_auroc"] == pytest.approx(np.mean([found[f"auroc/{name}"] for name in SUPERCLASSES]))
    for kind in ("f1", "sensitivity", "ppv", "brier", "ece", "binary_accuracy", "floor/binary_accuracy"):
        macro = {"f1": "macro_f1", "sensitivity": "macro_sensitivity", "ppv": "macro_ppv"}.get(kind, kind)
        assert found[macro] == pytest.approx(np.mean([found[f"{kind}/{name}"] for name in SUPERCLASSES]))
