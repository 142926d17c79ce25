"""Selection sees fold 9 only, figures are those of scikit-learn on what is written, and the folder is whole."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.evaluation.evaluate import Evaluation, evaluate_model
from leadwise.reports.overview import results_markdown, terminal_table, write_summary

MakeGuesser = Callable[..., Any]


def leave(evaluation: Evaluation, folder: Path, run_id: str | None = None) -> dict[str, Any]:
    """Write what the table needs of an evaluation, without its figures."""
    file = folder / evaluation.training["model"] / "metrics.json"
    file.parent.mkdir()
    content = evaluation.to_dict(run_id)
    file.write_text(json.dumps(content, allow_nan=False))
    return content


def with_labels(store: Store, fold: int, value: bool) -> Store:
    records = store.records.copy()
    records.loc[records["strat_fold"] == fold, list(SUPERCLASSES)] = value
    return dataclasses.replace(store, records=records)


def test_fold_10_has_no_part_in_any_choice(store: Store, evaluation: Evaluation, guesser: MakeGuesser) -> None:
    elsewhere = evaluate_model(guesser(store), with_labels(store, 10, value=False), bootstrap=100, seed=1)
    assert elsewhere.decision == evaluation.decision
    assert evaluate_model(guesser(store), with_labels(store, 9, value=True), bootstrap=100, seed=1).decision != (
        evaluation.decision
    )


def test_figures_are_those_of_the_written_predictions(written: Path) -> None:
    table = pd.read_parquet(written / "predictions.parquet")
    metrics = json.loads((written / "metrics.json").read_text())
    decision = json.loads((written / "decision.json").read_text())
    assert set(table["strat_fold"]) == {9, 10}
    y, p = (table.loc[table["strat_fold"] == 10, [f"{k}_{c}" for c in SUPERCLASSES]].to_numpy() for k in "yp")
    assert metrics["metrics"]["test/macro_auroc"] == pytest.approx(roc_auc_score(y, p, average="macro"))
    assert metrics["metrics"]["test/subset_accuracy"] == pytest.approx(accuracy_score(y, p >= 0.5))
    assert metrics["metrics"]["test/floor/binary_accuracy"] == pytest.approx((y == 0).mean())
    thresholds = [decision["thresholds"][name] for name in SUPERCLASSES]
    assert metrics["metrics"]["test/chosen/binary_accuracy"] == pytest.approx(((p >= thresholds) == y).mean())
    known = y.any(axis=1)
    assert metrics["rows"]["test_labelled"] == known.sum()
    assert metrics["metrics"]["test/labelled/macro_auroc"] == pytest.approx(roc_auc_score(y[known], p[known]))
    low, high = metrics["intervals"]["test/macro_auroc"]
    assert low < metrics["metrics"]["test/macro_auroc"] < high
    assert metrics["run_id"] == "0123abcd"
    assert sorted(file.name for file in written.parent.iterdir()) == ["fusion"]
    assert sorted(file.stem for file in (written / "figures").iterdir()) == [
        "confusion_at_0.5",
        "confusion_at_chosen",
        "coverage_and_risk",
        "pr_curves",
        "reliability",
        "robustness",
        "roc_curves",
        "statements",
        *(["subgroups"] if (written / "figures" / "subgroups.png").exists() else []),
    ]


def test_a_class_that_fold_10_lacks_is_null_with_a_reason(store: Store, tmp_path: Path, guesser: MakeGuesser) -> None:
    records = store.records.copy()
    records.loc[records["strat_fold"] == 10, "HYP"] = False
    found = evaluate_model(guesser(store), dataclasses.replace(store, records=records), bootstrap=100, seed=1)
    metrics = leave(found, tmp_path)
    assert metrics["metrics"]["test/auroc/HYP"] is None
    assert metrics["intervals"]["test/auroc/HYP"] == [None, None]
    assert metrics["undefined"]["test/auroc/HYP"].startswith("HYP has 0 positives among")
    assert "test/auroc/HYP" not in found.logged_metrics()
    assert "n/a [n/a, n/a]" in terminal_table(write_summary(tmp_path))


def test_no_labelled_row_leaves_the_headline(store: Store, tmp_path: Path, guesser: MakeGuesser) -> None:
    found = evaluate_model(guesser(store), with_labels(store, 10, value=False), bootstrap=100, seed=1)
    assert found.metrics["test/floor/binary_accuracy"].value == 1
    assert not any(name.startswith("test/labelled/") for name in found.metrics)
    leave(found, tmp_path)
    assert "n/a" in terminal_table(write_summary(tmp_path))


def test_an_empty_fold_is_named(store: Store, guesser: MakeGuesser) -> None:
    records = store.records.assign(strat_fold=store.records["strat_fold"].replace(10, 8))
    with pytest.raises(LeadwiseError, match="fold 10: received no records"):
        evaluate_model(guesser(store), dataclasses.replace(store, records=records), bootstrap=100, seed=1)


def test_the_table_lays_the_models_side_by_side(store: Store, tmp_path: Path, guesser: MakeGuesser) -> None:
    for name in ("fusion", "metadata"):
        leave(evaluate_model(guesser(store, name), store, bootstrap=100, seed=1), tmp_path, f"{name}-run")
    summary = write_summary(tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert [model["model"] for model in summary["models"]] == ["metadata", "fusion"]
    text = terminal_table(summary)
    value = summary["models"][1]["test"]["macro_auroc"]
    expected = f"{value['value']:.3f} [{value['interval'][0]:.3f}, {value['interval'][1]:.3f}]"
    assert expected in text
    assert "3 min 05 s" in text
    assert "155,013" in text
    assert "Simulated data" in text
    both = results_markdown({"clinical": tmp_path / "summary.json", "original": tmp_path / "summary.json"})
    assert both.count("| original |") == both.count("| clinical |") == 4
    assert expected in both
    assert "`fusion-r`" in both
    assert "Simulated data" in both
    tables = [block.splitlines() for block in both.split("\n\n") if block.startswith("|")]
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


def test_evaluations_of_other_data_are_not_compared(store: Store, tmp_path: Path, guesser: MakeGuesser) -> None:
    old, new = guesser(store, "metadata"), guesser(store, "fusion")
    old.training["digest"] = "0" * 64
    for one in (old, new):
        leave(evaluate_model(one, store, bootstrap=100, seed=1), tmp_path)
    assert [model["model"] for model in write_summary(tmp_path)["models"]] == ["fusion"]


def test_a_table_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeadwiseError, match="run the evaluate stage"):
        write_summary(tmp_path)
    with pytest.raises(LeadwiseError, match="feature-set=original"):
        results_markdown({"original": tmp_path / "summary.json"})
