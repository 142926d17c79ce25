"""One trained model on folds 9 and 10: what is selected on fold 9, what is reported on fold 10."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.atomic import folder_written_atomically, write_atomically
from leadwise.contract import SUPERCLASSES, TEST_FOLD, LeadwiseError
from leadwise.data.store import Store
from leadwise.evaluation.bootstrap import Interval, bootstrap_intervals, patient_weights
from leadwise.evaluation.calibration import Decision, apply_temperature
from leadwise.evaluation.metrics import all_metrics, brier, calibration_error, undefined_metrics

METRICS_FILE = "metrics.json"
DECISION_FILE = "decision.json"
PREDICTIONS_FILE = "predictions.parquet"
FIGURES_FOLDER = "figures"

HEADLINE = ("macro_auroc", "macro_auprc", "binary_accuracy", "macro_f1", "exact_match")
"""Metrics whose intervals are logged to the tracking server; ``metrics.json`` holds all intervals."""


class EvaluationError(LeadwiseError):
    """There is nothing to evaluate; the message says what is missing."""


class Trained(Protocol):
    """What ``leadwise.training.prediction.TrainedModel`` offers to an evaluation."""

    @property
    def name(self) -> str: ...

    @property
    def training(self) -> dict[str, Any]: ...

    def predict(self, store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Evaluation:
    """What is known about one model after its evaluation.

    Attributes:
        training: the model's ``training.json``.
        decision: temperature and thresholds, chosen on fold 9.
        metrics: by their names in the tracking UI: ``test/macro_auroc``, ``test/labelled/...``, ``val/...``; NaN where
            undefined.
        intervals: 95 % intervals of the ``test/`` metrics.
        undefined: why a metric is NaN.
        rows: records and patients behind the figures.
        bootstrap: replicates behind the intervals.
        seed: seed of the bootstrap.
        predictions: one row per record of folds 9 and 10: ``ecg_id``, ``patient_id``, ``strat_fold``, ``p_*``
            calibrated, ``raw_*`` as the network gave them, ``y_*``.
    """

    training: Mapping[str, Any]
    decision: Decision
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    undefined: Mapping[str, str]
    rows: Mapping[str, int]
    bootstrap: int
    seed: int
    predictions: pd.DataFrame

    def logged_metrics(self) -> dict[str, float]:
        """Defined metrics by name, and the intervals of ``HEADLINE`` as ``..._low`` and ``..._high``."""
        bounds = {
            f"{name}_{side}": getattr(interval, side)
            for name, interval in self.intervals.items()
            if name.removeprefix("test/").removeprefix("labelled/") in HEADLINE
            for side in ("low", "high")
        }
        found = {**self.metrics, **bounds, "decision/temperature": self.decision.temperature}
        found |= {f"decision/threshold/{name}": value for name, value in self.decision.thresholds.items()}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def to_dict(self, run_id: str | None = None) -> dict[str, Any]:
        """The content of ``metrics.json``; what is undefined is ``null`` there, with its reason under ``undefined``."""
        return {
            "model": self.training["model"],
            "feature_set": self.training["feature_set"],
            "digest": self.training["digest"],
            "simulated": self.training["simulated"],
            "run_id": run_id,
            "trained_by": self.training.get("run_id"),
            "count_params": self.training["count_params"],
            "seconds": self.training["seconds"],
            "epochs": self.training["epochs"],
            "best_epoch": self.training["best_epoch"],
            "rows": dict(self.rows),
            "bootstrap": {"replicates": self.bootstrap, "seed": self.seed, "unit": "patient", "level": 0.95},
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "intervals": {name: [_finite(i.low), _finite(i.high)] for name, i in self.intervals.items()},
            "undefined": dict(self.undefined),
        }

    def write(self, folder: Path, run_id: str | None = None) -> None:
        """Write metrics, decision, predictions and figures; the folder is whole or as it was.

        Args:
            folder: where; replaced if it is there.
            run_id: the tracked run that made this evaluation.
        """
        with folder_written_atomically(folder) as beside:
            _write_json(beside / METRICS_FILE, self.to_dict(run_id))
            _write_json(beside / DECISION_FILE, self.decision.to_dict())
            self.predictions.to_parquet(beside / PREDICTIONS_FILE, index=False)
            self._write_figures(beside / FIGURES_FOLDER)

    def _write_figures(self, folder: Path) -> None:
        from leadwise.evaluation.curve_figures import confusion_figure, pr_figure, reliability_figure, roc_figure

        folder.mkdir()
        test = self.predictions[self.predictions["strat_fold"] == TEST_FOLD]
        y, p, raw = (test[[f"{prefix}_{name}" for name in SUPERCLASSES]].to_numpy() for prefix in ("y", "p", "raw"))
        thresholds = [self.decision.thresholds[name] for name in SUPERCLASSES]
        where = f"{self.training['model']}, fold {TEST_FOLD}" + (
            ", simulated data" if self.training["simulated"] else ""
        )
        figures = {
            "roc_curves": roc_figure(y, p, title=f"ROC curves: {where}"),
            "pr_curves": pr_figure(y, p, title=f"Precision-recall curves: {where}"),
            "reliability": reliability_figure(y, raw, p, title=f"Reliability: {where}"),
            "confusion_at_0.5": confusion_figure(y, p, title=f"Confusion matrices at 0.5: {where}"),
            "confusion_at_chosen": confusion_figure(
                y, p, thresholds, title=f"Confusion matrices at the thresholds of best F1 on fold 9: {where}"
            ),
        }
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png")


def evaluate_model(trained: Trained, store: Store, *, bootstrap: int, seed: int) -> Evaluation:
    """Calibrate and choose thresholds on fold 9, report on fold 10.

    Fold 10 is reported on all rows, unlabelled ones counting as negative for every class, and under ``labelled/`` on
    those that have a superclass (both protocols are in use).

    Args:
        trained: the model.
        store: the data that it was trained on.
        bootstrap: patient-level replicates behind the intervals.
        seed: seed of the bootstrap.

    Raises:
        EvaluationError: fold 9 or 10 has no records.
        TrainedModelError: the store is not the one that the model was trained on.
    """
    validation, test = store.rows("validation"), store.rows("test")
    for fold, rows in (("9", validation), ("10", test)):
        if len(rows) == 0:
            raise EvaluationError(f"fold {fold}: received no records; evaluation needs folds 9 and 10")
    labels, patients = store.labels(), store.records["patient_id"].to_numpy()
    raw = {"val": trained.predict(store, validation), "test": trained.predict(store, test)}
    decision = Decision.choose(labels[validation], raw["val"])
    calibrated = {split: apply_temperature(p, decision.temperature) for split, p in raw.items()}

    fold_9 = _Part("val/", labels[validation], raw["val"], calibrated["val"])
    fold_10 = _Part("test/", labels[test], raw["test"], calibrated["test"])
    labelled = labels[test].any(axis=1)
    reported = {"test": (fold_10, np.ones(len(test), dtype=bool))}
    if labelled.any():
        reported["labelled"] = (fold_10.only(labelled, "test/labelled/"), labelled)

    metrics = fold_9.metrics()
    undefined = fold_9.undefined()
    intervals: dict[str, Interval] = {}
    thresholds = [decision.thresholds[name] for name in SUPERCLASSES]
    weights = patient_weights(patients[test], bootstrap, seed)
    for part, kept in reported.values():
        metrics |= part.metrics(thresholds)
        undefined |= part.undefined()
        intervals |= part.intervals(thresholds, weights[:, kept])

    return Evaluation(
        training=trained.training,
        decision=decision,
        metrics=metrics,
        intervals=intervals,
        undefined=undefined,
        rows={
            "val": len(validation),
            "test": len(test),
            "test_labelled": int(labelled.sum()),
            "test_patients": len(np.unique(patients[test])),
        },
        bootstrap=bootstrap,
        seed=seed,
        predictions=pd.concat(
            [_predictions(store, validation, fold_9), _predictions(store, test, fold_10)], ignore_index=True
        ),
    )


@dataclass(frozen=True)
class _Part:
    """Rows that are reported together: ``(record, 5)`` labels and probabilities, under one prefix."""

    prefix: str
    labels: NDArray[np.float32]
    raw: NDArray[np.float32]
    calibrated: NDArray[np.float64]

    def only(self, kept: NDArray[np.bool_], prefix: str) -> "_Part":
        return _Part(prefix, self.labels[kept], self.raw[kept], self.calibrated[kept])

    def metrics(self, thresholds: list[float] | None = None) -> dict[str, float]:
        """All metrics of calibrated probabilities, and the two that calibration changes for the raw ones."""
        found = all_metrics(self.labels, self.calibrated, thresholds=thresholds)
        found["raw/brier"] = brier(self.labels, self.raw).mean()
        found["raw/ece"] = calibration_error(self.labels, self.raw).mean()
        return {self.prefix + name: float(value) for name, value in found.items()}

    def undefined(self) -> dict[str, str]:
        return {self.prefix + name: reason for name, reason in undefined_metrics(self.labels).items()}

    def intervals(self, thresholds: list[float], weights: NDArray[np.int16]) -> dict[str, Interval]:
        compute = partial(all_metrics, self.labels, self.calibrated, thresholds=thresholds)
        return {self.prefix + name: found for name, found in bootstrap_intervals(compute, weights).items()}


def _predictions(store: Store, rows: NDArray[np.int64], part: _Part) -> pd.DataFrame:
    table = store.records.iloc[rows][["ecg_id", "patient_id", "strat_fold"]].reset_index(drop=True)
    for prefix, values in (("p", part.calibrated), ("raw", part.raw), ("y", part.labels)):
        table[[f"{prefix}_{name}" for name in SUPERCLASSES]] = values.astype(np.float32)
    return table


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    write_atomically(file, json.dumps(content, indent=2, allow_nan=False) + "\n")
