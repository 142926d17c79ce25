"""Every metric against scikit-learn, with and without weights, ties and classes of one value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation import metrics
from leadwise.evaluation.named_metrics import all_metrics, undefined_metrics


def draw(seed: int, records: int = 300, decimals: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities that know something about them, and how often each record counts."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((records, 5)) < [0.44, 0.25, 0.24, 0.22, 0.12]).astype(np.float32)
    labels[:2] = [[0] * 5, [1] * 5]
    logits = 1.5 * generator.normal(size=labels.shape) + 2 * labels - 1
    weights = generator.poisson(1, records)
    weights[:2] = 1
    return labels, np.round(1 / (1 + np.exp(-logits)), decimals), weights


@given(seed=st.integers(0, 10_000), decimals=st.sampled_from([1, 2, 7]), weighted=st.booleans())
@settings(max_examples=12, deadline=None)
def test_ranking_metrics_are_those_of_scikit_learn(seed: int, decimals: int, weighted: bool) -> None:
    y, p, w = draw(seed, records=60, decimals=decimals)
    weights = w if weighted else None
    area, precision = metrics.ranking(y, p, weights)
    for k in range(5):
        assert area[k] == pytest.approx(roc_auc_score(y[:, k], p[:, k], sample_weight=weights), abs=1e-12)
        assert precision[k] == pytest.approx(
            average_precision_score(y[:, k], p[:, k], sample_weight=weights), abs=1e-12
        )


@pytest.mark.parametrize("thresholds", [0.5, [0.2, 0.4, 0.5, 0.6, 0.9]])
@pytest.mark.parametrize("weighted", [False, True])
def test_decision_metrics_are_those_of_scikit_learn(thresholds: float | list[float], weighted: bool) -> None:
    y, p, w = draw(1)
    weights = w if weighted else None
    decided = p >= np.asarray(thresholds)
    accuracy = metrics.binary_accuracy(y, p, thresholds, weights)
    scores = metrics.f1(y, p, thresholds, weights)
    for k in range(5):
        assert accuracy[k] == pytest.approx(accuracy_score(y[:, k], decided[:, k], sample_weight=weights))
        assert scores[k] == pytest.approx(f1_score(y[:, k], decided[:, k], sample_weight=weights))
        expected = confusion_matrix(y[:, k], decided[:, k])
        np.testing.assert_array_equal(metrics.confusion_matrices(y, p, thresholds)[k], expected)
    assert scores.mean() == pytest.approx(f1_score(y, decided, average="macro", sample_weight=weights))
    assert metrics.exact_match(y, p, thresholds, weights) == pytest.approx(
        accuracy_score(y, decided, sample_weight=weights)
    )


@pytest.mark.parametrize("thresholds", [0.5, [0.2, 0.4, 0.5, 0.6, 0.9]])
@pytest.mark.parametrize("weighted", [False, True])
def test_decision_rates_are_those_of_scikit_learn(thresholds: float | list[float], weighted: bool) -> None:
    y, p, w = draw(11)
    weights = w if weighted else None
    decided = p >= np.asarray(thresholds)
    rates = metrics.decision_rates(y, p, thresholds, weights)
    assert list(rates) == ["sensitivity", "specificity", "ppv", "npv", "alarms"]
    for k in range(5):
        seen, said = y[:, k], decided[:, k]
        assert rates["sensitivity"][k] == pytest.approx(recall_score(seen, said, sample_weight=weights))
        assert rates["specificity"][k] == pytest.approx(recall_score(seen, said, pos_label=0, sample_weight=weights))
        assert rates["ppv"][k] == pytest.approx(precision_score(seen, said, sample_weight=weights))
        assert rates["npv"][k] == pytest.approx(precision_score(seen, said, pos_label=0, sample_weight=weights))
        assert rates["alarms"][k] == pytest.approx(np.average(said, weights=weights))


def test_rates_of_nothing_are_undefined() -> None:
    y = np.array([[0.0, 1.0], [0.0, 1.0]])
    rates = metrics.decision_rates(y, [[0.1, 0.9], [0.2, 0.8]])
    np.testing.assert_array_equal(rates["sensitivity"], [np.nan, 1])
    np.testing.assert_array_equal(rates["specificity"], [1, np.nan])
    np.testing.assert_array_equal(rates["ppv"], [np.nan, 1])
    np.testing.assert_array_equal(rates["npv"], [1, np.nan])


@pytest.mark.parametrize("weighted", [False, True])
def test_brier_and_calibration_error(weighted: bool) -> None:
    y, p, w = draw(2)
    weights = w if weighted else np.ones(len(y))
    errors = metrics.calibration_error(y, p, w if weighted else None, bins=10)
    for k in range(5):
        expected = brier_score_loss(y[:, k], p[:, k], sample_weight=weights)
        assert metrics.brier(y, p, weights)[k] == pytest.approx(expected)
        naive = 0.0
        for low in np.arange(10) / 10:
            inside = (p[:, k] >= low) & ((p[:, k] < low + 0.1) | (low == 0.9))
            naive += abs((weights[inside] * (p[inside, k] - y[inside, k])).sum())
        assert errors[k] == pytest.approx(naive / weights.sum(), abs=1e-9)


def test_the_floor_is_the_accuracy_of_never_predicting_anything() -> None:
    y, p, w = draw(3)
    np.testing.assert_allclose(metrics.all_zero_accuracy(y, w), metrics.binary_accuracy(y, np.zeros_like(p), 0.5, w))


def test_a_probability_at_the_threshold_is_positive() -> None:
    np.testing.assert_array_equal(metrics.decide([[0.5, np.nextafter(0.5, 0)]]), [[1, 0]])


def test_replicates_equal_one_call_each() -> None:
    y, p, _ = draw(4, decimals=2)
    weights = np.random.default_rng(0).poisson(1, (7, len(y)))
    together = all_metrics(y, p, weights, thresholds=[0.3] * 5)
    for replicate, one in enumerate(weights):
        alone = all_metrics(y, p, one, thresholds=[0.3] * 5)
        assert together.keys() == alone.keys()
        for name, values in together.items():
            assert values.shape == (7,)
            assert values[replicate] == pytest.approx(alone[name], abs=1e-12), name


def test_weights_mean_repeated_records() -> None:
    y, p, w = draw(5, decimals=1)
    weighted, repeated = (
        all_metrics(y, p, w),
        all_metrics(np.repeat(y, w, axis=0), np.repeat(p, w, axis=0)),
    )
    for name, value in weighted.items():
        assert value == pytest.approx(repeated[name], abs=1e-12), name


def test_a_class_with_one_value_is_undefined_with_a_reason() -> None:
    y, p, _ = draw(6, records=40)
    y[:, 4], y[:, 0] = 0, 1
    p[:, 4] = 0.1
    found = all_metrics(y, p, thresholds=[0.5] * 5)
    reasons = undefined_metrics(y, found)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == set(reasons)
    ranking = {"auroc/NORM", "auroc/HYP", "auprc/HYP", "macro_auroc", "macro_auprc"}
    assert {name for name in undefined if "/specificity" not in name and "/ppv" not in name} >= ranking
    assert reasons["auroc/HYP"] == reasons["chosen/sensitivity/HYP"] == "HYP has 0 positives among 40 records"
    assert reasons["specificity/NORM"] == "NORM has 40 positives among 40 records"
    assert reasons["ppv/HYP"] == reasons["chosen/macro_ppv"] == "HYP has no alarm among 40 records"
    assert found["f1/HYP"] == 0
    whole = draw(6)[:2]
    assert not undefined_metrics(whole[0], all_metrics(*whole))


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
