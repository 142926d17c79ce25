"""The 71 SCP-ECG statements: how good each is on fold 10, and which are told to a user.

The macro AUROC over the statements that have a positive is the field's measure: Strodthoff et al. 2021 (IEEE J Biomed
Health Inform 25:1519) and the work after it publish 0.925 to 0.942 for all 71 on fold 10. Few of the statements carry a
reliable figure of their own, so fold 9 decides which are told.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import STATEMENTS, VALIDATION_FOLD
from leadwise.datasets.releases import GROUPS, STATEMENT_TABLE, Statement
from leadwise.decision import Calibration, Method
from leadwise.evaluation.bootstrap import Estimate, estimates, finite, patient_weights
from leadwise.evaluation.calibration import choose_method, fit, patient_parts
from leadwise.evaluation.decisions import best_f1
from leadwise.evaluation.metrics import Floats, MetricInput, validate

ANSWERED_ELSEWHERE: Mapping[str, str] = {"NORM": "the same as the superclass NORM, which is always answered"}


RULE: Mapping[str, float] = {
    # Fewer in the training folds cannot be learnt from.
    "train_positives": 50,
    # From fewer in fold 9 neither a threshold nor an interval can be had: a bootstrap of two positives knows nothing of
    # what a third would look like.
    "validation_positives": 5,
    # Floor of the lower bound of the 95 % interval of the AUROC; from 0.8 on discrimination is called excellent
    # (Hosmer, Lemeshow and Sturdivant 2013, section 5.2.4).
    "auroc_low": 0.8,
    # Of the records in which the statement is reported, the share that must have it, at thresholds chosen on other
    # patients: one in three. A rare statement may rank records well and still be wrong nine times of ten.
    "precision": 0.33,
}
"""When a statement is told to a user. Everything is measured on fold 9, none of it on fold 10.

Tried on halves of fold 9 of PTB-XL 1.0.3, with two residual networks, ten times each: of the statements that one half
trusts (24 on average; 25 with all of fold 9) 85 % have a precision of at least a third on the other half, 92 % of at
least a quarter. Those that fall short are mostly rare: digitalis effect, atrial flutter, T-wave changes.
"""


@dataclass(frozen=True)
class StatementChoice:
    """What fold 9 decided.

    Attributes:
        silent: code -> why it is not told; the others are trusted.
        calibration: of the trusted statements, in the order of ``STATEMENTS``.
        log_losses: cross-validated log loss of each method of calibration.
        thresholds: trusted code -> calibrated probability at and above which it is reported.
        precision: code -> of the records of fold 9 in which it would be reported, the share that has it, with
            calibration and threshold from other patients; only of statements with enough positives and AUROC.
        sensitivity: code -> of the records that have it, the share in which it would be reported, likewise.
    """

    silent: Mapping[str, str]
    calibration: Calibration
    log_losses: Mapping[Method, float]
    thresholds: Mapping[str, float]
    precision: Mapping[str, float]
    sensitivity: Mapping[str, float]


def choose(
    labels: Floats,
    probabilities: Floats,
    patients: ArrayLike,
    validation: Mapping[str, Estimate],
    train_positives: Sequence[int],
) -> StatementChoice:
    """Apply ``RULE``; calibrate the trusted statements and choose the threshold of best F1 of each.

    Args:
        labels: ``(record, 71)`` of 0 and 1 on fold 9.
        probabilities: same shape, as the network gave them.
        patients: ``(record,)``.
        validation: ``auroc/CODE`` of each statement on fold 9.
        train_positives: ``(71,)`` of the training folds.
    """
    silent: dict[str, str] = {}
    for code, learnt, positives in zip(STATEMENTS, train_positives, labels.sum(axis=0).astype(int), strict=True):
        if reason := _too_little_known(code, learnt, int(positives), validation[f"auroc/{code}"].interval.low):
            silent[code] = reason
    kept = [k for k, code in enumerate(STATEMENTS) if code not in silent]
    codes = [STATEMENTS[k] for k in kept]
    y, p = labels[:, kept], probabilities[:, kept]
    method, log_losses = choose_method(y, p, patients)
    precision, sensitivity = _precision_and_sensitivity(y, _reported_elsewhere(method, y, p, patients))
    for code, share in zip(codes, precision, strict=True):
        if not share >= RULE["precision"]:
            silent[code] = (
                f"of the records of fold {VALIDATION_FOLD} in which it would be reported, "
                f"{f'{np.floor(100 * share):.0f} %' if share > 0 else 'none'} have it; at least "
                f"{100 * RULE['precision']:.0f} % are needed"
            )
    fitted = fit(method, y, p, codes, prior=True)
    calibrated = fitted.apply(p)
    trusted = [k for k, code in enumerate(codes) if code not in silent]
    return StatementChoice(
        silent=silent,
        calibration=Calibration(
            method,
            tuple(fitted.slope[k] for k in trusted),
            tuple(fitted.intercept[k] for k in trusted),
            tuple(codes[k] for k in trusted),
        ),
        log_losses=log_losses,
        thresholds={codes[k]: best_f1(y[:, k], calibrated[:, k]) for k in trusted},
        precision=dict(zip(codes, precision.tolist(), strict=True)),
        sensitivity=dict(zip(codes, sensitivity.tolist(), strict=True)),
    )


def _too_little_known(code: str, train: int, validation: int, auroc_low: float) -> str:
    """Why a statement is silent before any threshold is tried; empty if it is not."""
    if code in ANSWERED_ELSEWHERE:
        return ANSWERED_ELSEWHERE[code]
    for records, needed, where in (
        (train, RULE["train_positives"], "the training folds"),
        (validation, RULE["validation_positives"], f"fold {VALIDATION_FOLD}"),
    ):
        if records < needed:
            having = "record" if records == 1 else "records"
            return f"{records} {having} of {where} with it; at least {needed} are needed"
    if not auroc_low >= RULE["auroc_low"]:
        # Rounded down, so that what is below the floor never reads as the floor.
        known = f"its AUROC on fold {VALIDATION_FOLD} may be as low as {np.floor(100 * auroc_low) / 100:.2f}"
        return f"{known}; at least {RULE['auroc_low']:.2f} is needed"
    return ""


def _reported_elsewhere(
    method: Method, labels: Floats, probabilities: Floats, patients: ArrayLike
) -> NDArray[np.bool_]:
    """What would be reported in each record with calibration and thresholds from other patients."""
    reported = np.zeros(labels.shape, dtype=bool)
    for chosen_on, judged in patient_parts(patients):
        calibration = fit(method, labels[chosen_on], probabilities[chosen_on], prior=True)
        calibrated = calibration.apply(probabilities[chosen_on])
        limits = [best_f1(labels[chosen_on, k], calibrated[:, k]) for k in range(labels.shape[1])]
        reported[judged] = calibration.apply(probabilities[judged]) >= limits
    return reported


def _precision_and_sensitivity(labels: Floats, reported: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of what is reported the share that is right, of what is there the share that is reported; NaN of nothing."""
    if not labels.size:
        return np.empty(0), np.empty(0)
    rates = MetricInput(labels, reported).rates
    return rates["ppv"], rates["sensitivity"]


@dataclass(frozen=True)
class StatementResults:
    """What is known about the statements of one model.

    Attributes:
        validation: ``macro_auroc``, ``macro_auprc``, ``macro_auroc/rhythm``, ..., ``auroc/AFIB``, ``auprc/AFIB``, ...
            on fold 9.
        test: the same on fold 10.
        positives: ``train``, ``validation``, ``test`` -> ``(71,)`` records that have each statement.
        entering: how many statements have a positive in fold 10 and so enter each average there: ``all``, ``rhythm``.
        choice: what fold 9 decided: which are told, calibration, thresholds.
        decisions: trusted code -> ``precision`` and ``sensitivity`` of what is reported on fold 10; NaN of nothing.
    """

    validation: Mapping[str, Estimate]
    test: Mapping[str, Estimate]
    positives: Mapping[str, Sequence[int]]
    entering: Mapping[str, int]
    choice: StatementChoice
    decisions: Mapping[str, Mapping[str, float]]

    @property
    def trusted(self) -> tuple[str, ...]:
        """Codes of the statements that are told, in the order of ``STATEMENTS``."""
        return self.choice.calibration.classes

    @property
    def silent(self) -> Mapping[str, str]:
        """Code -> why the statement is not told."""
        return self.choice.silent

    def metrics(self) -> dict[str, float]:
        """Defined figures by their names in the tracking UI: ``test/statements/auroc/AFIB``; of fold 9 the averages."""
        found = {"test/statements/trusted": float(len(self.trusted))}
        macro = {name: figure for name, figure in self.validation.items() if name.startswith("macro")}
        for start, figures in (("val", macro), ("test", self.test)):
            found |= {f"{start}/statements/{metric_name(name)}": figure.value for name, figure in figures.items()}
        found |= {f"test/statements/entering/{name}": float(count) for name, count in self.entering.items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """The content of ``statements.json``; what is undefined is ``null``."""
        macro = {"all": "macro_auroc"} | {group: f"macro_auroc/{group}" for group in GROUPS}
        return {
            "rule": dict(RULE),
            "macro_auroc": {
                group: {"statements": self.entering[group], **_with_interval(self.test[name])}
                for group, name in macro.items()
            },
            "calibration": {
                "method": self.choice.calibration.method,
                "cross_validated_log_loss": dict(self.choice.log_losses),
            },
            "statements": [self._entry(k, statement) for k, statement in enumerate(STATEMENT_TABLE)],
        }

    def _entry(self, k: int, statement: Statement) -> dict[str, Any]:
        """One statement, as the served model holds it as well."""
        code, choice = statement.code, self.choice
        entry: dict[str, Any] = {
            "code": code,
            "name": statement.name,
            "group": statement.group,
            "trusted": code not in self.silent,
            "reason": self.silent.get(code),
            "positives": {fold: counts[k] for fold, counts in self.positives.items()},
            "validation": {
                "auroc": _with_interval(self.validation[f"auroc/{code}"]),
                "precision": finite(choice.precision.get(code, np.nan)),
                "sensitivity": finite(choice.sensitivity.get(code, np.nan)),
            },
            "test": {
                **{name: _with_interval(self.test[f"{name}/{code}"]) for name in ("auroc", "auprc")},
                **{name: finite(value) for name, value in self.decisions.get(code, {}).items()},
            },
        }
        if code not in self.silent:
            at = self.trusted.index(code)
            entry["slope"], entry["intercept"] = choice.calibration.slope[at], choice.calibration.intercept[at]
            entry["threshold"] = choice.thresholds[code]
        return entry


def evaluate_statements(
    labels_val: ArrayLike,
    p_val: ArrayLike,
    labels_test: ArrayLike,
    p_test: ArrayLike,
    *,
    train_positives: ArrayLike,
    weights: NDArray[np.int16],
    patients_val: ArrayLike,
    seed: int = 0,
) -> StatementResults:
    """Decide on fold 9 which statements are told, and report all of them on fold 10.

    Args:
        labels_val: ``(record, 71)`` of 0 and 1 of fold 9, statements in the order of ``STATEMENTS``.
        p_val: same shape, as the network gave them.
        labels_test: the same of fold 10.
        p_test: same shape.
        train_positives: ``(71,)`` records of the training folds that have each statement.
        weights: ``(replicate, record)`` of fold 10, from ``patient_weights``.
        patients_val: ``(record,)`` of fold 9.
        seed: of the bootstrap of fold 9.

    Raises:
        LeadwiseError: labels and probabilities cannot be compared.
    """
    y_val, q_val, _ = validate(labels_val, p_val)
    y_test, q_test, _ = validate(labels_test, p_test)
    learnt = np.asarray(train_positives, dtype=np.int64)
    validation = estimates(partial(_by_name, y_val, q_val), patient_weights(patients_val, len(weights), seed))
    choice = choose(y_val, q_val, patients_val, validation, learnt.tolist())
    counts = {"train": learnt, "validation": y_val.sum(axis=0), "test": y_test.sum(axis=0)}
    entering = _entering(y_test)
    return StatementResults(
        validation=validation,
        test=estimates(partial(_by_name, y_test, q_test), weights),
        positives={fold: positives.astype(int).tolist() for fold, positives in counts.items()},
        entering={"all": int(entering.sum())} | {group: int(entering[of].sum()) for group, of in _MEMBERS.items()},
        choice=choice,
        decisions=_decisions(choice, y_test, q_test),
    )


def metric_name(name: str) -> str:
    """A name that tracking servers take: they allow no brackets, and read a slash in ``LAO/LAE`` as a group."""
    metric, slash, code = name.partition("/")
    return metric + slash + re.sub(r"[^\w]+", "-", code).strip("-")


_MEMBERS = {group: [k for k, statement in enumerate(STATEMENT_TABLE) if group in statement.groups] for group in GROUPS}


def _entering(labels: Floats) -> NDArray[np.bool_]:
    positives = labels.sum(axis=0)
    return np.asarray((positives > 0) & (positives < len(labels)))


def _by_name(labels: Floats, probabilities: Floats, weights: NDArray[Any] | None) -> dict[str, Floats]:
    """Every figure by its name, each ``()`` or ``(replicate,)``.

    A replicate that has lost all positives of a statement leaves it out of the macro averages.
    """
    entering = _entering(labels)
    shape = () if weights is None else (len(weights),)
    areas, precisions = (np.full((*shape, len(STATEMENTS)), np.nan) for _ in range(2))
    if entering.any():
        rows = MetricInput(labels[:, entering], probabilities[:, entering], weights=weights)
        areas[..., entering], precisions[..., entering] = rows.ranking
    found = {"macro_auroc": _mean(areas), "macro_auprc": _mean(precisions)}
    found |= {f"macro_auroc/{group}": _mean(areas[..., members]) for group, members in _MEMBERS.items()}
    for k, code in enumerate(STATEMENTS):
        found[f"auroc/{code}"], found[f"auprc/{code}"] = areas[..., k], precisions[..., k]
    return found


def _mean(values: Floats) -> Floats:
    """Over the statements that are defined; NaN where none is."""
    count = np.asarray(np.isfinite(values).sum(axis=-1))
    return np.divide(np.nansum(values, axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)


def _decisions(choice: StatementChoice, labels: Floats, probabilities: Floats) -> dict[str, dict[str, float]]:
    codes = choice.calibration.classes
    kept = [STATEMENTS.index(code) for code in codes]
    reported = choice.calibration.apply(probabilities[:, kept]) >= [choice.thresholds[code] for code in codes]
    rates = zip(*_precision_and_sensitivity(labels[:, kept], reported), strict=True)
    return {
        code: {"precision": float(precision), "sensitivity": float(sensitivity)}
        for code, (precision, sensitivity) in zip(codes, rates, strict=True)
    }


def _with_interval(figure: Estimate) -> dict[str, float | None]:
    low, high = figure.interval.bounds()
    return {"value": finite(figure.value), "low": low, "high": high}
