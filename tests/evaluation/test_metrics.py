"""Every registered metric keeps one contract, against scikit-learn; a new one needs no line elsewhere."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.evaluation.bootstrap import estimates
from leadwise.evaluation.evaluate import evaluate_model
from leadwise.evaluation.metrics import (
    CALIBRATION_BINS,
    METRICS,
    Metric,
    MetricInput,
    all_metrics,
    decide,
    register,
    undefined_metrics,
)
from leadwise.reports.evaluation_page import write_evaluation
from leadwise.reports.overview import write_overview

THRESHOLDS = np.array([0.2, 0.4, 0.5, 0.6, 0.9])

OfClass = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None], float]


def calibration_gap(y: np.ndarray, p: np.ndarray, decided: np.ndarray, w: np.ndarray | None) -> float:
    weights = np.ones(len(y)) if w is None else w
    bins = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [(weights * (p - y))[bins == k].sum() for k in range(CALIBRATION_BINS)]
    return float(np.abs(gaps).sum() / weights.sum())


OF_CLASS: dict[str, OfClass] = {
    "auroc": lambda y, p, said, w: reference.roc_auc_score(y, p, sample_weight=w),
    "auprc": lambda y, p, said, w: reference.average_precision_score(y, p, sample_weight=w),
    "brier": lambda y, p, said, w: reference.brier_score_loss(y, p, sample_weight=w),
    "ece": calibration_gap,
    "floor/binary_accuracy": lambda y, p, said, w: reference.accuracy_score(y, np.zeros_like(y), sample_weight=w),
    "binary_accuracy": lambda y, p, said, w: reference.accuracy_score(y, said, sample_weight=w),
    "f1": lambda y, p, said, w: reference.f1_score(y, said, sample_weight=w),
    "sensitivity": lambda y, p, said, w: reference.recall_score(y, said, sample_weight=w),
    "specificity": lambda y, p, said, w: reference.recall_score(y, said, pos_label=0, sample_weight=w),
    "ppv": lambda y, p, said, w: reference.precision_score(y, said, sample_weight=w),
    "npv": lambda y, p, said, w: reference.precision_score(y, said, pos_label=0, sample_weight=w),
    "predicted_positive": lambda y, p, said, w: np.average(said, weights=w),
}
OF_ALL = {
    "subset_accuracy": lambda y, p, said, w: reference.accuracy_score(y, said, sample_weight=w),
    "log_loss": lambda y, p, said, w: np.mean(
        [reference.log_loss(y[:, k], p[:, k], sample_weight=w) for k in range(y.shape[1])]
    ),
}


def draw(seed: int, records: int = 120, decimals: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities that know something about them, and how often each record counts."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((records, 5)) < [0.44, 0.25, 0.24, 0.22, 0.12]).astype(np.float64)
    labels[:2] = [[0] * 5, [1] * 5]
    logits = 1.5 * generator.normal(size=labels.shape) + 2 * labels - 1
    weights = generator.poisson(1, records)
    weights[:2] = 1
    return labels, np.round(1 / (1 + np.exp(-logits)), decimals), weights


def test_every_metric_has_a_reference() -> None:
    assert METRICS.keys() == OF_CLASS.keys() | OF_ALL.keys()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [2, 7])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_that_of_scikit_learn(name: str, decimals: int, weighted: bool) -> None:
    y, p, counts = draw(1, decimals=decimals)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    w, said = counts if weighted else None, (p >= THRESHOLDS).astype(float)
    found = METRICS[name].measure(MetricInput(y, p, THRESHOLDS, w))
    if name in OF_ALL:
        expected = OF_ALL[name](y, p, said, w)
    else:
        expected = [OF_CLASS[name](y[:, k], p[:, k], said[:, k], w) for k in range(5)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_keeps_its_range_its_shape_and_its_direction(metric: Metric) -> None:
    y, p, w = draw(2)
    replicates = np.random.default_rng(0).poisson(1, (7, len(y)))
    found = metric.measure(MetricInput(y, p, 0.5, replicates))
    assert found.shape == ((7, 5) if metric.per_class else (7,))
    low, high = metric.range
    assert (np.isnan(found) | ((found >= low) & (found <= high))).all()
    for one, weights in zip(found, replicates, strict=True):
        np.testing.assert_allclose(one, metric.measure(MetricInput(y, p, 0.5, weights)), atol=1e-12)
    repeated = MetricInput(np.repeat(y, w, axis=0), np.repeat(p, w, axis=0))
    np.testing.assert_allclose(metric.measure(MetricInput(y, p, 0.5, w)), metric.measure(repeated), atol=1e-12)
    perfect, wrong = (np.nanmean(metric.measure(MetricInput(y, answer))) for answer in (y, 1 - y))
    if metric.higher_is_better is None:
        assert metric.name in ("predicted_positive", "floor/binary_accuracy")
    else:
        assert (perfect > wrong) == metric.higher_is_better
        assert perfect == pytest.approx(high if metric.higher_is_better else low, abs=1e-5)


def test_what_is_undefined_has_a_reason() -> None:
    y, p, _ = draw(6, records=40)
    y[:, 4], y[:, 0] = 0, 1
    p[:, 4] = 0.1
    found = estimates(partial(all_metrics, y, p, thresholds=[0.5] * 5), None)
    reasons = undefined_metrics(y, found)
    assert {name for name, figure in found.items() if np.isnan(figure.value)} == set(reasons)
    assert {"auroc/NORM", "auroc/HYP", "auprc/HYP", "macro_auroc", "macro_auprc"} <= reasons.keys()
    assert reasons["auroc/HYP"] == reasons["chosen/sensitivity/HYP"] == "HYP has 0 positives among 40 records"
    assert reasons["specificity/NORM"] == "NORM has 40 positives among 40 records"
    assert reasons["ppv/HYP"] == reasons["chosen/macro_ppv"] == "HYP has none reported among 40 records"
    assert found["f1/HYP"].value == 0


@pytest.fixture
def informedness() -> Iterator[str]:
    """A metric that the package does not have."""

    def measure(rows: MetricInput) -> np.ndarray:
        return rows.rates["sensitivity"] + rows.rates["specificity"] - 1

    register(Metric("informedness", "informedness", measure, "macro_informedness", range=(-1, 1), decides=True))
    yield "informedness"
    del METRICS["informedness"]


def test_a_new_metric_is_computed_logged_and_reported(
    informedness: str, store: Store, guesser: Callable[..., object], tmp_path: Path
) -> None:
    evaluation = evaluate_model(guesser(store, "metadata"), store, bootstrap=50, seed=1)
    folder = tmp_path / "evaluation" / "clinical"
    write_evaluation(evaluation, folder / "metadata")
    write_overview(tmp_path, "clinical", store, compare_with=None, bootstrap=50, seed=1)
    of_classes = {f"test/chosen/{informedness}/{name}" for name in SUPERCLASSES}
    mean = f"test/chosen/macro_{informedness}"
    assert {mean, f"{mean}_low", f"{mean}_high", *of_classes} <= evaluation.logged_metrics().keys()
    content = json.loads((folder / "metadata" / "metrics.json").read_text())
    assert {mean, *of_classes} <= content["metrics"].keys() & content["intervals"].keys()
    summary = json.loads((folder / "summary.json").read_text())
    assert (
        summary["models"][0]["test"][f"macro_{informedness}"]["value"]
        == content["metrics"][f"test/macro_{informedness}"]
    )
    for page in (folder / "report.html", folder / "metadata" / "report.html"):
        assert f"macro {informedness}, chosen" in page.read_text()


def test_a_name_is_registered_once() -> None:
    with pytest.raises(LeadwiseError, match="received a second auroc"):
        register(METRICS["auroc"])


def test_rates_of_nothing_are_undefined() -> None:
    rates = MetricInput([[0, 1], [0, 1]], [[0.1, 0.9], [0.2, 0.8]]).rates
    expected = {"sensitivity": [np.nan, 1], "specificity": [1, np.nan], "ppv": [np.nan, 1], "npv": [1, np.nan]}
    for name, values in expected.items():
        np.testing.assert_array_equal(rates[name], values)


def test_a_probability_at_the_threshold_is_positive() -> None:
    np.testing.assert_array_equal(decide([[0.5, np.nextafter(0.5, 0)]]), [[1, 0]])


def test_one_record_and_no_weight_at_all_do_not_crash() -> None:
    y, p, _ = draw(1, 60)
    assert all_metrics(y[:1], p[:1])["binary_accuracy"] >= 0
    nothing = all_metrics(y, p, np.zeros(60))
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
    with pytest.raises(LeadwiseError, match=named):
        all_metrics(labels, probabilities, weights)


def test_thresholds_that_fit_no_class_are_named() -> None:
    y, p, _ = draw(1, 60)
    for thresholds in ([0.5] * 4, 1.5, float("nan")):
        with pytest.raises(LeadwiseError, match="thresholds: received"):
            MetricInput(y, p, thresholds)
