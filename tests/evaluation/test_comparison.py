"""Models are compared on the same records with the same patients drawn, and the leak is measured."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.comparison import (
    Evaluated,
    above_zero,
    compare_all,
    compared_metrics,
    find_evaluated,
    stadium_alone,
)

generator = np.random.default_rng(2)
RECORDS = 300
LABELS = (generator.random((RECORDS, 5)) < 0.3).astype(float)


def evaluated(noise: float, model: str = "fusion", **changes: Any) -> Evaluated:
    logits = 2 * LABELS - 1 + np.random.default_rng(7).normal(0, noise, LABELS.shape)
    fields: dict[str, Any] = {
        "feature_set": "clinical",
        "model": model,
        "digest": "d" * 64,
        "ecg_ids": np.arange(RECORDS),
        "patients": np.arange(RECORDS) // 2,
        "labels": LABELS,
        "probabilities": 1 / (1 + np.exp(-logits)),
        "thresholds": np.array([0.3, 0.4, 0.5, 0.6, 0.7]),
    }
    return Evaluated(**{**fields, **changes})


def test_what_is_compared_is_what_scikit_learn_says() -> None:
    one = evaluated(2.0)
    found = compared_metrics(one, None)
    decided = one.probabilities >= one.thresholds
    assert found["macro_auroc"] == pytest.approx(roc_auc_score(LABELS, one.probabilities))
    assert found["chosen/macro_f1"] == pytest.approx(f1_score(LABELS, decided, average="macro"))
    assert found["binary_accuracy"] == pytest.approx(((one.probabilities >= 0.5) == LABELS).mean())


def test_a_difference_is_that_of_the_values_and_pairs_its_replicates() -> None:
    good, poor = evaluated(1.0), evaluated(4.0, "metadata")
    (pair,) = compare_all([good, poor], replicates=100, seed=5)
    found = pair.differences["macro_auroc"]
    values = [roc_auc_score(LABELS, one.probabilities) for one in (good, poor)]
    assert found.value == pytest.approx(values[0] - values[1])
    assert found.interval.low > 0
    assert above_zero(found) == 1
    weights = patient_weights(good.patients, 100, 5)
    again = compared_metrics(good, weights)["macro_auroc"] - compared_metrics(poor, weights)["macro_auroc"]
    np.testing.assert_allclose(found.replicates, again)
    swapped = compare_all([poor, good], replicates=100, seed=5)[0].differences["macro_auroc"]
    assert above_zero(swapped) == 0


def test_other_rows_or_data_are_not_compared() -> None:
    one = evaluated(2.0)
    other_rows = dataclasses.replace(one, ecg_ids=np.arange(RECORDS) + 1)
    other_data = dataclasses.replace(one, digest="e" * 64)
    assert compare_all([one, other_rows], replicates=100, seed=1) == []
    assert compare_all([one, other_data], replicates=100, seed=1) == []


def test_every_pair_of_a_workspace_and_models_of_one_name_elsewhere() -> None:
    here = [evaluated(2.0, name) for name in ("metadata", "fusion", "fusion_augmented")]
    there = [dataclasses.replace(one, workspace="other") for one in here]
    pairs = {(c.first.name, c.second.name) for c in compare_all([*here, *there], replicates=100, seed=1)}
    assert len(pairs) == 6
    assert ("clinical fusion", "clinical fusion_augmented") in pairs
    assert ("clinical fusion", "clinical fusion (other)") in pairs


def test_a_class_without_positives_leaves_the_difference_undefined() -> None:
    labels = LABELS.copy()
    labels[:, 4] = 0
    models = [evaluated(noise, labels=labels) for noise in (1.0, 2.0)]
    content = compare_all(models, replicates=100, seed=1)[0].to_dict()
    assert content["differences"]["macro_auroc"] == {"value": None, "interval": [None, None], "above_zero": None}
    assert content["differences"]["auroc/MI"]["value"] > 0
    json.dumps(content, allow_nan=False)


def leave(folder: Path, one: Evaluated) -> None:
    folder.mkdir(parents=True)
    kept = {"feature_set": one.feature_set, "model": one.model, "digest": one.digest}
    (folder / "metrics.json").write_text(json.dumps(kept))
    thresholds = dict(zip(SUPERCLASSES, one.thresholds.tolist(), strict=True))
    (folder / "decision.json").write_text(json.dumps({"thresholds": thresholds}))
    table = pd.DataFrame({"ecg_id": one.ecg_ids, "patient_id": one.patients, "strat_fold": 10})
    for prefix, values in (("p", one.probabilities), ("y", one.labels)):
        table[[f"{prefix}_{name}" for name in SUPERCLASSES]] = values
    pd.concat([table, table.assign(strat_fold=9)]).to_parquet(folder / "predictions.parquet")


def test_evaluations_are_found_and_read(tmp_path: Path) -> None:
    one = evaluated(2.0)
    for workspace in ("here", "there"):
        leave(tmp_path / workspace / "evaluation" / "clinical" / "fusion", one)
    found = find_evaluated(tmp_path / "here", tmp_path / "there")
    assert [model.name for model in found] == ["clinical fusion", "clinical fusion (there)"]
    np.testing.assert_allclose(found[0].probabilities, one.probabilities)
    assert found[0].same_rows(found[1])
    assert len(find_evaluated(tmp_path / "here", tmp_path / "here")) == 1


def test_half_an_evaluation_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "evaluation" / "clinical" / "fusion"
    leave(folder, evaluated(2.0))
    (folder / "decision.json").unlink()
    with pytest.raises(LeadwiseError, match=r"no whole evaluation .*decision\.json.* run the evaluate stage again"):
        find_evaluated(tmp_path)
    shutil.rmtree(folder)
    assert find_evaluated(tmp_path) == []


def test_the_presence_of_a_stage_alone(store: Store) -> None:
    records = store.records
    found = stadium_alone(records, patient_weights(records["patient_id"], 100, 1))
    present = records[["infarction_stadium1", "infarction_stadium2"]].notna().any(axis=1)
    assert found.auroc.value == pytest.approx(roc_auc_score(records["MI"], present))
    assert found.auroc.interval.low <= found.auroc.value <= found.auroc.interval.high
    assert (found.records, found.present) == (len(records), present.sum())
    assert found.present_positives == (present & records["MI"]).sum()
    nobody = stadium_alone(records.assign(MI=False), patient_weights(records["patient_id"], 20, 1))
    assert nobody.to_dict()["auroc"] is None


@pytest.mark.real
def test_a_stage_is_set_almost_only_where_there_is_an_infarction(ptbxl_tables: Callable[[str], Path]) -> None:
    from leadwise.datasets.tables import clean, read_tables

    records = clean(read_tables(ptbxl_tables("1.0.3"))).records
    training = records[records["strat_fold"] <= 8]
    found = stadium_alone(training, patient_weights(training["patient_id"], 20, 1))
    assert found.auroc.value > 0.98
    assert found.present_positives == found.positives
