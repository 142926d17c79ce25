"""What is made of a macro AUROC elsewhere, and which disagreements are shown."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, patient_weights
from leadwise.evaluation.cohort_evaluation import Reference, judge, worst_disagreements
from leadwise.evaluation.subgroups import decisions_by_part

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


def test_what_stands_beside_a_mean_over_some_classes_is_over_the_same() -> None:
    rates = {"sensitivity": {name: [0.5 + k / 10, 0, 1] for k, name in enumerate(SUPERCLASSES)}}
    reference = Reference("ptbxl", AREAS | {"auroc/MI": 0.9, "ece": 0.02}, rates, simulated=False)
    assert reference.mean("macro_auroc", ["NORM", "MI"]) == pytest.approx(0.9185)
    assert reference.mean("chosen/macro_sensitivity", ["NORM", "HYP"]) == pytest.approx(0.7)
    assert reference.mean("ece", SUPERCLASSES) == 0.02 and reference.mean("ece", ["NORM", "MI"]) is None


def test_decisions_are_counted_by_age_and_sex_where_enough_is_known() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.choice([25.0, 50.0, 90.0, np.nan], 400), "sex": rng.integers(0, 2, 400)})
    y, p = rng.integers(0, 2, (400, 5)).astype(float), rng.random((400, 5))
    y[rng.random(y.shape) < 0.2] = np.nan
    young = (table["age"] == 25).to_numpy()
    y[young, 1] = np.where(np.arange(young.sum()) < 9, 1, 0)
    weights = patient_weights(np.arange(400).astype(str), 200, 1)
    found = {one.name: one for one in decisions_by_part(table, y, p, weights, thresholds=[0.3] * 5)}
    assert list(found) == ["18 to 39", "40 to 59", "80 and over", "male", "female"]
    assert "sensitivity/MI" not in found["18 to 39"].shares and "specificity/MI" in found["18 to 39"].shares
    rows = ((table["age"] == 50) & ~np.isnan(y[:, 3])).to_numpy()
    for measure, positive in (("sensitivity", 1), ("specificity", 0)):
        share = found["40 to 59"].shares[f"{measure}/{SUPERCLASSES[3]}"]
        expected = recall_score(y[rows, 3], p[rows, 3] >= 0.3, pos_label=positive)
        assert share.value == pytest.approx(expected)
        assert share.interval.low < share.value < share.interval.high


def test_the_surest_mistakes_come_first_a_recording_once_and_unknown_labels_never() -> None:
    labels = np.array([[0, 1, np.nan, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, np.nan, 0, 0]], dtype=float)
    p = np.array([[0.95, 0.02, 0.99, 0.1, 0.1], [0.3, 0.1, 0.1, 0.1, 0.1], [0.1] * 4 + [0.9], [np.nan] * 5])
    shown = worst_disagreements(labels, p, most=5)
    assert [(one.place, one.superclass, one.present) for one in shown] == [(0, "MI", True), (1, "NORM", True)]
    assert worst_disagreements(labels, p, most=1) == shown[:1]
