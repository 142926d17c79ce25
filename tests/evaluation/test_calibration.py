"""The temperature is the best one and moves no decision at 0.5; the thresholds have the best F1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from leadwise.evaluation.calibration import (
    TEMPERATURE_RANGE,
    Decision,
    apply_temperature,
    best_f1_thresholds,
    fit_temperature,
)
from leadwise.evaluation.metrics import decide, f1

just_below, just_above = (float(np.nextafter(np.float32(0.5), np.float32(side))) for side in (0, 1))
probabilities = st.floats(0, 1, width=32) | st.sampled_from([0.0, just_below, 0.5, just_above, 1.0])
temperatures = st.floats(*TEMPERATURE_RANGE)


def true_and_stated(seed: int, temperature: float, records: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are ``temperature`` times too certain."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (records, 5))
    labels = (generator.random((records, 5)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return labels, 1 / (1 + np.exp(-logits * temperature))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(*true_and_stated(0, temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_temperature_on_a_grid_is_better() -> None:
    y, p = true_and_stated(1, 1.7, records=300)
    found = fit_temperature(y, p)
    best = log_loss(y.ravel(), apply_temperature(p, found).ravel())
    for other in np.geomspace(*TEMPERATURE_RANGE, 60):
        assert best <= log_loss(y.ravel(), apply_temperature(p, other).ravel()) + 1e-9


@settings(deadline=None)
@given(p=arrays(float, 30, elements=probabilities), temperature=temperatures)
def test_temperature_moves_no_decision_at_one_half_and_keeps_the_order(p: np.ndarray, temperature: float) -> None:
    calibrated = apply_temperature(p, temperature)
    np.testing.assert_array_equal(decide(calibrated), decide(p))
    assert (np.diff(calibrated[np.argsort(p)]) >= -1e-15).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_one_half_stays_exactly_one_half() -> None:
    assert apply_temperature(0.5, 3.7) == 0.5


def test_perfect_separation_ends_at_the_edge_of_the_range() -> None:
    y = np.tile([[0, 1]], (20, 3))[:, :5].astype(float)
    temperature = fit_temperature(y, np.clip(y, 0.1, 0.9))
    assert TEMPERATURE_RANGE[0] <= temperature < 0.06


@given(rows=st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 20).map(lambda n: n / 20)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_no_threshold_has_a_better_f1(rows: list[tuple[float, float]]) -> None:
    y, p = np.array(rows).T
    chosen = best_f1_thresholds(y[:, None], p[:, None])
    best = max(2 * (y * (p >= t)).sum() / max(y.sum() + (p >= t).sum(), 1) for t in np.unique(p))
    assert f1(y[:, None], p[:, None], chosen)[0] == pytest.approx(best if y.any() else 0)


def test_a_threshold_stands_between_probabilities() -> None:
    y, p = np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.3], [0.6], [0.9]])
    assert best_f1_thresholds(y, p)[0] == pytest.approx(0.45)


def test_a_class_without_positives_keeps_one_half() -> None:
    assert best_f1_thresholds(np.zeros((3, 1)), np.array([[0.2], [0.6], [0.9]]))[0] == 0.5


def test_a_decision_says_what_it_is() -> None:
    decision = Decision.choose(*true_and_stated(2, 2.0, records=500))
    content = decision.to_dict()
    assert set(content) == {"temperature", "thresholds", "policy", "chosen_on"}
    assert (content["policy"], content["chosen_on"]) == ("best_f1", "fold 9")
    assert list(content["thresholds"]) == ["NORM", "MI", "STTC", "CD", "HYP"]
