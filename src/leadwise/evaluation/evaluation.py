"""Everything that is known about one model after its evaluation, and the files that hold it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, TEST_FOLD
from leadwise.evaluation.bootstrap import Interval
from leadwise.evaluation.calibration import ChosenCalibration
from leadwise.evaluation.decisions import Decision
from leadwise.evaluation.files import (
    CALIBRATION_FILE,
    DECISION_FILE,
    METRICS_FILE,
    POLICIES_FILE,
    PREDICTIONS_FILE,
    STATEMENTS_FILE,
    SUBGROUPS_FILE,
    finite,
    write_json,
)
from leadwise.evaluation.named_metrics import logged
from leadwise.evaluation.robustness import Robustness, write_robustness
from leadwise.evaluation.statements import StatementResults
from leadwise.evaluation.subgroups import FEWEST_CASES, FEWEST_RECORDS, SubgroupResult

HEADLINE = ("macro_auroc", "macro_auprc", "binary_accuracy", "macro_f1", "exact_match", "brier", "ece")
"""Metrics whose intervals are logged to the tracking server; ``metrics.json`` holds all intervals."""


@dataclass(frozen=True)
class Evaluation:
    """What is known about one model after its evaluation.

    Attributes:
        training: the model's ``training.json``.
        manifest: of the store that it was evaluated on.
        decision: calibration, thresholds and bands of "uncertain", chosen on fold 9.
        calibration: why this calibration.
        metrics: by their names in the tracking UI: ``test/macro_auroc``, ``test/labelled/...``, ``val/...``; NaN where
            undefined.
        intervals: 95 % intervals of the ``test/`` metrics.
        undefined: why a metric is NaN.
        policies: what every policy of the decision comes to on fold 10: ``test/decision/best_f1/ppv/MI``, ...
        policy_intervals: 95 % intervals of those.
        subgroups: parts of fold 10.
        statements: the 71 statements; ``None`` where the network does not answer them.
        robustness: fold 10 disturbed; ``None`` where it was not asked for.
        rows: records and patients behind the figures, and under ``test_positives`` the records of each class.
        bootstrap: replicates behind the intervals.
        seed: seed of the bootstrap.
        predictions: one row per record of folds 9 and 10: ``ecg_id``, ``patient_id``, ``strat_fold``, ``p_*``
            calibrated, ``raw_*`` as the network gave them, ``y_*``.
    """

    training: Mapping[str, Any]
    manifest: Mapping[str, Any]
    decision: Decision
    calibration: ChosenCalibration
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    undefined: Mapping[str, str]
    policies: Mapping[str, float]
    policy_intervals: Mapping[str, Interval]
    subgroups: Sequence[SubgroupResult]
    statements: StatementResults | None
    robustness: Robustness | None
    rows: Mapping[str, Any]
    bootstrap: int
    seed: int
    predictions: pd.DataFrame

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.training["model"])

    @property
    def where(self) -> str:
        """What the figures are of, for their titles."""
        return f"{self.model}, fold {TEST_FOLD}" + (", simulated data" if self.training["simulated"] else "")

    def test_rows(self, kind: str) -> NDArray[np.float64]:
        """``(record, 5)`` of fold 10: ``y`` labels, ``p`` calibrated, ``raw`` uncalibrated probabilities."""
        test = self.predictions[self.predictions["strat_fold"] == TEST_FOLD]
        return test[[f"{kind}_{name}" for name in SUPERCLASSES]].to_numpy(np.float64)

    def logged_metrics(self) -> dict[str, float]:
        """What the tracking UI gets: a choice of the defined metrics; ``metrics.json`` holds all."""
        found = dict(self.metrics)
        found |= {
            f"{name}_{side}": getattr(interval, side)
            for name, interval in self.intervals.items()
            if name.removeprefix("test/").removeprefix("labelled/") in HEADLINE
            for side in ("low", "high")
        }
        found["decision/temperature"] = self.calibration.temperature
        found |= {f"decision/threshold/{name}": value for name, value in self.decision.thresholds.items()}
        found |= self.policies
        for group in self.subgroups:
            found |= group.metrics()
        if self.statements:
            found |= self.statements.metrics()
        if self.robustness:
            found |= self.robustness.metrics()
        return {name: float(found[name]) for name in logged(found) if math.isfinite(found[name])}

    def to_dict(self, run_id: str | None = None) -> dict[str, Any]:
        """The content of ``metrics.json``; what is undefined is ``null`` there, with its reason under ``undefined``."""
        return {
            "model": self.model,
            "feature_set": self.training["feature_set"],
            "digest": self.training["digest"],
            "release": self.manifest["release"],
            "simulated": self.training["simulated"],
            "run_id": run_id,
            "trained_by": self.training.get("run_id"),
            "count_params": self.training["count_params"],
            "seconds": self.training["seconds"],
            "epochs": self.training["epochs"],
            "best_epoch": self.training["best_epoch"],
            "rows": dict(self.rows),
            "bootstrap": {"replicates": self.bootstrap, "seed": self.seed, "unit": "patient", "level": 0.95},
            "metrics": {name: finite(value) for name, value in self.metrics.items()},
            "intervals": {name: interval.bounds() for name, interval in self.intervals.items()},
            "undefined": dict(self.undefined),
        }

    def write(self, folder: Path, run_id: str | None = None) -> None:
        """Write all numbers, as JSON and Parquet, into a folder that is there.

        Args:
            folder: where; ``reports.evaluation_page.write_evaluation`` adds figures and the report.
            run_id: the tracked run that made this evaluation.
        """
        write_json(folder / METRICS_FILE, self.to_dict(run_id))
        write_json(folder / DECISION_FILE, self.decision.to_dict())
        write_json(folder / CALIBRATION_FILE, self.calibration.to_dict())
        write_json(folder / POLICIES_FILE, self.policies_to_dict())
        write_json(folder / SUBGROUPS_FILE, self.subgroups_to_dict())
        if self.statements:
            write_json(folder / STATEMENTS_FILE, self.statements.to_dict())
        if self.robustness:
            write_robustness(self.robustness, folder)
        self.predictions.to_parquet(folder / PREDICTIONS_FILE, index=False)

    def policies_to_dict(self) -> dict[str, Any]:
        """What ``policies.json`` holds."""
        return {
            "policy": self.decision.policy,
            "rules": {name: policy.rule for name, policy in self.decision.policies.items()},
            "metrics": {name: finite(value) for name, value in self.policies.items()},
            "intervals": {name: interval.bounds() for name, interval in self.policy_intervals.items()},
        }

    def subgroups_to_dict(self) -> dict[str, Any]:
        """What ``subgroups.json`` holds."""
        return {
            "fewest_records": FEWEST_RECORDS,
            "fewest_cases": FEWEST_CASES,
            "subgroups": [group.to_dict() for group in self.subgroups],
        }
