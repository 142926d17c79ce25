"""One check of the gate: what was measured, what is allowed, and whether that is enough."""

import math
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
