"""Floors on fold 10."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.config import load_parameters
from leadwise.contract import SUPERCLASSES
from leadwise.registry.gate.report import Limits, floor_checks

generator = np.random.default_rng(5)
# Well calibrated: the labels are drawn from the probabilities.
GOOD = np.where(generator.random((2000, 5)) < 0.3, 0.95, 0.03) + generator.uniform(-0.02, 0.02, (2000, 5))
LABELS = (generator.random(GOOD.shape) < GOOD).astype(float)


def limits(*, simulated: bool = False) -> Limits:
    return Limits.of(load_parameters().gate, simulated=simulated)


def test_a_good_candidate_passes_every_floor() -> None:
    checks = floor_checks(LABELS, GOOD, limits())
    assert [check.passed for check in checks] == [True] * 7
    assert checks[0].value == pytest.approx(roc_auc_score(LABELS, GOOD))


def test_one_class_that_cannot_be_told_fails_alone() -> None:
    poor = GOOD.copy()
    poor[:, 4] = generator.permutation(poor[:, 4])
    failed = [check for check in floor_checks(LABELS, poor, limits()) if not check.passed]
    assert [check.name for check in failed] == ["macro AUROC", "AUROC HYP", "calibration error"]
    assert failed[1].allowed == "at least 0.85"
    assert failed[1].measured == f"{roc_auc_score(LABELS[:, 4], poor[:, 4]):.4f}"


def test_good_ranking_with_bad_probabilities_fails_by_its_calibration() -> None:
    (failed,) = [check for check in floor_checks(LABELS, GOOD / 4, limits()) if not check.passed]
    assert failed.name == "calibration error"
    assert failed.allowed == "at most 0.0500"


@pytest.mark.parametrize(("simulated", "outcome"), [(False, False), (True, None)])
def test_a_class_without_positives_passes_nobody(simulated: bool, outcome: bool | None) -> None:
    labels = LABELS.copy()
    labels[:, SUPERCLASSES.index("HYP")] = 0
    found = {check.name: check for check in floor_checks(labels, GOOD, limits(simulated=simulated))}
    for name in ("macro AUROC", "AUROC HYP"):
        assert (found[name].passed, found[name].note) == (outcome, "HYP has 0 positives among 2000 records")
    assert found["AUROC MI"].passed


def test_no_answer_at_all_is_a_failure() -> None:
    checks = floor_checks(LABELS[:0], GOOD[:0], limits(simulated=True))
    assert {check.passed for check in checks} == {False}


def test_simulated_weights_have_looser_limits_of_their_own() -> None:
    real, loose = limits(), limits(simulated=True)
    assert loose.floor_macro_auroc < real.floor_macro_auroc
    assert loose.floor_class_auroc < real.floor_class_auroc
    assert loose.highest_ece > real.highest_ece
    assert loose.margin_macro_auroc > real.margin_macro_auroc
    assert (real.allow_other_data, loose.allow_other_data) == (False, True)
    demo = load_parameters({"configuration": "demo"}).gate
    assert Limits.of(demo, simulated=False) == real, "a configuration for simulated data loosens nothing for real ones"
