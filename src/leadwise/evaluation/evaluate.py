"""One model on folds 9 and 10: what is selected on fold 9, what is reported on fold 10, and the files that hold it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import MICROVOLTS_PER_UNIT, SUPERCLASSES, TEST_FOLD, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.datasets.tables import statement_labels
from leadwise.evaluation import (
    CALIBRATION_FILE,
    DECISION_FILE,
    METRICS_FILE,
    POLICIES_FILE,
    PREDICTIONS_FILE,
    ROBUSTNESS_FILE,
    STATEMENTS_FILE,
    SUBGROUPS_FILE,
    write_json,
)
from leadwise.evaluation.bootstrap import Estimate, estimates, patient_weights, values_and_intervals, with_bounds
from leadwise.evaluation.calibration import ChosenCalibration, choose_calibration
from leadwise.evaluation.decisions import Decision, policy_metrics
from leadwise.evaluation.metrics import all_metrics, headline_names, metric_estimates, metric_names, undefined_metrics
from leadwise.evaluation.robustness import Robustness, robustness_curves
from leadwise.evaluation.statements import StatementResults, evaluate_statements
from leadwise.evaluation.subgroups import (
    FEWEST_CASES,
    FEWEST_RECORDS,
    SubgroupResult,
    evaluate_subgroups,
    find_subgroups,
    signal_quality,
)

if TYPE_CHECKING:
    from leadwise.training.prediction import TrainedModel

_LEFT_OUT = tuple(
    re.compile(pattern)
    for pattern in (
        # Every policy is in policies.json; charts get what the target costs, and one number for "uncertain".
        r"test/decision/(?!target_sensitivity/(sensitivity|specificity|ppv|npv)/)(?!\w+/aurc/record).*",
        r"test/subgroup/.*/records",
        r"val/statements/.*",
        r"test/statements/(entering|auprc)/.*",
    )
)
"""What the tracking UI does not get, beside metrics that say so themselves."""


@dataclass(frozen=True)
class Evaluation:
    """What is known about one model after its evaluation.

    Attributes:
        training: the model's ``training.json``.
        manifest: of the store that it was evaluated on.
        decision: calibration, thresholds and bands of "uncertain", chosen on fold 9.
        calibration: why this calibration.
        metrics: by their names in the tracking UI: ``test/macro_auroc``, ``test/labelled/...``, and without replicates
            ``val/...``; NaN where undefined.
        undefined: why a metric is NaN.
        policies: what every policy of the decision comes to on fold 10: ``test/decision/best_f1/ppv/MI``, ...
        subgroups: parts of fold 10.
        statements: the 71 statements; ``None`` where the network does not answer them.
        robustness: fold 10 corrupted; ``None`` where it was not asked for.
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
    metrics: Mapping[str, Estimate]
    undefined: Mapping[str, str]
    policies: Mapping[str, Estimate]
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
        known, found = metric_names(), dict[str, float]()
        for name, one in self.metrics.items():
            rows = next(start for start in ("test/labelled/", "test/", "val/") if name.startswith(start))
            if known[name.removeprefix(rows)].is_logged(rows):
                found[name] = one.value
        found |= with_bounds(
            self.metrics, [rows + name for rows in ("test/", "test/labelled/") for name in headline_names()]
        )
        found["decision/temperature"] = self.calibration.temperature
        found |= {f"decision/threshold/{name}": value for name, value in self.decision.used.thresholds.items()}
        found |= {name: estimate.value for name, estimate in self.policies.items()}
        for group in self.subgroups:
            found |= group.metrics()
        if self.statements:
            found |= self.statements.metrics()
        if self.robustness:
            found |= self.robustness.metrics()
        return {
            name: float(value)
            for name, value in found.items()
            if math.isfinite(value) and not any(pattern.fullmatch(name) for pattern in _LEFT_OUT)
        }

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
            **values_and_intervals(self.metrics),
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
        rules = {name: policy.rule for name, policy in self.decision.policies.items()}
        policies = {"policy": self.decision.policy, "rules": rules, **values_and_intervals(self.policies)}
        write_json(folder / POLICIES_FILE, policies)
        groups = [group.to_dict() for group in self.subgroups]
        limits = {"fewest_records": FEWEST_RECORDS, "fewest_cases": FEWEST_CASES}
        write_json(folder / SUBGROUPS_FILE, limits | {"subgroups": groups})
        if self.statements:
            write_json(folder / STATEMENTS_FILE, self.statements.to_dict())
        if self.robustness:
            write_json(folder / ROBUSTNESS_FILE, self.robustness.to_dict())
        self.predictions.to_parquet(folder / PREDICTIONS_FILE, index=False)


def evaluate_model(
    trained: "TrainedModel", store: Store, *, bootstrap: int, seed: int, robustness: int = 0
) -> Evaluation:
    """Calibrate and choose thresholds on fold 9, report on fold 10.

    Fold 10 is reported on all rows, unlabelled ones counting as negative for every class, and under ``labelled/`` on
    those that have a superclass (both protocols are in use).

    Args:
        trained: the model.
        store: the data that it was trained on.
        bootstrap: patient-level replicates behind the intervals.
        seed: seed of the bootstrap, of cross-validation and of corruptions.
        robustness: records of fold 10 that are corrupted in every way; 0: none. They cost about 35 predictions each.

    Raises:
        LeadwiseError: fold 9 or 10 has no records; the store is not the one that the model was trained on.
    """
    rows = _rows(store)
    labels, patients = store.labels(), store.records["patient_id"].to_numpy()
    answers = {split: trained.answers(store, of) for split, of in rows.items()}
    raw = {split: answer["superclasses"] for split, answer in answers.items()}
    chosen = choose_calibration(labels[rows["val"]], raw["val"], patients[rows["val"]], seed=seed)
    decision = Decision.choose(labels[rows["val"]], raw["val"], calibration=chosen.calibration)
    calibrated = {split: chosen.calibration.apply(values) for split, values in raw.items()}
    weights = patient_weights(patients[rows["test"]], bootstrap, seed)
    metrics: dict[str, Estimate] = {}
    undefined: dict[str, str] = {}

    def report(prefix: str, split: str, kept: NDArray[np.bool_], thresholds: NDArray[np.float64] | None) -> None:
        """Every metric of some rows, and why one is undefined."""
        y, drawn = labels[rows[split]][kept], weights[:, kept] if split == "test" else None
        compute = partial(all_metrics, y, calibrated[split][kept], thresholds=thresholds, raw=raw[split][kept])
        found = metric_estimates(compute, drawn)
        metrics.update({prefix + name: figure for name, figure in found.items()})
        undefined.update({prefix + name: reason for name, reason in undefined_metrics(y, found).items()})

    report("val/", "val", np.ones(len(rows["val"]), dtype=bool), None)
    labelled = np.asarray(labels[rows["test"]].any(axis=1))
    for prefix, kept in (("test/", np.ones_like(labelled)), ("test/labelled/", labelled)):
        if kept.any():
            report(prefix, "test", kept, decision.used.limits())
    truth = labels[rows["test"]]
    policies = estimates(partial(policy_metrics, truth, calibrated["test"], decision=decision), weights)
    return Evaluation(
        training=trained.training,
        manifest=store.manifest,
        decision=decision,
        calibration=chosen,
        metrics=metrics,
        undefined=undefined,
        policies={f"test/{name}": estimate for name, estimate in policies.items()},
        subgroups=_subgroups(store, rows["test"], truth, calibrated["test"], weights),
        statements=_statements(store, rows, answers, weights, seed),
        robustness=_robustness(trained, store, rows["test"], weights, seed, robustness) if robustness else None,
        rows={
            "val": len(rows["val"]),
            "test": len(rows["test"]),
            "test_labelled": int(labelled.sum()),
            "test_patients": len(np.unique(patients[rows["test"]])),
            "test_positives": {name: int(count) for name, count in zip(SUPERCLASSES, truth.sum(axis=0), strict=True)},
        },
        bootstrap=bootstrap,
        seed=seed,
        predictions=pd.concat(
            [_predictions(store, of, calibrated[split], raw[split], labels[of]) for split, of in rows.items()],
            ignore_index=True,
        ),
    )


def _rows(store: Store) -> dict[str, NDArray[np.int64]]:
    rows = {"val": store.rows("validation"), "test": store.rows("test")}
    for fold, of in (("9", rows["val"]), ("10", rows["test"])):
        if len(of) == 0:
            raise LeadwiseError(f"fold {fold}: received no records; evaluation needs folds 9 and 10")
    return rows


def _subgroups(
    store: Store,
    rows: NDArray[np.int64],
    labels: NDArray[np.float32],
    calibrated: NDArray[np.float64],
    weights: NDArray[np.int16],
) -> list[SubgroupResult]:
    records = store.records.iloc[rows]
    groups = find_subgroups(records, signal_quality(store.folder, records["ecg_id"].tolist()))
    return evaluate_subgroups(groups, labels, calibrated, records["patient_id"].to_numpy(), weights)


def _statements(
    store: Store,
    rows: dict[str, NDArray[np.int64]],
    answers: dict[str, dict[str, NDArray[np.float32]]],
    weights: NDArray[np.int16],
    seed: int,
) -> StatementResults | None:
    """The 71 statements, if the network answers them."""
    if "statements" not in answers["test"]:
        return None
    labels = statement_labels(store.scp_codes(np.arange(len(store.records))))
    return evaluate_statements(
        labels[rows["val"]],
        answers["val"]["statements"],
        labels[rows["test"]],
        answers["test"]["statements"],
        train_positives=labels[store.rows("train")].sum(axis=0),
        weights=weights,
        patients_val=store.records["patient_id"].to_numpy()[rows["val"]],
        seed=seed,
    )


def _robustness(
    trained: "TrainedModel", store: Store, rows: NDArray[np.int64], weights: NDArray[np.int16], seed: int, records: int
) -> Robustness:
    """Corrupted recordings of fold 10. They are read record by record: the store stays on disk."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:records])
    signal_mv = store.signals[rows[chosen]].astype(np.float32) * np.float32(MICROVOLTS_PER_UNIT / 1000)
    return robustness_curves(
        lambda signal, patients: trained.answers_of(signal, patients)["superclasses"],
        signal_mv,
        store.patients().iloc[rows[chosen]],
        store.labels()[rows[chosen]],
        seed=seed,
        weights=weights[:, chosen],
    )


def _predictions(
    store: Store,
    rows: NDArray[np.int64],
    calibrated: NDArray[np.float64],
    raw: NDArray[np.float32],
    labels: NDArray[np.float32],
) -> pd.DataFrame:
    table = store.records.iloc[rows][["ecg_id", "patient_id", "strat_fold"]].reset_index(drop=True)
    for prefix, values in (("p", calibrated), ("raw", raw), ("y", labels)):
        table[[f"{prefix}_{name}" for name in SUPERCLASSES]] = values.astype(np.float32)
    return table
