"""Limits and margins of the metrics on fold 10: of the dataset, of the parameters, or of a metric itself."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import GateLimits, dataset_named
from leadwise.evaluation.metrics import METRICS, Metric, MetricInput, register
from leadwise.parameters import load_parameters
from leadwise.registry.gate import Check
from leadwise.registry.gate_checks import Limits, comparison_checks, floor_checks
from leadwise.registry.smoke_test import HeldOutRows, Served

generator = np.random.default_rng(5)
# Well calibrated: the labels are drawn from the probabilities.
GOOD = np.where(generator.random((2000, 5)) < 0.3, 0.95, 0.03) + generator.uniform(-0.02, 0.02, (2000, 5))
LABELS = (generator.random(GOOD.shape) < GOOD).astype(float)


def limits(*, simulated: bool = False) -> Limits:
    return Limits.of(load_parameters().gate, dataset_named("synthetic" if simulated else "ptbxl"))


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


RECORDS = 600
generator = np.random.default_rng(8)
TRUTH = (generator.random((RECORDS, 5)) < 0.3).astype(float)
ROWS = HeldOutRows(
    digest="d" * 64,
    patients=np.arange(RECORDS) // 2,
    labels=TRUTH,
    signals=np.zeros((RECORDS, 0, 12), np.int16),
    facts=[{}] * RECORDS,
)
LIMITS = Limits.of(load_parameters().gate, dataset_named("ptbxl"))


def compared(new: Served, old: Served, rows: HeldOutRows = ROWS, asked: Limits = LIMITS) -> list[Check]:
    return comparison_checks(new, old, rows, asked, seed=4, replicates=200)


def answers(noise: float, seed: int = 1) -> np.ndarray:
    logits = 2 * TRUTH - 1 + np.random.default_rng(seed).normal(0, noise, TRUTH.shape)
    return np.asarray(1 / (1 + np.exp(-logits)))


def served(with_recording: np.ndarray, without: np.ndarray | None = None) -> Served:
    alone = answers(8.0) if without is None else without
    return Served({}, with_recording, alone, (), np.ones(1), 1.0, 300.0)


def test_the_same_answers_are_not_worse() -> None:
    checks = compared(served(answers(1.0)), served(answers(1.0)))
    assert [check.passed for check in checks] == [True] * 7
    assert checks[0].measured == "+0.0000 [+0.0000, +0.0000]"
    assert checks[0].allowed == "interval above -0.01"


def test_a_worse_candidate_fails_and_the_difference_is_told() -> None:
    new, old = answers(1.5), answers(1.0)
    checks = {c.name: c for c in compared(served(new), served(old))}
    found = checks["macro AUROC against the champion's"]
    assert found.passed is False
    assert found.value == pytest.approx(roc_auc_score(TRUTH, new) - roc_auc_score(TRUTH, old))
    better = compared(served(old), served(new))
    assert all(check.passed for check in better)


def test_a_gain_elsewhere_does_not_pay_for_one_class_that_was_lost() -> None:
    old = answers(1.2)
    new = answers(0.5)
    new[:, 4] = answers(3.0)[:, 4]
    checks = {c.name: c.passed for c in compared(served(new), served(old))}
    assert checks["macro AUROC against the champion's"]
    assert checks["AUROC HYP against the champion's"] is False
    assert checks["AUROC MI against the champion's"]


def test_a_difference_that_so_few_rows_cannot_tell_fails() -> None:
    few = replace(ROWS, patients=ROWS.patients[:40], labels=TRUTH[:40], facts=ROWS.facts[:40])
    one, other = answers(1.5, 1)[:40], answers(1.5, 2)[:40]
    facts = answers(8.0)[:40]
    macro = compared(served(one, facts), served(other, facts), few)[0]
    assert macro.passed is False


def test_the_answers_without_a_recording_are_compared_too() -> None:
    (*others, alone) = compared(served(answers(1.0), answers(9.0)), served(answers(1.0), answers(3.0)))
    assert all(check.passed for check in others)
    assert (alone.name, alone.passed) == ("macro AUROC against the champion's, without a recording", False)


def test_rows_that_one_of_them_refuses_are_left_out_for_both() -> None:
    new, old = answers(1.0), answers(1.0)
    new[:100], old[300:350] = np.nan, np.nan
    checks = compared(served(new), served(old))
    assert [check.passed for check in checks] == [True] * 7
    new[:] = np.nan
    (nothing,) = compared(served(new), served(old))
    assert nothing.passed is False


@pytest.mark.parametrize(("simulated", "outcome"), [(False, False), (True, None)])
def test_a_difference_that_is_undefined_passes_nobody(simulated: bool, outcome: bool | None) -> None:
    labels = TRUTH.copy()
    labels[:, 0] = 0
    rows, asked = replace(ROWS, labels=labels), limits(simulated=simulated)
    checks = {c.name: c for c in compared(served(answers(1.0)), served(answers(1.0)), rows, asked)}
    assert checks["macro AUROC against the champion's"].passed is outcome
    assert checks["AUROC NORM against the champion's"].passed is outcome
    assert checks["AUROC MI against the champion's"].passed is True


def measure_doubt(rows: MetricInput) -> np.ndarray:
    return rows.mean(np.minimum(rows.p, 1 - rows.p))


@pytest.fixture
def doubt() -> Iterator[str]:
    """A metric from outside of the package: how far the probabilities lie from 0 and 1."""
    limits = GateLimits(mean=0.1, mean_margin=0.02)
    register(Metric("doubt", "doubt", measure_doubt, "doubt", higher_is_better=False, gate=limits))
    yield "doubt"
    del METRICS["doubt"]


@pytest.mark.parametrize("simulated", [False, True])
def test_the_gate_refuses_by_a_metric_that_was_added(doubt: str, simulated: bool) -> None:
    (failed,) = [check for check in floor_checks(LABELS, GOOD * 0.5 + 0.25, only(doubt, simulated)) if not check.passed]
    assert (failed.name, failed.allowed) == ("doubt", "at most 0.1000")
    assert all(check.passed for check in floor_checks(LABELS, GOOD, only(doubt, simulated)))
    unsure = served(0.6 * answers(1.0) + 0.2)
    found = {check.name: check for check in compared(unsure, served(answers(1.0)), asked=limits(simulated=simulated))}
    assert found["doubt against the champion's"].passed is False
    assert found["doubt against the champion's"].allowed == "interval below 0.02"
    assert found["macro AUROC against the champion's"].passed


def only(name: str, simulated: bool) -> Limits:
    asked = limits(simulated=simulated)
    return replace(asked, of_metrics={name: asked.of_metrics[name]})


def test_simulated_weights_have_looser_limits_and_parameters_replace_single_ones() -> None:
    real, loose = limits(), limits(simulated=True)
    assert {one[0].name for one in real.asked()} == {"auroc", "ece"}
    for (metric, _, strict), (_, _, lax) in zip(real.asked(), loose.asked(), strict=True):
        assert (strict < lax) == (metric.higher_is_better is False)
    assert all(a[2] < b[2] for a, b in zip(real.asked(margins=True), loose.asked(margins=True), strict=True))
    assert (real.replaceable, loose.replaceable) == (False, True)
    given = {"limits": "macro_auroc:0.95,brier:0.1", "margins": "auroc:0.2"}
    asked = Limits.of(load_parameters(given).gate, dataset_named("ptbxl")).of_metrics
    assert asked["auroc"] == GateLimits(0.95, 0.85, mean_margin=0.01, each_margin=0.2)
    assert asked["brier"] == GateLimits(0.1)
    with pytest.raises(LeadwiseError, match=r"limits: received 'macro_auc'; allowed: .*macro_auroc"):
        Limits.of(load_parameters({"limits": "macro_auc:0.9"}).gate, dataset_named("ptbxl"))
