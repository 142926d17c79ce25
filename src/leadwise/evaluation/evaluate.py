"""One trained model on folds 9 and 10: what is selected on fold 9, what is reported on fold 10."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import MICROVOLTS_PER_UNIT, SUPERCLASSES
from leadwise.datasets.store import Store
from leadwise.datasets.tables import statement_labels
from leadwise.evaluation.bootstrap import Interval, bootstrap_replicates, centred, patient_weights, percentile_interval
from leadwise.evaluation.calibration import choose_calibration, log_loss
from leadwise.evaluation.decisions import Decision, policy_intervals, policy_metrics
from leadwise.evaluation.evaluation import Evaluation
from leadwise.evaluation.files import EvaluationError
from leadwise.evaluation.metrics import brier, calibration_error
from leadwise.evaluation.named_metrics import all_metrics, undefined_metrics
from leadwise.evaluation.robustness import Robustness, robustness_curves
from leadwise.evaluation.statements import StatementResults, evaluate_statements
from leadwise.evaluation.subgroups import SubgroupResult, evaluate_subgroups, find_subgroups, signal_quality


class Trained(Protocol):
    """What ``leadwise.training.prediction.TrainedModel`` offers to an evaluation."""

    @property
    def name(self) -> str: ...

    @property
    def training(self) -> dict[str, Any]: ...

    def answers(self, store: Store, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]: ...

    def answers_of(self, signal_mv: NDArray[np.float32], patients: pd.DataFrame) -> dict[str, NDArray[np.float32]]: ...


def evaluate_model(trained: Trained, store: Store, *, bootstrap: int, seed: int, robustness: int = 0) -> Evaluation:
    """Calibrate and choose thresholds on fold 9, report on fold 10.

    Fold 10 is reported on all rows, unlabelled ones counting as negative for every class, and under ``labelled/`` on
    those that have a superclass (both protocols are in use).

    Args:
        trained: the model.
        store: the data that it was trained on.
        bootstrap: patient-level replicates behind the intervals.
        seed: seed of the bootstrap, of cross-validation and of disturbances.
        robustness: records of fold 10 that are disturbed in every way; 0: none. They cost about 35 predictions each.

    Raises:
        EvaluationError: fold 9 or 10 has no records.
        TrainedModelError: the store is not the one that the model was trained on.
    """
    rows = _rows(store)
    labels, patients = store.labels(), store.records["patient_id"].to_numpy()
    answers = {split: trained.answers(store, of) for split, of in rows.items()}
    raw = {split: answer["superclasses"] for split, answer in answers.items()}
    chosen = choose_calibration(labels[rows["val"]], raw["val"], patients[rows["val"]], seed=seed)
    decision = Decision.choose(labels[rows["val"]], raw["val"], calibration=chosen.calibration)
    parts = {
        split: _Part(f"{split}/", labels[of], raw[split], chosen.calibration.apply(raw[split]))
        for split, of in rows.items()
    }
    weights = patient_weights(patients[rows["test"]], bootstrap, seed)
    reported = _report(parts["test"], decision, weights)
    policy_rows = parts["test"].labels, parts["test"].calibrated
    return Evaluation(
        training=trained.training,
        manifest=store.manifest,
        decision=decision,
        calibration=chosen,
        metrics=parts["val"].metrics() | reported.metrics,
        intervals=reported.intervals,
        undefined=parts["val"].undefined() | reported.undefined,
        policies={
            f"test/{name}": float(value) for name, value in policy_metrics(*policy_rows, decision=decision).items()
        },
        policy_intervals={
            f"test/{name}": interval
            for name, interval in policy_intervals(*policy_rows, weights, decision=decision).items()
        },
        subgroups=_subgroups(store, rows["test"], parts["test"], weights),
        statements=_statements(store, rows, answers, weights, seed),
        robustness=_robustness(trained, store, rows["test"], weights, seed, robustness) if robustness else None,
        rows={
            "val": len(rows["val"]),
            "test": len(rows["test"]),
            "test_labelled": int(labels[rows["test"]].any(axis=1).sum()),
            "test_patients": len(np.unique(patients[rows["test"]])),
            "test_positives": {
                name: int(count) for name, count in zip(SUPERCLASSES, labels[rows["test"]].sum(axis=0), strict=True)
            },
        },
        bootstrap=bootstrap,
        seed=seed,
        predictions=pd.concat([_predictions(store, rows[split], part) for split, part in parts.items()]).reset_index(
            drop=True
        ),
    )


def _rows(store: Store) -> dict[str, NDArray[np.int64]]:
    rows = {"val": store.rows("validation"), "test": store.rows("test")}
    for fold, of in (("9", rows["val"]), ("10", rows["test"])):
        if len(of) == 0:
            raise EvaluationError(f"fold {fold}: received no records; evaluation needs folds 9 and 10")
    return rows


@dataclass(frozen=True)
class _Part:
    """Rows that are reported together: ``(record, 5)`` labels and probabilities, under one prefix."""

    prefix: str
    labels: NDArray[np.float32]
    raw: NDArray[np.float32]
    calibrated: NDArray[np.float64]

    def only(self, kept: NDArray[np.bool_], prefix: str) -> "_Part":
        return _Part(prefix, self.labels[kept], self.raw[kept], self.calibrated[kept])

    def metrics(self, thresholds: NDArray[np.float64] | None = None) -> dict[str, float]:
        """All metrics of calibrated probabilities, and those that calibration changes for the raw ones."""
        found = all_metrics(self.labels, self.calibrated, thresholds=thresholds)
        found["log_loss"] = log_loss(self.labels, self.calibrated).mean()
        found |= _raw_metrics(self.labels, self.raw)
        return {self.prefix + name: float(value) for name, value in found.items()}

    def undefined(self, thresholds: NDArray[np.float64] | None = None) -> dict[str, str]:
        found = all_metrics(self.labels, self.calibrated, thresholds=thresholds)
        return {self.prefix + name: reason for name, reason in undefined_metrics(self.labels, found).items()}

    def intervals(self, thresholds: NDArray[np.float64], weights: NDArray[np.int16]) -> dict[str, Interval]:
        found: dict[str, Interval] = {}
        for compute in (
            partial(all_metrics, self.labels, self.calibrated, thresholds=thresholds),
            partial(_raw_metrics, self.labels, self.raw),
        ):
            values = compute()
            for name, drawn in bootstrap_replicates(compute, weights).items():
                shifted = centred(drawn, float(values[name])) if "ece" in name.split("/") else drawn
                found[self.prefix + name] = percentile_interval(shifted)
        return found


def _raw_metrics(
    labels: NDArray[np.float32], raw: NDArray[np.float32], weights: NDArray[np.int16] | None = None
) -> dict[str, NDArray[np.float64]]:
    found = {"raw/log_loss": log_loss(labels, raw).mean()} if weights is None else {}
    for name, measure in (("brier", brier), ("ece", calibration_error)):
        per_class = measure(labels, raw, weights)
        found[f"raw/{name}"] = per_class.mean(axis=-1)
        found |= {f"raw/{name}/{label}": per_class[..., k] for k, label in enumerate(SUPERCLASSES)}
    return found


@dataclass(frozen=True)
class _Reported:
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    undefined: dict[str, str]


def _report(test: _Part, decision: Decision, weights: NDArray[np.int16]) -> _Reported:
    """Figures of fold 10, on all rows and on the labelled ones."""
    labelled = np.asarray(test.labels.any(axis=1))
    thresholds = decision.limits()
    found = _Reported({}, {}, {})
    parts = [(test, np.ones(len(labelled), dtype=np.bool_))]
    if labelled.any():
        parts.append((test.only(labelled, "test/labelled/"), labelled))
    for part, kept in parts:
        found.metrics.update(part.metrics(thresholds))
        found.undefined.update(part.undefined(thresholds))
        found.intervals.update(part.intervals(thresholds, weights[:, kept]))
    return found


def _subgroups(store: Store, rows: NDArray[np.int64], test: _Part, weights: NDArray[np.int16]) -> list[SubgroupResult]:
    records = store.records.iloc[rows]
    groups = find_subgroups(records, signal_quality(store.folder, records["ecg_id"].tolist()))
    return evaluate_subgroups(groups, test.labels, test.calibrated, records["patient_id"].to_numpy(), weights)


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
    trained: Trained, store: Store, rows: NDArray[np.int64], weights: NDArray[np.int16], seed: int, records: int
) -> Robustness:
    """Disturbed recordings of fold 10. They are read record by record: the store stays on disk."""
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


def _predictions(store: Store, rows: NDArray[np.int64], part: _Part) -> pd.DataFrame:
    table = store.records.iloc[rows][["ecg_id", "patient_id", "strat_fold"]].reset_index(drop=True)
    for prefix, values in (("p", part.calibrated), ("raw", part.raw), ("y", part.labels)):
        table[[f"{prefix}_{name}" for name in SUPERCLASSES]] = values.astype(np.float32)
    return table
