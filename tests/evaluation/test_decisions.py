"""A decision keeps every policy side by side, reads as before, and its measures on any rows are right."""

import json

import numpy as np
import pytest

from leadwise.calibration import Calibration
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.decisions import POLICIES, Decision, band_values, policy_metrics
from leadwise.evaluation.metrics import MetricInput
from leadwise.evaluation.thresholds import TARGETS, misses_allowed


def true_and_stated(seed: int, temperature: float = 1.7, records: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are ``temperature`` times too certain."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (records, 5))
    labels = (generator.random((records, 5)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return labels, 1 / (1 + np.exp(-logits * temperature))


def test_it_reads_as_before_and_holds_every_policy() -> None:
    y, p = true_and_stated(0)
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
    y, p = true_and_stated(2)
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
    y, p = true_and_stated(4)
    shifted = Calibration("per_class", (0.5,) * 5, (-1.0, 0.0, 0.5, 1.0, 2.0))
    decision = Decision.choose(y, p, calibration=shifted)
    assert decision.calibration is shifted
    plain = Decision.choose(y, shifted.apply(p), calibration=Calibration.identity())
    for name, policy in decision.policies.items():
        assert policy.thresholds == pytest.approx(plain.policies[name].thresholds, abs=1e-6)
    assert Calibration.from_dict(decision.to_dict()) == shifted


def test_band_values_are_those_of_counting() -> None:
    y, p = true_and_stated(6, 1.0, 500)
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
