"""What is made of a macro AUROC elsewhere, and which disagreements are shown."""

import numpy as np
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.cohort_evaluation import Reference, judge, worst_disagreements

AREAS = {"macro_auroc": 0.937, **{f"auroc/{name}": 0.937 for name in SUPERCLASSES}}
REFERENCE = Reference("ptbxl", AREAS, {}, simulated=False)


def found(value: float, spread: float) -> Estimate:
    return Estimate(value, np.linspace(value - spread, value + spread, 101))


@pytest.mark.parametrize(
    ("value", "spread", "name", "settled"),
    [
        (0.93, 0.005, "better", True),
        (0.89, 0.005, "as_expected", True),
        (0.89, 0.05, "as_expected", False),
        (0.80, 0.01, "worse", True),
        (0.74, 0.001, "look_for_a_bug", True),
        (0.74, 0.02, "look_for_a_bug", False),
    ],
)
def test_a_drop_is_judged_by_what_published_networks_lost(
    value: float, spread: float, name: str, settled: bool
) -> None:
    verdict = judge(found(value, spread), SUPERCLASSES, REFERENCE, own_test=False)
    assert verdict.name == name
    assert verdict.drop.value == pytest.approx(0.937 - value)
    assert ("cannot settle it" not in verdict.says) is settled


def test_the_same_recordings_must_give_the_same_figure() -> None:
    assert judge(found(0.9372, 0.01), SUPERCLASSES, REFERENCE, own_test=True).name == "as_before"
    assert judge(found(0.92, 0.01), SUPERCLASSES, REFERENCE, own_test=True).name == "look_for_a_bug"
    less = judge(found(0.92, 0.01), SUPERCLASSES, REFERENCE, own_test=True, without=["age"])
    assert less.name == "told_less" and less.says.endswith("the model was not told age.")


def test_a_mean_over_some_classes_is_compared_with_the_same_classes_or_not_at_all() -> None:
    areas = AREAS | {"auroc/NORM": 0.96, "auroc/MI": 0.94}
    some = judge(found(0.90, 0.001), ["NORM", "MI"], Reference("ptbxl", areas, {}, False), own_test=False)
    assert some.drop.value == pytest.approx(0.05)
    older = Reference("ptbxl", {"macro_auroc": 0.937}, {}, False)
    assert judge(found(0.90, 0.001), ["NORM", "MI"], older, own_test=False).name == "cannot_tell"
    assert judge(None, [], REFERENCE, own_test=False).name == "cannot_tell"


def test_the_surest_mistakes_come_first_a_recording_once_and_unknown_labels_never() -> None:
    labels = np.array([[0, 1, np.nan, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, np.nan, 0, 0]], dtype=float)
    p = np.array([[0.95, 0.02, 0.99, 0.1, 0.1], [0.3, 0.1, 0.1, 0.1, 0.1], [0.1] * 4 + [0.9], [np.nan] * 5])
    shown = worst_disagreements(labels, p, most=5)
    assert [(one.place, one.superclass, one.present) for one in shown] == [(0, "MI", True), (1, "NORM", True)]
    assert worst_disagreements(labels, p, most=1) == shown[:1]
