"""The gate's report: the verdict first, then one line per check; as JSON, as Markdown, and for a terminal."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


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
    def not_run(cls, name: str, why: str, allowed: str = "") -> "Check":
        """A check that could not be run."""
        return cls(name, "", allowed, None, why)

    @property
    def outcome(self) -> str:
        """``passed``, ``FAILED`` or ``not run``."""
        return "not run" if self.passed is None else "passed" if self.passed else "FAILED"

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``gate.json``; what is undefined is ``null``."""
        value = None if self.value is None or not math.isfinite(self.value) else self.value
        return asdict(self) | {"value": value}


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
        """Whether no check failed. One that was not run stops nobody; where it should, it failed."""
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
        return f"Gate passed: {candidate}: {done} checks passed" + (f", {left} not run." if left else ".")

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
        return "\n".join([self.verdict, "", *head, *lines, "", self.compared_on])

    def to_text(self) -> str:
        """For a terminal: of the checks those that failed."""
        if self.passed:
            return self.verdict
        rows = [_cells(check) for check in self.failed]
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
