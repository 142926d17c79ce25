"""Non-inferiority against the champion on the same rows."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.config import load_parameters
from leadwise.registry.gate.evidence import Bootstrap, comparison_checks
from leadwise.registry.gate.report import Limits
from leadwise.registry.smoke_test import HeldOutRows, Served

RECORDS = 600
generator = np.random.default_rng(8)
LABELS = (generator.random((RECORDS, 5)) < 0.3).astype(float)
ROWS = HeldOutRows(
    digest="d" * 64,
    simulated=False,
    ecg_ids=np.arange(RECORDS),
    patients=np.arange(RECORDS) // 2,
    labels=LABELS,
    signals=np.zeros((RECORDS, 0, 12), np.int16),
    facts=[{}] * RECORDS,
)
LIMITS = Limits.of(load_parameters().gate, simulated=False)
DRAWN = Bootstrap(200, 4)


def answers(noise: float, seed: int = 1) -> np.ndarray:
    logits = 2 * LABELS - 1 + np.random.default_rng(seed).normal(0, noise, LABELS.shape)
    return np.asarray(1 / (1 + np.exp(-logits)))


def served(with_recording: np.ndarray, without: np.ndarray | None = None) -> Served:
    alone = answers(8.0) if without is None else without
    return Served({}, with_recording, alone, (), np.ones(1), 1.0, 300.0)


def test_the_same_answers_are_not_worse() -> None:
    checks = comparison_checks(served(answers(1.0)), served(answers(1.0)), ROWS, LIMITS, DRAWN)
    assert [check.passed for check in checks] == [True] * 7
    assert checks[0].measured == "+0.0000 [+0.0000, +0.0000]"
    assert checks[0].allowed == "interval above -0.01"


def test_a_worse_candidate_fails_and_the_difference_is_told() -> None:
    new, old = answers(1.5), answers(1.0)
    checks = {c.name: c for c in comparison_checks(served(new), served(old), ROWS, LIMITS, DRAWN)}
    found = checks["macro AUROC against the champion's"]
    assert found.passed is False
    assert found.value == pytest.approx(roc_auc_score(LABELS, new) - roc_auc_score(LABELS, old))
    better = comparison_checks(served(old), served(new), ROWS, LIMITS, DRAWN)
    assert all(check.passed for check in better)


def test_a_gain_elsewhere_does_not_pay_for_one_class_that_was_lost() -> None:
    old = answers(1.2)
    new = answers(0.5)
    new[:, 4] = answers(3.0)[:, 4]
    checks = {c.name: c.passed for c in comparison_checks(served(new), served(old), ROWS, LIMITS, DRAWN)}
    assert checks["macro AUROC against the champion's"]
    assert checks["AUROC HYP against the champion's"] is False
    assert checks["AUROC MI against the champion's"]


def test_a_difference_that_so_few_rows_cannot_tell_fails() -> None:
    few = replace(
        ROWS, ecg_ids=ROWS.ecg_ids[:40], patients=ROWS.patients[:40], labels=LABELS[:40], facts=ROWS.facts[:40]
    )
    one, other = answers(1.5, 1)[:40], answers(1.5, 2)[:40]
    facts = answers(8.0)[:40]
    macro = comparison_checks(served(one, facts), served(other, facts), few, LIMITS, DRAWN)[0]
    assert macro.passed is False


def test_the_answers_without_a_recording_are_compared_too() -> None:
    (*others, alone) = comparison_checks(
        served(answers(1.0), answers(9.0)), served(answers(1.0), answers(3.0)), ROWS, LIMITS, DRAWN
    )
    assert all(check.passed for check in others)
    assert (alone.name, alone.passed) == ("macro AUROC against the champion's, without a recording", False)


def test_rows_that_one_of_them_refuses_are_left_out_for_both() -> None:
    new, old = answers(1.0), answers(1.0)
    new[:100], old[300:350] = np.nan, np.nan
    checks = comparison_checks(served(new), served(old), ROWS, LIMITS, DRAWN)
    assert [check.passed for check in checks] == [True] * 7
    new[:] = np.nan
    (nothing,) = comparison_checks(served(new), served(old), ROWS, LIMITS, DRAWN)
    assert nothing.passed is False


@pytest.mark.parametrize(("simulated", "outcome"), [(False, False), (True, None)])
def test_a_difference_that_is_undefined_passes_nobody(simulated: bool, outcome: bool | None) -> None:
    labels = LABELS.copy()
    labels[:, 0] = 0
    rows, asked = replace(ROWS, labels=labels), Limits.of(load_parameters().gate, simulated=simulated)
    checks = {c.name: c for c in comparison_checks(served(answers(1.0)), served(answers(1.0)), rows, asked, DRAWN)}
    assert checks["macro AUROC against the champion's"].passed is outcome
    assert checks["AUROC NORM against the champion's"].passed is outcome
    assert checks["AUROC MI against the champion's"].passed is True
