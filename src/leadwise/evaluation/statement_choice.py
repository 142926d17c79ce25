"""What fold 9 decides about each of the 71 statements: whether it is told to a user at all, and from where on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import Calibration, Method
from leadwise.contract import STATEMENTS, VALIDATION_FOLD
from leadwise.evaluation.bootstrap import Interval
from leadwise.evaluation.statement_calibration import choose_method, fit_calibration, patient_parts
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
