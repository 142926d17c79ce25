"""Thresholds: the best of all by brute force, and targets that new records reach as often as was said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from leadwise.evaluation.thresholds import (
    CONFIDENCE,
    TARGETS,
    Target,
    best_f1,
    misses_allowed,
    reaching,
    youden,
)

labels_and_probabilities = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(rows).T))


def two_groups(seed: int, records: int, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and their calibrated probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(np.log(share / (1 - share)), 2, records)
    p = 1 / (1 + np.exp(-logits))
    return (generator.random(records) < p).astype(float), p


def expected_f1(p: np.ndarray, threshold: float) -> float:
    said = p >= threshold
    return 2 * (p * said).sum() / max(p.sum() + said.sum(), 1e-12)


@given(rows=labels_and_probabilities)
@settings(max_examples=100, deadline=None)
def test_no_threshold_lets_expect_a_higher_f1(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = rows
    chosen = best_f1(y, p)
    if len(set(y)) < 2:
        assert chosen == 0.5
    else:
        assert expected_f1(p, chosen) == pytest.approx(max(expected_f1(p, t) for t in np.unique(p)))


@given(rows=labels_and_probabilities)
@settings(max_examples=100, deadline=None)
def test_no_threshold_has_a_higher_youden_index(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = rows
    if len(set(y)) < 2:
        assert youden(y, p) == 0.5
        return

    def index(threshold: float) -> float:
        return (p[y == 1] >= threshold).mean() - (p[y == 0] >= threshold).mean()

    assert index(youden(y, p)) == pytest.approx(max(index(t) for t in np.unique(p)))


def test_a_threshold_stands_between_probabilities() -> None:
    y, p = np.array([0.0, 0, 1, 1]), np.array([0.05, 0.1, 0.8, 0.9])
    assert youden(y, p) == pytest.approx(0.45)
    assert best_f1(y, p) == pytest.approx(0.45)
    assert reaching(y, p, Target("sensitivity", 0.9)) == pytest.approx(0.45)
    assert reaching(y, p, Target("specificity", 0.9)) == pytest.approx(0.45)


@pytest.mark.parametrize("measure", ["sensitivity", "specificity"])
def test_new_records_reach_the_target_as_often_as_the_confidence_says(measure: str) -> None:
    target, reached = Target(measure, 0.9), []
    new_y, new_p = two_groups(0, 400_000)
    on_target = np.quantile(new_p[new_y == (measure == "sensitivity")], 0.1 if measure == "sensitivity" else 0.9)
    for seed in range(1, 301):
        threshold = reaching(*two_groups(seed, 400), target)
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
