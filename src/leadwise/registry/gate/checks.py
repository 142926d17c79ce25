"""One check of the gate: what was measured, what is allowed, and whether that is enough."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.config import Gate
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import auroc, calibration_error


@dataclass(frozen=True)
class Check:
    """One line of the gate's report.

    Attributes:
        name: what is checked.
        measured: what was found, as text; empty where nothing could be measured.
        allowed: what is enough, as text.
        passed: ``None``: not possible, or not asked for; ``note`` says why.
        note: what a reader should know beside it.
        value: what was measured, where it is one number; a metric of the run.
    """

    name: str
    measured: str
    allowed: str
    passed: bool | None
    note: str = ""
    value: float | None = None

    @classmethod
    def at_least(cls, name: str, value: float, limit: float, note: str = "") -> "Check":
        """A figure that must reach a limit, to four digits."""
        return cls(name, f"{value:.4f}", f"at least {limit:g}", value >= limit, note, value)

    @classmethod
    def at_most(cls, name: str, value: float, limit: float, *, shown: str = "{:.4f}", note: str = "") -> "Check":
        """A figure that must not exceed a limit; ``shown`` formats both."""
        allowed = f"at most {shown.format(limit)}"
        return cls(name, shown.format(value), allowed, math.isfinite(value) and value <= limit, note, value)

    @classmethod
    def not_made(cls, name: str, why: str, allowed: str = "") -> "Check":
        """A check that could not be made."""
        return cls(name, "", allowed, None, why)

    @property
    def outcome(self) -> str:
        """``passed``, ``FAILED`` or ``not made``."""
        return "not made" if self.passed is None else "passed" if self.passed else "FAILED"

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``gate.json``; what is undefined is ``null``."""
        value = None if self.value is None or not math.isfinite(self.value) else self.value
        return asdict(self) | {"value": value}


@dataclass(frozen=True)
class Limits:
    """The part of the gate's parameters that simulated data have of their own.

    Attributes:
        simulated: whether these are the limits for simulated data.
        floor_macro_auroc: lowest on fold 10.
        floor_class_auroc: lowest of each class.
        highest_ece: mean over the classes.
        margin_macro_auroc: by which the candidate may be worse than the champion.
        margin_class_auroc: the same for each class.
        allow_other_data: whether a champion of other data may be replaced.
    """

    simulated: bool
    floor_macro_auroc: float
    floor_class_auroc: float
    highest_ece: float
    margin_macro_auroc: float
    margin_class_auroc: float
    allow_other_data: bool

    @classmethod
    def of(cls, asked: Gate, *, simulated: bool) -> "Limits":
        """Those for simulated data, or the others: the weights decide, not a name or a configuration."""
        prefix = "simulated_" if simulated else ""
        names = [field.name for field in fields(cls) if field.name != "simulated"]
        return cls(simulated=simulated, **{name: getattr(asked, prefix + name) for name in names})


MACRO_AUROC, ECE = "macro AUROC", "calibration error"


def floor_checks(labels: NDArray[np.float64], probabilities: NDArray[np.float64], limits: Limits) -> list[Check]:
    """Macro AUROC, each class's AUROC, and the calibration error.

    A figure that is undefined, for want of positives, does not pass; on simulated data, of which there may be few, it
    counts as not made.

    Args:
        labels: ``(record, 5)`` of 0 and 1.
        probabilities: calibrated, same shape.
        limits: what is allowed.
    """
    if not len(labels):
        names = [MACRO_AUROC, *(f"AUROC {name}" for name in SUPERCLASSES), ECE]
        return [Check(name, "", "", False, "no recording was answered") for name in names]
    return list(_checks(labels, probabilities, limits))


def _checks(labels: NDArray[np.float64], probabilities: NDArray[np.float64], limits: Limits) -> Iterator[Check]:
    areas = auroc(labels, probabilities)
    lacking = [
        f"{name} has {int(count)} positives among {len(labels)} records"
        for name, count, area in zip(SUPERCLASSES, labels.sum(axis=0), areas, strict=True)
        if math.isnan(area)
    ]
    yield _floor(MACRO_AUROC, float(areas.mean()), limits.floor_macro_auroc, limits, "; ".join(lacking))
    for name, area in zip(SUPERCLASSES, areas, strict=True):
        of_class = next((reason for reason in lacking if reason.startswith(f"{name} ")), "")
        yield _floor(f"AUROC {name}", float(area), limits.floor_class_auroc, limits, of_class)
    yield Check.at_most(ECE, float(calibration_error(labels, probabilities).mean()), limits.highest_ece)


def _floor(name: str, value: float, floor: float, limits: Limits, undefined: str) -> Check:
    if math.isnan(value):
        return Check(name, "undefined", f"at least {floor:g}", None if limits.simulated else False, undefined)
    return Check.at_least(name, value, floor)
