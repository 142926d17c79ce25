"""What metrics take, what they refuse, and how they are named; ``test_metric_registry`` compares their values."""

import numpy as np
import pytest

from leadwise.evaluation.metric_registry import all_metrics
from leadwise.evaluation.metrics import MetricError, MetricInput, decide

generator = np.random.default_rng(1)
LABELS = (generator.random((60, 5)) < 0.3).astype(float)
PROBABILITIES = generator.random((60, 5))


def test_rates_of_nothing_are_undefined() -> None:
    rates = MetricInput([[0, 1], [0, 1]], [[0.1, 0.9], [0.2, 0.8]]).rates
    expected = {"sensitivity": [np.nan, 1], "specificity": [1, np.nan], "ppv": [np.nan, 1], "npv": [1, np.nan]}
    for name, values in expected.items():
        np.testing.assert_array_equal(rates[name], values)


def test_a_probability_at_the_threshold_is_positive() -> None:
    np.testing.assert_array_equal(decide([[0.5, np.nextafter(0.5, 0)]]), [[1, 0]])


def test_one_record_and_no_weight_at_all_do_not_crash() -> None:
    assert all_metrics(LABELS[:1], PROBABILITIES[:1])["binary_accuracy"] >= 0
    nothing = all_metrics(LABELS, PROBABILITIES, np.zeros(len(LABELS)))
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
    with pytest.raises(MetricError, match=named):
        all_metrics(labels, probabilities, weights)


def test_thresholds_that_fit_no_class_are_named() -> None:
    for thresholds in ([0.5] * 4, 1.5, float("nan")):
        with pytest.raises(MetricError, match="thresholds: received"):
            MetricInput(LABELS, PROBABILITIES, thresholds)
