"""What the gate of a site's version lets pass: better probabilities, the same ranking, no fewer of the ill found."""

import numpy as np
import pytest

from leadwise.calibration import sigmoid
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.cohort_metrics import Compared, Side, compare
from leadwise.policies import Policy
from leadwise.registry.gate import Check
from leadwise.registry.site import calibration_checks, policy_checks

RECORDS = 400


def at(threshold: float) -> dict[str, Policy]:
    limits, bands = dict.fromkeys(SUPERCLASSES, threshold), dict.fromkeys(SUPERCLASSES, (threshold, threshold))
    return {"best_f1": Policy("", limits, bands), "target_sensitivity": Policy("", limits, bands)}


def compared(
    before: float, after: float, *, thresholds: tuple[float, float] = (0.2, 0.2), known: int = RECORDS
) -> Compared:
    """The same answers, off by so many logits before and after."""
    rng = np.random.default_rng(3)
    logits = rng.normal(-1, 2, (RECORDS, 5))
    labels = (rng.random(logits.shape) < sigmoid(logits)).astype(float)
    labels[known:] = np.nan
    sides = [Side(sigmoid(logits + off), at(limit)) for off, limit in zip((before, after), thresholds, strict=True)]
    return compare(labels, *sides, np.arange(RECORDS) // 2, replicates=100, seed=1)


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.passed is False]


def test_better_probabilities_pass_and_worse_ones_do_not() -> None:
    assert failed(list(calibration_checks(compared(1.0, 0.1)))) == []
    worse = failed(list(calibration_checks(compared(0.1, 1.0))))
    assert worse == ["log loss", "calibration error", *(f"log loss {name}" for name in SUPERCLASSES)]


def test_the_same_probabilities_do_not_pass() -> None:
    assert failed(list(calibration_checks(compared(0.3, 0.3)))) == ["log loss"]


def test_another_ranking_does_not_pass() -> None:
    right = compared(1.0, 0.0)
    rng = np.random.default_rng(4)
    logits = rng.normal(-1, 2, (RECORDS, 5))
    labels = (rng.random(logits.shape) < sigmoid(logits)).astype(float)
    noisy = Side(sigmoid(logits + rng.normal(0, 0.01, logits.shape)), at(0.2))
    other = compare(labels, Side(sigmoid(logits), at(0.2)), noisy, np.arange(RECORDS), replicates=100, seed=1)
    name = "ranking: largest difference of AUROC"
    assert name in failed(list(calibration_checks(other)))
    assert name not in failed(list(calibration_checks(right)))


def test_finding_fewer_of_the_ill_than_asked_and_than_before_does_not_pass() -> None:
    stricter = failed(list(policy_checks(compared(0.0, 0.0, thresholds=(0.05, 0.6)))))
    missed = [name for name in stricter if name.startswith("sensitivity ") and "+" not in name]
    assert missed == [f"sensitivity {name}, target_sensitivity" for name in SUPERCLASSES if name != "NORM"]
    looser = failed(list(policy_checks(compared(0.0, 0.0, thresholds=(0.6, 0.05)))))
    assert "specificity NORM, target_sensitivity" in looser


def test_a_target_that_is_reached_by_reporting_everybody_does_not_pass() -> None:
    everybody = failed(list(policy_checks(compared(0.0, 0.0, thresholds=(0.3, 0.0001)))))
    together = [f"sensitivity + specificity {name}, target_sensitivity" for name in SUPERCLASSES]
    assert [name for name in everybody if "+" in name] == together


def test_who_found_few_before_need_not_find_more() -> None:
    assert failed(list(policy_checks(compared(0.0, 0.0, thresholds=(0.8, 0.8))))) == []


def test_policies_without_a_target_are_told_and_decide_nothing() -> None:
    checks = [check for check in policy_checks(compared(0.0, 0.0, thresholds=(0.05, 0.9))) if "best_f1" in check.name]
    assert len(checks) == 5
    assert {check.passed for check in checks} == {None}


@pytest.mark.parametrize("known", [0, 8])
def test_where_hardly_a_label_is_known_nothing_passes(known: int) -> None:
    checks = list(calibration_checks(compared(1.0, 0.0, known=known)))
    assert failed(checks) == ["log loss"]
    assert "bring more labels" in checks[0].note
    assert not list(policy_checks(compared(1.0, 0.0, known=known)))


def test_figures_are_those_of_the_known_labels() -> None:
    found = compared(1.0, 0.0, known=300)
    assert {labels.unknown for labels in found.known.values()} == {RECORDS - 300}
    rng = np.random.default_rng(3)
    logits = rng.normal(-1, 2, (RECORDS, 5))
    labels = (rng.random(logits.shape) < sigmoid(logits))[:300]
    p = sigmoid(logits[:300] + 1.0)
    expected = -np.where(labels, np.log(p), np.log(1 - p)).mean(axis=0)
    for k, name in enumerate(SUPERCLASSES):
        assert found.pair(f"log_loss/{name}")[0].value == pytest.approx(expected[k])
