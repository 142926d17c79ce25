"""The 71 SCP-ECG statements: how good each is on fold 10, and which are told to a user.

The macro AUROC over the statements that have a positive is the field's measure: Strodthoff et al. 2021 (IEEE J Biomed
Health Inform 25:1519) and the work after it publish 0.925 to 0.942 for all 71 on fold 10. Few of the statements carry a
reliable figure of their own, so ``leadwise.evaluation.statements`` decides on fold 9 which are told.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import Calibration, Method
from leadwise.contract import STATEMENTS, VALIDATION_FOLD, LeadwiseError
from leadwise.datasets.statements import GROUPS, STATEMENT_TABLE, Group, Statement
from leadwise.evaluation.bootstrap import Interval, bootstrap_intervals, patient_weights
from leadwise.evaluation.calibration import choose_method, fit_calibration, patient_parts
from leadwise.evaluation.files import finite
from leadwise.evaluation.metrics import ranking, validate
from leadwise.evaluation.thresholds import best_f1

Floats = NDArray[np.float64]

ANSWERED_ELSEWHERE: Mapping[str, str] = {"NORM": "the same as the superclass NORM, which is always answered"}


@dataclass(frozen=True)
class TrustRule:
    """When a statement is told to a user. Everything is measured on fold 9, none of it on fold 10.

    Tried on halves of fold 9 of PTB-XL 1.0.3, with two residual networks, ten times each: of the statements that one
    half trusts (24 on average; 25 with all of fold 9) 85 % have a precision of at least a third on the other half,
    92 % of at least a quarter. Those that fall short are mostly rare: digitalis effect, atrial flutter, T-wave changes.

    Attributes:
        train_positives: fewer in the training folds cannot be learnt from.
        validation_positives: from fewer in fold 9 neither a threshold nor an interval can be had: a bootstrap of two
            positives knows nothing of what a third would look like.
        auroc_low: floor of the lower bound of the 95 % interval of the AUROC; from 0.8 on discrimination is called
            excellent (Hosmer, Lemeshow and Sturdivant 2013, section 5.2.4).
        precision: of the records in which the statement is reported, the share that must have it, at thresholds chosen
            on other patients: one in three. A rare statement may rank records well and still be wrong nine times of
            ten; fewer than that one would rather not be told.
    """

    train_positives: int = 50
    validation_positives: int = 5
    auroc_low: float = 0.8
    precision: float = 0.33


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

    @property
    def trusted(self) -> tuple[str, ...]:
        """Codes in the order of ``STATEMENTS``."""
        return self.calibration.classes


def choose(
    labels: Floats,
    probabilities: Floats,
    patients: ArrayLike,
    intervals: Sequence[Interval],
    train_positives: Sequence[int],
    rule: TrustRule,
) -> StatementChoice:
    """Apply the rule; calibrate the trusted statements and choose the threshold of best F1 of each.

    Args:
        labels: ``(record, 71)`` of 0 and 1 on fold 9.
        probabilities: same shape, as the network gave them.
        patients: ``(record,)``.
        intervals: of the AUROC of each statement on fold 9.
        train_positives: ``(71,)`` of the training folds.
        rule: when a statement is told.
    """
    silent: dict[str, str] = {}
    for k, code in enumerate(STATEMENTS):
        positives = train_positives[k], int(labels[:, k].sum())
        if reason := _too_little_known(code, *positives, intervals[k].low, rule):
            silent[code] = reason
    kept = [k for k, code in enumerate(STATEMENTS) if code not in silent]
    codes = [STATEMENTS[k] for k in kept]
    y, p = labels[:, kept], probabilities[:, kept]
    method, log_losses = choose_method(y, p, patients, codes)
    precision, sensitivity = precision_and_sensitivity(y, _reported_elsewhere(method, y, p, patients, codes))
    silent |= {
        code: _mostly_wrong(share, rule)
        for code, share in zip(codes, precision, strict=True)
        if not share >= rule.precision
    }
    fitted = fit_calibration(method, y, p, codes)
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


def _too_little_known(code: str, train: int, validation: int, auroc_low: float, rule: TrustRule) -> str:
    """Why a statement is silent before any threshold is tried; empty if it is not."""
    if code in ANSWERED_ELSEWHERE:
        return ANSWERED_ELSEWHERE[code]
    for records, needed, where in (
        (train, rule.train_positives, "the training folds"),
        (validation, rule.validation_positives, f"fold {VALIDATION_FOLD}"),
    ):
        if records < needed:
            having = "record" if records == 1 else "records"
            return f"{records} {having} of {where} with it; at least {needed} are needed"
    if not auroc_low >= rule.auroc_low:
        known = f"its AUROC on fold {VALIDATION_FOLD} may be as low as {_down(auroc_low)}"
        return f"{known}; at least {rule.auroc_low:.2f} is needed"
    return ""


def _mostly_wrong(precision: float, rule: TrustRule) -> str:
    right = f"{np.floor(100 * precision):.0f} %" if precision > 0 else "none"
    return (
        f"of the records of fold {VALIDATION_FOLD} in which it would be reported, {right} have it; at least "
        f"{100 * rule.precision:.0f} % are needed"
    )


def _down(value: float) -> str:
    """Rounded down, so that what is below a floor never reads as the floor."""
    return f"{np.floor(100 * value) / 100:.2f}"


def _reported_elsewhere(
    method: Method, labels: Floats, probabilities: Floats, patients: ArrayLike, codes: Sequence[str]
) -> NDArray[np.bool_]:
    """What would be reported in each record with calibration and thresholds from other patients."""
    reported = np.zeros(labels.shape, dtype=bool)
    for chosen_on, judged in patient_parts(patients):
        calibration = fit_calibration(method, labels[chosen_on], probabilities[chosen_on], codes)
        calibrated = calibration.apply(probabilities[chosen_on])
        limits = [best_f1(labels[chosen_on, k], calibrated[:, k]) for k in range(len(codes))]
        reported[judged] = calibration.apply(probabilities[judged]) >= limits
    return reported


def precision_and_sensitivity(labels: Floats, reported: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of what is reported the share that is right, of what is there the share that is reported; NaN of nothing."""
    right = (reported * labels).sum(axis=0)
    shares = [
        np.divide(right, whole, out=np.full(right.shape, np.nan), where=whole > 0)
        for whole in (reported.sum(axis=0).astype(float), labels.sum(axis=0))
    ]
    return shares[0], shares[1]


REPLICATES = 1000
"""Replicates behind the intervals on fold 9 where the caller draws none for fold 10."""


class StatementError(LeadwiseError):
    """Statements cannot be evaluated; the message says what was received."""


@dataclass(frozen=True)
class StatementFigures:
    """How good the 71 statements are on one fold; NaN where undefined.

    Attributes:
        positives: ``(71,)`` records that have the statement.
        values: ``macro_auroc``, ``macro_auprc``, ``macro_auroc/rhythm``, ..., ``auroc/AFIB``, ``auprc/AFIB``, ...
        intervals: 95 % intervals of those, patients resampled; empty where none were asked for.
        entering: how many statements have a positive and so enter each ``macro_auroc...``.
    """

    positives: tuple[int, ...]
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    entering: Mapping[str, int]

    def interval(self, name: str) -> Interval:
        """Of one figure; unknown bounds where none were asked for."""
        return self.intervals.get(name, Interval(np.nan, np.nan, 0))


@dataclass(frozen=True)
class StatementResults:
    """What is known about the statements of one model.

    Attributes:
        validation: figures on fold 9.
        test: figures on fold 10.
        choice: what fold 9 decided: which are told, calibration, thresholds.
        rule: by which rule.
        train_positives: ``(71,)`` records of the training folds.
        decisions: trusted code -> ``precision`` and ``sensitivity`` of what is reported on fold 10; NaN of nothing.
    """

    validation: StatementFigures
    test: StatementFigures
    choice: StatementChoice
    rule: TrustRule
    train_positives: tuple[int, ...]
    decisions: Mapping[str, Mapping[str, float]]

    @property
    def trusted(self) -> tuple[str, ...]:
        """Codes of the statements that are told, in the order of ``STATEMENTS``."""
        return self.choice.trusted

    @property
    def silent(self) -> Mapping[str, str]:
        """Code -> why the statement is not told."""
        return self.choice.silent

    @property
    def intervals(self) -> dict[str, Interval]:
        """Intervals of ``metrics`` by the same names."""
        return {f"test/statements/{metric_name(name)}": interval for name, interval in self.test.intervals.items()}

    def metrics(self) -> dict[str, float]:
        """Defined figures by their names in the tracking UI: ``test/statements/auroc/AFIB``; of fold 9 the averages."""
        found = {"test/statements/trusted": float(len(self.trusted))}
        found |= {f"val/statements/{name}": v for name, v in self.validation.values.items() if name.startswith("macro")}
        found |= {f"test/statements/{metric_name(name)}": value for name, value in self.test.values.items()}
        found |= {f"test/statements/entering/{name}": float(count) for name, count in self.test.entering.items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """The content of ``statements.json``; what is undefined is ``null``."""
        return {
            "rule": asdict(self.rule),
            "macro_auroc": {
                name: {
                    "statements": self.test.entering[name],
                    **_with_interval(self.test, "macro_auroc" if name == "all" else f"macro_auroc/{name}"),
                }
                for name in ("all", *GROUPS)
            },
            "calibration": {
                "method": self.choice.calibration.method,
                "cross_validated_log_loss": dict(self.choice.log_losses),
            },
            "statements": [self._entry(k, statement) for k, statement in enumerate(STATEMENT_TABLE)],
        }

    def _entry(self, k: int, statement: Statement) -> dict[str, Any]:
        """One statement, as the served model holds it as well."""
        code = statement.code
        entry: dict[str, Any] = {
            "code": code,
            "name": statement.name,
            "group": statement.group,
            "trusted": code not in self.silent,
            "reason": self.silent.get(code),
            "positives": {
                "train": self.train_positives[k],
                "validation": self.validation.positives[k],
                "test": self.test.positives[k],
            },
            "validation": {
                "auroc": _with_interval(self.validation, f"auroc/{code}"),
                "precision": finite(self.choice.precision.get(code, np.nan)),
                "sensitivity": finite(self.choice.sensitivity.get(code, np.nan)),
            },
            "test": {
                "auroc": _with_interval(self.test, f"auroc/{code}"),
                "auprc": _with_interval(self.test, f"auprc/{code}"),
                **{name: finite(value) for name, value in self.decisions.get(code, {}).items()},
            },
        }
        if code not in self.silent:
            at = self.trusted.index(code)
            entry["slope"] = self.choice.calibration.slope[at]
            entry["intercept"] = self.choice.calibration.intercept[at]
            entry["threshold"] = self.choice.thresholds[code]
        return entry


def evaluate_statements(
    labels_val: ArrayLike,
    p_val: ArrayLike,
    labels_test: ArrayLike,
    p_test: ArrayLike,
    *,
    train_positives: ArrayLike,
    weights: NDArray[np.int16] | None = None,
    patients_val: ArrayLike | None = None,
    seed: int = 0,
    rule: TrustRule | None = None,
) -> StatementResults:
    """Decide on fold 9 which statements are told, and report all of them on fold 10.

    Args:
        labels_val: ``(record, 71)`` of 0 and 1 of fold 9, statements in the order of ``STATEMENTS``.
        p_val: same shape, as the network gave them.
        labels_test: the same of fold 10.
        p_test: same shape.
        train_positives: ``(71,)`` records of the training folds that have each statement.
        weights: ``(replicate, record)`` of fold 10, from ``patient_weights``; ``None``: no intervals there.
        patients_val: ``(record,)`` of fold 9; ``None``: every record counts as a patient of its own.
        seed: of the bootstrap of fold 9.
        rule: when a statement is told; ``None``: the default.

    Raises:
        StatementError: there are not 71 statements.
        MetricError: labels and probabilities cannot be compared.
    """
    y_val, q_val, _ = validate(labels_val, p_val)
    y_test, q_test, _ = validate(labels_test, p_test)
    learnt = np.asarray(train_positives, dtype=np.int64)
    for name, count in (("fold 9", y_val.shape[1]), ("fold 10", y_test.shape[1]), ("training folds", learnt.size)):
        if count != len(STATEMENTS):
            raise StatementError(f"{name}: received {count} statements; allowed: the {len(STATEMENTS)} of PTB-XL")
    asked = rule or TrustRule()
    patients = np.arange(len(y_val)) if patients_val is None else np.asarray(patients_val)
    replicates = REPLICATES if weights is None else len(weights)
    validation = _figures(y_val, q_val, patient_weights(patients, replicates, seed))
    intervals = [validation.interval(f"auroc/{code}") for code in STATEMENTS]
    choice = choose(y_val, q_val, patients, intervals, learnt.tolist(), asked)
    return StatementResults(
        validation=validation,
        test=_figures(y_test, q_test, weights),
        choice=choice,
        rule=asked,
        train_positives=tuple(learnt.tolist()),
        decisions=_decisions(choice, y_test, q_test),
    )


def metric_name(name: str) -> str:
    """A name that tracking servers take: they allow no brackets, and read a slash in ``LAO/LAE`` as a group."""
    metric, slash, code = name.partition("/")
    return metric + slash + re.sub(r"[^\w]+", "-", code).strip("-")


def _figures(labels: Floats, probabilities: Floats, weights: NDArray[np.int16] | None) -> StatementFigures:
    positives = labels.sum(axis=0).astype(int)
    entering = (positives > 0) & (positives < len(labels))
    compute = partial(_by_name, labels, probabilities, entering)
    return StatementFigures(
        positives=tuple(positives.tolist()),
        values={name: float(value[0]) for name, value in compute(np.ones((1, len(labels)))).items()},
        intervals={} if weights is None else bootstrap_intervals(compute, weights),
        entering={"all": int(entering.sum())} | {group: int(entering[_members(group)].sum()) for group in GROUPS},
    )


def _by_name(
    labels: Floats, probabilities: Floats, entering: NDArray[np.bool_], weights: NDArray[Any]
) -> dict[str, Floats]:
    """Every figure by its name, each ``(replicate,)``.

    A replicate that has lost all positives of a statement leaves it out of the macro averages.
    """
    areas, precisions = (np.full((len(weights), len(STATEMENTS)), np.nan) for _ in range(2))
    if entering.any():
        areas[:, entering], precisions[:, entering] = ranking(labels[:, entering], probabilities[:, entering], weights)
    found = {"macro_auroc": _mean(areas), "macro_auprc": _mean(precisions)}
    found |= {f"macro_auroc/{group}": _mean(areas[:, _members(group)]) for group in GROUPS}
    for k, code in enumerate(STATEMENTS):
        found[f"auroc/{code}"], found[f"auprc/{code}"] = areas[:, k], precisions[:, k]
    return found


def _members(group: Group) -> list[int]:
    return [k for k, statement in enumerate(STATEMENT_TABLE) if group in statement.groups]


def _mean(values: Floats) -> Floats:
    """Over the statements that are defined; NaN where none is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _decisions(choice: StatementChoice, labels: Floats, probabilities: Floats) -> dict[str, dict[str, float]]:
    kept = [STATEMENTS.index(code) for code in choice.trusted]
    reported = choice.calibration.apply(probabilities[:, kept]) >= [choice.thresholds[code] for code in choice.trusted]
    precision, sensitivity = precision_and_sensitivity(labels[:, kept], reported)
    return {
        code: {"precision": float(precision[k]), "sensitivity": float(sensitivity[k])}
        for k, code in enumerate(choice.trusted)
    }


def _with_interval(figures: StatementFigures, name: str) -> dict[str, float | None]:
    interval = figures.interval(name)
    return {"value": finite(figures.values[name]), "low": finite(interval.low), "high": finite(interval.high)}
