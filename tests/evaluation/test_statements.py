"""Statements: figures as scikit-learn gives them, and silence where fold 9 says too little."""

import json
import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from leadwise.contract import STATEMENTS
from leadwise.datasets.releases import STATEMENT_TABLE
from leadwise.evaluation import statements
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.statements import (
    StatementResults,
    evaluate_statements,
    metric_name,
)

RECORDS = 900
SHARES = {"NORM": 0.4, "SR": 0.7, "AFIB": 0.08, "PACE": 0.03, "SARRH": 0.06, "PAC": 0.03}
"""Share of records that have a statement; the others have it in 0.3 %."""
STRENGTHS = {"SARRH": 0.4, "PAC": 1.5, "PACE": 6.0}
"""By how much the logit of a record that has the statement is higher; otherwise 3.5."""
TRAIN = np.array([round(7000 * SHARES.get(code, 0.003)) for code in STATEMENTS])


def fold(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of one fold; ``PRC(S)`` never occurs."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=(RECORDS, 71)) < [SHARES.get(code, 0.003) for code in STATEMENTS]).astype(float)
    labels[:, STATEMENTS.index("PRC(S)")] = 0
    strengths = np.array([STRENGTHS.get(code, 3.5) for code in STATEMENTS])
    logits = rng.normal(-3, 1, labels.shape) + labels * strengths
    return labels, 1 / (1 + np.exp(-logits))


PATIENTS = np.arange(RECORDS) // 2
DRAWN = {"train_positives": TRAIN, "weights": patient_weights(PATIENTS, 200, seed=1), "patients_val": PATIENTS}


@pytest.fixture(scope="module")
def results() -> StatementResults:
    return evaluate_statements(*fold(9), *fold(10), **DRAWN)


def test_figures_are_those_of_scikit_learn(results: StatementResults) -> None:
    labels, probabilities = fold(10)
    metrics = results.metrics()
    areas = {}
    for k, code in enumerate(STATEMENTS):
        if 0 < labels[:, k].sum() < RECORDS:
            areas[code] = roc_auc_score(labels[:, k], probabilities[:, k])
            assert metrics[f"test/statements/{metric_name(f'auroc/{code}')}"] == pytest.approx(areas[code])
            precision = average_precision_score(labels[:, k], probabilities[:, k])
            assert metrics[f"test/statements/{metric_name(f'auprc/{code}')}"] == pytest.approx(precision)
    assert metrics["test/statements/macro_auroc"] == pytest.approx(np.mean(list(areas.values())))
    assert metrics["test/statements/entering/all"] == len(areas) < 71
    rhythm = [areas[s.code] for s in STATEMENT_TABLE if s.group == "rhythm" and s.code in areas]
    assert metrics["test/statements/macro_auroc/rhythm"] == pytest.approx(np.mean(rhythm))
    assert "test/statements/auroc/PRC-S" not in metrics


def test_a_statement_is_told_only_with_enough_records_and_certainty(
    results: StatementResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results.trusted == ("SR", "AFIB", "PACE")
    assert results.silent["NORM"] == "the same as the superclass NORM, which is always answered"
    assert results.silent["IMI"] == "21 records of the training folds with it; at least 50 are needed"
    assert "its AUROC on fold 9 may be as low as 0." in results.silent["SARRH"]
    assert results.silent["PAC"].endswith("have it; at least 33 % are needed")
    monkeypatch.setattr(statements, "RULE", dict(statements.RULE, train_positives=0))
    told_less = evaluate_statements(*fold(9), *fold(10), **DRAWN).silent["IMI"]
    assert "records of fold 9 with it; at least 5 are needed" in told_less
    assert set(results.trusted) | set(results.silent) == set(STATEMENTS)


def test_fold_10_decides_nothing(results: StatementResults) -> None:
    labels, probabilities = fold(10)
    backwards = 1 - probabilities
    other = evaluate_statements(*fold(9), labels, backwards, **DRAWN)
    assert other.choice == results.choice
    assert other.metrics()["test/statements/auroc/AFIB"] < 0.1


def test_calibration_and_threshold_make_what_is_told_right(results: StatementResults) -> None:
    labels, probabilities = fold(10)
    kept = [STATEMENTS.index(code) for code in results.trusted]
    calibrated = results.choice.calibration.apply(probabilities[:, kept])
    np.testing.assert_allclose(calibrated.mean(axis=0), labels[:, kept].mean(axis=0), atol=0.03)
    for k, code in enumerate(results.trusted):
        said = calibrated[:, k] >= results.choice.thresholds[code]
        assert results.decisions[code] == {
            "precision": pytest.approx(precision_score(labels[:, kept[k]], said)),
            "sensitivity": pytest.approx(recall_score(labels[:, kept[k]], said)),
        }
        assert results.decisions[code]["precision"] > 0.5


def test_the_file_holds_every_statement_and_is_plain_json(results: StatementResults) -> None:
    content = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert [entry["code"] for entry in content["statements"]] == list(STATEMENTS)
    for entry in content["statements"]:
        assert entry["trusted"] == (entry["reason"] is None) == ("threshold" in entry)
    atrial = content["statements"][STATEMENTS.index("AFIB")]
    assert (atrial["name"], atrial["group"]) == ("atrial fibrillation", "rhythm")
    assert atrial["positives"]["train"] == 560
    assert content["macro_auroc"]["all"]["statements"] == results.metrics()["test/statements/entering/all"]
    assert content["statements"][STATEMENTS.index("PRC(S)")]["test"]["auroc"]["value"] is None


def test_tracking_servers_take_every_name(results: StatementResults) -> None:
    names = {metric_name(name) for name in results.test}
    assert all(re.fullmatch(r"[/\w.\- :]+", name) for name in names | results.metrics().keys())
    assert len([name for name in names if name.startswith("auroc/")]) == 71


def test_without_anything_to_trust_there_is_silence() -> None:
    labels, probabilities = fold(9)
    results = evaluate_statements(
        labels, probabilities, labels, probabilities, **DRAWN | {"train_positives": np.zeros(71)}
    )
    assert results.trusted == ()
    assert all(entry["reason"] for entry in results.to_dict()["statements"])
