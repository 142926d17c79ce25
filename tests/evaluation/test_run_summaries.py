"""Run summaries show what the files of a stage hold, and load and run nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from leadwise.datasets.store import Store
from leadwise.evaluation.evaluate import Evaluation
from leadwise.reports.evaluation_page import write_evaluation
from leadwise.reports.report_page import SIMULATED, Page
from leadwise.reports.run_summaries import (
    ingest_summary,
    registration_summary,
    training_summary,
)


def text_of(summary: Page) -> str:
    page = summary.html()
    assert "What went in" in page
    assert SIMULATED in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page), "loads something from elsewhere"
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))


def test_an_ingestion(store: Store) -> None:
    checks = json.loads((store.folder / "validation" / "validation.json").read_text())
    text = text_of(ingest_summary(store.manifest, checks, unchanged=True))
    assert f"patients {store.manifest['patients']:,} " in text
    assert "it was left as it is" in text
    assert all(one["why"] in text for one in checks["outcomes"] if not one["success"])


def test_a_training(store: Store) -> None:
    epoch = {"train/loss": 0.5, "val/loss": 0.4, "val/macro_auroc": 0.91234, "val/binary_accuracy": 0.8}
    training: dict[str, Any] = {
        "parameters": {"encoder": "resnet1d_wang", "learning-rate": 0.001, "seed": 20},
        "validation": epoch,
        "history": [epoch, epoch],
        "best_epoch": 2,
        "epochs": 2,
        "feature_set": "clinical",
        "monitor": "val/macro_auroc",
        "seconds": 65.0,
        "backend": "tensorflow",
        "count_params": 1234,
        "reused": True,
    }
    text = text_of(training_summary("fusion", training, store.manifest))
    for shown in ("0.9123", "2 of 2", "1 min 05 s", "1,234", "resnet1d_wang", "Taken from an earlier run"):
        assert shown in text


def test_an_evaluation(tmp_path: Path, evaluation: Evaluation) -> None:
    text = text_of(write_evaluation(evaluation, tmp_path / "fusion"))
    assert f"{evaluation.metrics['test/macro_auroc'].value:.3f}" in text
    assert f"{evaluation.rows['test']:,} of {evaluation.rows['test_patients']:,} patients" in text
    assert all(f"{name} {value:.3f}" in text for name, value in evaluation.decision.used.thresholds.items())


@pytest.mark.parametrize("passed", [True, False])
def test_a_registration(passed: bool) -> None:
    registered = {
        "name": "leadwise-demo",
        "version": "3",
        "alias": "champion" if passed else "",
        "model": "fusion",
        "uri": "models:/leadwise-demo/3",
        "run_id": "0123",
        "simulated": True,
        "requirements": ["numpy==2.0"],
    }
    checks = [
        {"name": "macro AUROC", "measured": "0.9000", "allowed": "at least 0.8", "passed": passed, "note": "a note"},
        {"name": "other data", "measured": "x" * 40, "allowed": "none", "passed": None, "note": ""},
    ]
    gate = {"checks": checks, "passed": passed, "verdict": "As it is.", "champion": None, "compared_on": "fold 10"}
    network = {"name": "fusion", "validation": {"val/macro_auroc": 0.91}, "test": {"macro_auroc": None}}
    package = {"data": {"digest": "d" * 64, "release": "simulated"}, "networks": {"fusion": network}}
    text = text_of(registration_summary(registered, gate, package, 1.25))
    assert "1.2 MiB" in text
    assert "fusion, fold 9 0.9100" in text
    assert "x" * 40 in text
    assert ("Checks that failed" in text) != passed
