"""What the gate of a site's version lets pass: better probabilities, the same ranking, no fewer of the ill found."""

from collections.abc import Iterable

import numpy as np
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.decision import Policy, sigmoid
from leadwise.evaluation.cohort_metrics import Compared, Side, compare
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


def failed(checks: Iterable[Check]) -> list[str]:
    return [check.name for check in checks if check.passed is False]


EVERYTHING = ["log loss", "calibration error", *(f"log loss {name}" for name in SUPERCLASSES)]


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(1.0, 0.1, []), (0.3, 0.3, ["log loss"]), (0.1, 1.0, EVERYTHING)]
)
def test_better_probabilities_pass_and_the_same_or_worse_ones_do_not(
    before: float, after: float, expected: list[str]
) -> None:
    assert failed(calibration_checks(compared(before, after))) == expected


def test_another_ranking_does_not_pass() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(-1, 2, (RECORDS, 5))
    labels = (rng.random(logits.shape) < sigmoid(logits)).astype(float)
    sides = [Side(sigmoid(logits + rng.normal(0, noise, logits.shape)), at(0.2)) for noise in (0, 0.01)]
    other = compare(labels, *sides, np.arange(RECORDS), replicates=100, seed=1)
    assert "ranking: largest difference of AUROC" in failed(calibration_checks(other))


SENSITIVITIES = [f"sensitivity {name}, target_sensitivity" for name in SUPERCLASSES if name != "NORM"]
TOGETHER = [f"sensitivity + specificity {name}, target_sensitivity" for name in SUPERCLASSES]


@pytest.mark.parametrize(
    ("thresholds", "named", "expected"),
    [
        # Fewer of the ill are found than asked and than before.
        ((0.05, 0.6), "sensitivity ", SENSITIVITIES),
        ((0.6, 0.05), "specificity ", ["specificity NORM, target_sensitivity"]),
        # A target is reached by reporting everybody.
        ((0.3, 0.0001), "sensitivity + ", TOGETHER),
        # Who found few before need not find more.
        ((0.8, 0.8), "", []),
    ],
)
def test_finding_fewer_or_reporting_everybody_does_not_pass(
    thresholds: tuple[float, float], named: str, expected: list[str]
) -> None:
    found = failed(policy_checks(compared(0.0, 0.0, thresholds=thresholds)))
    assert [name for name in found if name.startswith(named) and ("+" in name) <= ("+" in named)] == expected


def test_policies_without_a_target_are_told_and_decide_nothing() -> None:
    checks = [check for check in policy_checks(compared(0.0, 0.0, thresholds=(0.05, 0.9))) if "best_f1" in check.name]
    assert [check.passed for check in checks] == [None] * 5


@pytest.mark.parametrize("known", [0, 8])
def test_where_hardly_a_label_is_known_nothing_passes(known: int) -> None:
    checks = list(calibration_checks(compared(1.0, 0.0, known=known)))
    assert failed(checks) == ["log loss"]
    assert "bring more labels" in checks[0].note
    assert not list(policy_checks(compared(1.0, 0.0, known=known)))
