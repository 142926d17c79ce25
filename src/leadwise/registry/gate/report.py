"""The gate's report: the verdict first, then one line per check; as JSON, as Markdown, and for a terminal."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.config import Gate
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.metrics import MetricInput


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
    rows = MetricInput(labels, probabilities)
    areas = rows.ranking[0]
    lacking = [
        f"{name} has {int(count)} positives among {len(labels)} records"
        for name, count, area in zip(SUPERCLASSES, labels.sum(axis=0), areas, strict=True)
        if math.isnan(area)
    ]
    yield _floor(MACRO_AUROC, float(areas.mean()), limits.floor_macro_auroc, limits, "; ".join(lacking))
    for name, area in zip(SUPERCLASSES, areas, strict=True):
        of_class = next((reason for reason in lacking if reason.startswith(f"{name} ")), "")
        yield _floor(f"AUROC {name}", float(area), limits.floor_class_auroc, limits, of_class)
    yield Check.at_most(ECE, float(rows.calibration_error.mean()), limits.highest_ece)


def _floor(name: str, value: float, floor: float, limits: Limits, undefined: str) -> Check:
    if math.isnan(value):
        return Check(name, "undefined", f"at least {floor:g}", None if limits.simulated else False, undefined)
    return Check.at_least(name, value, floor)


JSON_FILE, MARKDOWN_FILE = "gate.json", "gate.md"
ROUND_TRIP = "answer in a fresh process"
LONGEST_NOTE = 160
"""In a table; ``gate.json`` has all of it."""


@dataclass(frozen=True)
class GateReport:
    """What the gate found out about one version.

    Attributes:
        name: the registered model.
        version: the version that was judged.
        model: the fusion model inside.
        champion: the version that it was compared with; ``None``: there was none.
        simulated: whether the weights come from simulated data.
        compared_on: what the figures are of, in words.
        checks: in the order in which they are told.
    """

    name: str
    version: str
    model: str
    champion: str | None
    simulated: bool
    compared_on: str
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        """Whether no check failed. One that was not made stops nobody; where it should, it failed."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if check.passed is False]

    @property
    def answers(self) -> bool:
        """Whether the version was loaded and gave its package's answer; else nothing may point at it."""
        return not any(check.name == ROUND_TRIP for check in self.failed)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        against = f"compared with version {self.champion}" if self.champion else "there was no champion before it"
        candidate = f"{self.name} version {self.version} ({self.model}), {against}"
        if self.failed:
            return f"Gate FAILED: {candidate}: {'; '.join(map(_in_words, self.failed))}."
        done = sum(check.passed is True for check in self.checks)
        left = len(self.checks) - done
        return f"Gate passed: {candidate}: {done} checks passed" + (f", {left} not made." if left else ".")

    def to_dict(self) -> dict[str, Any]:
        """The content of ``gate.json``."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "name": self.name,
            "version": self.version,
            "model": self.model,
            "champion": self.champion,
            "simulated": self.simulated,
            "compared_on": self.compared_on,
            "checks": [check.to_dict() for check in self.checks],
        }

    def to_markdown(self, *, notes: bool = True) -> str:
        """The content of ``gate.md``, and with or without notes the head of a version's description."""
        rows = [_cells(check, notes=notes) for check in self.checks]
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
        head = ["| check | measured | allowed | outcome |", "|---|---|---|---|"]
        return "\n".join([f"**{self.verdict}**", "", *head, *lines, "", self.compared_on])

    def to_text(self) -> str:
        """For a terminal."""
        rows = [_cells(check) for check in self.checks]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]
        return "\n".join([self.verdict, *lines, self.compared_on])

    def metrics(self) -> dict[str, float]:
        """What the run gets: every figure that a check measured, as ``gate/<check>``."""
        return {f"gate/{_metric(check.name)}": check.value for check in self.checks if check.value is not None}


def _in_words(check: Check) -> str:
    """A check that failed."""
    measured = f" {check.measured}" if check.measured else ""
    allowed = f", allowed: {check.allowed}" if check.allowed else ""
    return f"{check.name}{measured}{allowed}" + (f" ({_short(check.note)})" if check.note else "")


def _cells(check: Check, *, notes: bool = True) -> tuple[str, str, str, str]:
    note = f": {_short(check.note)}" if check.note and notes else ""
    return check.name, check.measured, check.allowed, check.outcome + note


def _short(note: str) -> str:
    line = " ".join(note.split())
    return line if len(line) <= LONGEST_NOTE else line[: LONGEST_NOTE - 1] + "…"


def _metric(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)
