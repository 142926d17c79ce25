"""A decision keeps every policy side by side, reads as before, and its measures on any rows are right."""

import json

import numpy as np
import pytest

from leadwise.calibration import Calibration
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.decisions import (
    POLICIES,
    Decision,
    DecisionError,
    DecisionRules,
    band_values,
    policy_intervals,
    policy_metrics,
)
from leadwise.evaluation.thresholds import TARGETS, Target, misses_allowed, reaching


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
    assert tuple(content["policies"]) == POLICIES
    for policy in content["policies"].values():
        assert tuple(policy["thresholds"]) == tuple(policy["uncertain"]) == SUPERCLASSES
        for name, (low, high) in policy["uncertain"].items():
            assert 0 < low < policy["thresholds"][name] < high < 1
    for part in ("thresholds", "uncertain"):
        assert content[part] == content["policies"]["best_f1"][part]
    assert content["positives"] == dict(zip(SUPERCLASSES, y.sum(axis=0).astype(int).tolist(), strict=True))


def test_another_policy_may_be_used_without_choosing_again() -> None:
    y, p = true_and_stated(1)
    decision = Decision.choose(y, p)
    switched = decision.using("target_sensitivity")
    assert switched == Decision.choose(y, p, rules=DecisionRules(policy="target_sensitivity"))
    assert switched.to_dict()["thresholds"] == decision.to_dict()["policies"]["target_sensitivity"]["thresholds"]
    with pytest.raises(DecisionError, match="received 'best_mcc'; allowed: best_f1, target_sensitivity, youden"):
        decision.using("best_mcc")


def test_targets_are_reached_on_the_choosing_rows() -> None:
    y, p = true_and_stated(2)
    decision = Decision.choose(y, p).using("target_sensitivity")
    reached = policy_metrics(y, decision.calibration.apply(p), decision=decision)
    for name, target in TARGETS.items():
        count = int((y[:, SUPERCLASSES.index(name)] == (target.measure == "sensitivity")).sum())
        expected = 1 - misses_allowed(count, target.value, 0.9) / count
        assert reached[f"decision/target_sensitivity/{target.measure}/{name}"] == pytest.approx(expected)
        assert expected >= target.value
    assert decision.policies["target_sensitivity"].rule == (
        "NORM specificity 95%, MI sensitivity 95%, STTC sensitivity 90%, CD sensitivity 90%, HYP sensitivity 90% "
        "on new records with 90% confidence"
    )


def test_targets_and_coverage_can_be_asked_for() -> None:
    y, p = true_and_stated(3)
    targets = {name: Target("sensitivity", 0.8) for name in SUPERCLASSES}
    decision = Decision.choose(y, p, rules=DecisionRules("target_sensitivity", targets, confidence=0.5, coverage=0.7))
    calibrated = decision.calibration.apply(p)
    assert decision.thresholds["HYP"] == reaching(y[:, 4], calibrated[:, 4], targets["HYP"], 0.5)
    measured = policy_metrics(y, calibrated, decision=decision)
    for name in SUPERCLASSES:
        assert measured[f"decision/target_sensitivity/sensitivity/{name}"] == pytest.approx(0.8, abs=0.005)
        assert measured[f"decision/target_sensitivity/coverage/{name}"] == pytest.approx(0.7, abs=0.005)
    with pytest.raises(DecisionError, match="targets: received none for NORM, HYP; allowed: one per class"):
        Decision.choose(y, p, rules=DecisionRules(targets={name: TARGETS[name] for name in ("MI", "STTC", "CD")}))


def test_any_calibration_may_stand_before_the_thresholds() -> None:
    y, p = true_and_stated(4)
    shifted = Calibration("per_class", (0.5,) * 5, (-1.0, 0.0, 0.5, 1.0, 2.0))
    decision = Decision.choose(y, p, calibration=shifted)
    assert decision.calibration is shifted
    plain = Decision.choose(y, shifted.apply(p), calibration=Calibration.identity())
    for name, policy in decision.policies.items():
        assert policy.thresholds == pytest.approx(plain.policies[name].thresholds, abs=1e-6)
    assert Calibration.from_dict(decision.to_dict()) == shifted


def test_reports_and_doubts_follow_the_policy_in_use() -> None:
    y, p = true_and_stated(5)
    for name in POLICIES:
        decision = Decision.choose(y, p).using(name)
        calibrated = decision.calibration.apply(p)
        limits = np.array([decision.policies[name].thresholds[label] for label in SUPERCLASSES])
        np.testing.assert_array_equal(decision.reported(calibrated), calibrated >= limits)
        assert decision.unsure(calibrated).mean(axis=0) == pytest.approx([0.1] * 5, abs=0.001)
        assert decision.unsure(limits).all()
        assert not decision.unsure(np.array([[0.0] * 5, [1.0] * 5])).any()


def test_band_values_are_those_of_counting() -> None:
    y, p = true_and_stated(6, 1.0, 500)
    thresholds, bands = [0.4] * 5, [(0.25, 0.6)] * 5
    wrong, inside = (p >= 0.4) != y, (p >= 0.25) & (p <= 0.6)
    found = band_values(y, p, thresholds, bands)
    for k in range(5):
        assert found["coverage"][k] == pytest.approx(1 - inside[:, k].mean())
        assert found["risk"][k] == pytest.approx(wrong[~inside[:, k], k].mean())
        assert found["uncertain_risk"][k] == pytest.approx(wrong[inside[:, k], k].mean())
        assert found["full_risk"][k] == pytest.approx(wrong[:, k].mean())
    assert (found["risk"] < found["full_risk"]).all()
    assert (found["uncertain_risk"] > found["full_risk"]).all()


def test_a_band_that_nobody_is_in_has_no_risk() -> None:
    found = band_values(np.ones((4, 1)), np.full((4, 1), 0.9), [0.5], [(0.4, 0.6)])
    assert np.isnan(found["uncertain_risk"]).all()
    assert found["coverage"] == found["risk"] + 1 == 1


def test_intervals_are_by_patient_and_hold_what_new_records_show() -> None:
    y, p = true_and_stated(7)
    decision = Decision.choose(y, p)
    y, p = true_and_stated(8, records=800)
    calibrated = decision.calibration.apply(p)
    weights = patient_weights(np.arange(800) // 2, 100, seed=1)
    intervals = policy_intervals(y, calibrated, weights, decision=decision)
    measured = policy_metrics(y, calibrated, decision=decision)
    assert intervals.keys() == measured.keys()
    assert {"decision/youden/ppv/CD", "decision/target_sensitivity/aurc/record"} <= measured.keys()
    for name, interval in intervals.items():
        assert interval.low <= measured[name] <= interval.high
        assert interval.high - interval.low < 0.4
