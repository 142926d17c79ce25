"""Bands leave out the share that was asked for, the least sure records; the risk falls with the coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.thresholds import (
    COVERAGE,
    RECORD,
    aurc,
    choose_band,
    coverage_risk,
    margin,
)
from leadwise.policies import is_uncertain


def calibrated(seed: int, records: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Labels that come true as often as their probabilities say."""
    generator = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-generator.normal(-1, 2, (records, 5))))
    return (generator.random(p.shape) < p).astype(float), p


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.9])
def test_a_band_leaves_out_what_was_asked_for(threshold: float) -> None:
    p = calibrated(0)[1][:, 0]
    low, high = choose_band(p, threshold)
    assert 0 < low < threshold < high < 1
    inside = is_uncertain(p[:, None], [(low, high)])[:, 0]
    assert (~inside).mean() == pytest.approx(COVERAGE, abs=1 / len(p))
    least_sure = np.argsort(margin(p, threshold))[: inside.sum()]
    assert inside[least_sure].all()


def test_the_curve_is_that_of_brute_force() -> None:
    y, p = calibrated(1, 60)
    thresholds = np.array([0.5, 0.3, 0.7, 0.4, 0.6])
    curves = coverage_risk(y, p, thresholds)
    wrong, sure = (p >= thresholds) != y, margin(p, thresholds)
    for k, name in enumerate(SUPERCLASSES):
        risks = [wrong[sure[:, k] >= cut, k].mean() for cut in np.sort(sure[:, k])[::-1]]
        np.testing.assert_allclose(curves[name].risk, risks)
        np.testing.assert_allclose(curves[name].coverage, np.arange(1, 61) / 60)
        assert curves[name].aurc == pytest.approx(np.mean(risks))
        assert curves[name].full_risk == pytest.approx(wrong[:, k].mean())
        assert aurc(y, p, thresholds)[name] == pytest.approx(curves[name].aurc)
    assert curves[RECORD].full_risk == pytest.approx(wrong.any(axis=1).mean())


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_weights_count_records_as_if_they_were_repeated(seed: int) -> None:
    y, p = calibrated(seed, 40)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 40))
    weighted = aurc(y, p, [0.4] * 5, weights)
    for row, counts in enumerate(weights):
        repeated = coverage_risk(np.repeat(y, counts, axis=0), np.repeat(p, counts, axis=0), [0.4] * 5)
        for name, areas in weighted.items():
            assert areas.shape == (3,)
            # Copies of a record have the same sureness: within them, the curve takes one step instead of several.
            assert areas[row] == pytest.approx(repeated[name].aurc, abs=0.03)
