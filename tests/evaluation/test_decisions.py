"""Thresholds are the best by brute force, targets are reached as often as was said, bands leave out what was asked."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from leadwise.contract import SUPERCLASSES
from leadwise.decision import Calibration, is_uncertain
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.decisions import (
    CONFIDENCE,
    COVERAGE,
    POLICIES,
    RECORD,
    TARGETS,
    Decision,
    Target,
    band_values,
    best_f1,
    choose_band,
    coverage_risk,
    margin,
    misses_allowed,
    policy_metrics,
    reaching,
    youden,
)
from leadwise.evaluation.metrics import MetricInput

labels_and_probabilities = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(rows).T))


def true_and_stated(seed: int, temperature: float, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are ``temperature`` times too certain."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, shape)
    labels = (generator.random(shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return labels, 1 / (1 + np.exp(-logits * temperature))


def expected_f1(y: np.ndarray, p: np.ndarray, threshold: float) -> float:
    said = p >= threshold
    return 2 * (p * said).sum() / max(p.sum() + said.sum(), 1e-12)


def youden_index(y: np.ndarray, p: np.ndarray, threshold: float) -> float:
    return (p[y == 1] >= threshold).mean() - (p[y == 0] >= threshold).mean()


@pytest.mark.parametrize(("choose", "score"), [(best_f1, expected_f1), (youden, youden_index)])
@given(rows=labels_and_probabilities)
@settings(max_examples=100, deadline=None)
def test_no_threshold_is_better(
    choose: Callable[..., float], score: Callable[..., float], rows: tuple[np.ndarray, np.ndarray]
) -> None:
    y, p = rows
    if len(set(y)) < 2:
        assert choose(y, p) == 0.5
    else:
        assert score(y, p, choose(y, p)) == pytest.approx(max(score(y, p, t) for t in np.unique(p)))


def test_a_threshold_stands_between_probabilities() -> None:
    y, p = np.array([0.0, 0, 1, 1]), np.array([0.05, 0.1, 0.8, 0.9])
    assert youden(y, p) == pytest.approx(0.45)
    assert best_f1(y, p) == pytest.approx(0.45)
    assert reaching(y, p, Target("sensitivity", 0.9)) == pytest.approx(0.45)
    assert reaching(y, p, Target("specificity", 0.9)) == pytest.approx(0.45)


@pytest.mark.parametrize("measure", ["sensitivity", "specificity"])
def test_new_records_reach_the_target_as_often_as_the_confidence_says(measure: str) -> None:
    target, reached = Target(measure, 0.9), []
    new_y, new_p = true_and_stated(0, 1, 400_000)
    on_target = np.quantile(new_p[new_y == (measure == "sensitivity")], 0.1 if measure == "sensitivity" else 0.9)
    for seed in range(1, 301):
        threshold = reaching(*true_and_stated(seed, 1, 400), target)
        reached.append(threshold <= on_target if measure == "sensitivity" else threshold >= on_target)
    # As misses come in whole numbers, at least; three standard errors of 300 draws below.
    assert np.mean(reached) > CONFIDENCE - 3 * np.sqrt(0.09 / 300)


@given(count=st.integers(1, 800), target=st.floats(0.5, 0.99))
@settings(max_examples=100, deadline=None)
def test_the_misses_allowed_are_the_binomial_tolerance_limit(count: int, target: float) -> None:
    allowed = misses_allowed(count, target)
    assert binom.cdf(allowed + 1, count, 1 - target) > 1 - CONFIDENCE
    assert allowed == 0 or binom.cdf(allowed, count, 1 - target) <= 1 - CONFIDENCE


def test_too_few_records_are_all_to_be_found() -> None:
    y, p = np.array([1.0, 0, 1, 0, 0]), np.array([0.2, 0.1, 0.9, 0.7, 0.3])
    assert reaching(y, p, Target("sensitivity", 0.95)) == pytest.approx(0.15)
    assert reaching(y, p, Target("specificity", 0.95)) == pytest.approx(0.8)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_class_with_one_value_only_keeps_one_half(value: float) -> None:
    y, p = np.full(30, value), np.linspace(0.1, 0.9, 30)
    assert best_f1(y, p) == youden(y, p) == reaching(y, p, TARGETS["MI"]) == reaching(y, p, TARGETS["NORM"]) == 0.5


def test_equal_probabilities_are_not_parted() -> None:
    y, p = np.array([1.0, 1, 0, 1, 0, 0]), np.array([0.9, 0.4, 0.4, 0.4, 0.4, 0.1])
    for chosen in (best_f1(y, p), youden(y, p)):
        assert not 0.4 < chosen <= 0.4 + 1e-12
    assert reaching(y, p, Target("sensitivity", 0.9)) == pytest.approx(0.25)


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.9])
def test_a_band_leaves_out_what_was_asked_for(threshold: float) -> None:
    p = true_and_stated(0, 1, 3000)[1]
    low, high = choose_band(p, threshold)
    assert 0 < low < threshold < high < 1
    inside = is_uncertain(p[:, None], [(low, high)])[:, 0]
    assert (~inside).mean() == pytest.approx(COVERAGE, abs=1 / len(p))
    least_sure = np.argsort(margin(p, threshold))[: inside.sum()]
    assert inside[least_sure].all()


def test_the_curve_is_that_of_brute_force() -> None:
    y, p = true_and_stated(1, 1, 60, 5)
    thresholds = np.array([0.5, 0.3, 0.7, 0.4, 0.6])
    curves = coverage_risk(y, p, thresholds)
    wrong, sure = (p >= thresholds) != y, margin(p, thresholds)
    for k, name in enumerate(SUPERCLASSES):
        risks = [wrong[sure[:, k] >= cut, k].mean() for cut in np.sort(sure[:, k])[::-1]]
        np.testing.assert_allclose(curves[name].risk, risks)
        np.testing.assert_allclose(curves[name].coverage, np.arange(1, 61) / 60)
        assert curves[name].aurc == pytest.approx(np.mean(risks))
        assert curves[name].full_risk == pytest.approx(wrong[:, k].mean())
    assert curves[RECORD].full_risk == pytest.approx(wrong.any(axis=1).mean())


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_weights_count_records_as_if_they_were_repeated(seed: int) -> None:
    y, p = true_and_stated(seed, 1, 40, 5)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 40))
    weighted = coverage_risk(y, p, [0.4] * 5, weights)
    for row, counts in enumerate(weights):
        repeated = coverage_risk(np.repeat(y, counts, axis=0), np.repeat(p, counts, axis=0), [0.4] * 5)
        for name, curve in weighted.items():
            assert curve.aurc.shape == (3,)
            # Copies of a record have the same sureness: within them, the curve takes one step instead of several.
            assert curve.aurc[row] == pytest.approx(repeated[name].aurc, abs=0.03)


def test_it_reads_as_before_and_holds_every_policy() -> None:
    y, p = true_and_stated(0, 1.7, 3000, 5)
    decision = Decision.choose(y, p)
    content = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert content["temperature"] == pytest.approx(fit_temperature(y, p))
    assert (content["policy"], content["chosen_on"]) == ("best_f1", "fold 9")
    assert list(content["policies"]) == list(POLICIES)
    for policy in content["policies"].values():
        assert tuple(policy["thresholds"]) == tuple(policy["uncertain"]) == SUPERCLASSES
        for name, (low, high) in policy["uncertain"].items():
            assert 0 < low < policy["thresholds"][name] < high < 1
    for part in ("thresholds", "uncertain"):
        assert content[part] == content["policies"]["best_f1"][part]
    assert content["positives"] == dict(zip(SUPERCLASSES, y.sum(axis=0).astype(int).tolist(), strict=True))


def test_targets_are_reached_on_the_choosing_rows() -> None:
    y, p = true_and_stated(2, 1.7, 3000, 5)
    decision = Decision.choose(y, p)
    reached = policy_metrics(y, decision.calibration.apply(p), decision=decision)
    for name, target in TARGETS.items():
        count = int((y[:, SUPERCLASSES.index(name)] == (target.measure == "sensitivity")).sum())
        expected = 1 - misses_allowed(count, target.value) / count
        assert reached[f"decision/target_sensitivity/{target.measure}/{name}"] == pytest.approx(expected)
        assert expected >= target.value
    assert decision.policies["target_sensitivity"].rule == (
        "NORM specificity 95%, MI sensitivity 95%, STTC sensitivity 90%, CD sensitivity 90%, HYP sensitivity 90% "
        "on new records with 90% confidence"
    )


def test_any_calibration_may_stand_before_the_thresholds() -> None:
    y, p = true_and_stated(4, 1.7, 3000, 5)
    shifted = Calibration("per_class", (0.5,) * 5, (-1.0, 0.0, 0.5, 1.0, 2.0))
    decision = Decision.choose(y, p, calibration=shifted)
    assert decision.calibration is shifted
    plain = Decision.choose(y, shifted.apply(p), calibration=Calibration.identity())
    for name, policy in decision.policies.items():
        assert policy.thresholds == pytest.approx(plain.policies[name].thresholds, abs=1e-6)
    assert Calibration.from_dict(decision.to_dict()) == shifted


def test_band_values_are_those_of_counting() -> None:
    y, p = true_and_stated(6, 1, 500, 5)
    thresholds, bands = [0.4] * 5, [(0.25, 0.6)] * 5
    wrong, inside = (p >= 0.4) != y, (p >= 0.25) & (p <= 0.6)
    found = band_values(MetricInput(y, p, thresholds), bands)
    for k in range(5):
        assert found["coverage"][k] == pytest.approx(1 - inside[:, k].mean())
        assert found["risk"][k] == pytest.approx(wrong[~inside[:, k], k].mean())
        assert found["uncertain_risk"][k] == pytest.approx(wrong[inside[:, k], k].mean())
        assert found["full_risk"][k] == pytest.approx(wrong[:, k].mean())
    assert (found["risk"] < found["full_risk"]).all()
    assert (found["uncertain_risk"] > found["full_risk"]).all()


def test_a_band_that_nobody_is_in_has_no_risk() -> None:
    found = band_values(MetricInput(np.ones((4, 1)), np.full((4, 1), 0.9), [0.5]), [(0.4, 0.6)])
    assert np.isnan(found["uncertain_risk"]).all()
    assert found["coverage"] == found["risk"] + 1 == 1
