"""Secondary findings: which of the 71 SCP-ECG statements are told beside the five superclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadwise.calibration import Calibration
from leadwise.contract import STATEMENTS


@dataclass(frozen=True)
class Findings:
    """The statements that are trusted, with what makes an answer of them.

    Which they are was decided when the network was evaluated; of the others the served model says nothing.

    Attributes:
        codes: of the statements.
        names: in plain English.
        groups: ``diagnostic``, ``form`` or ``rhythm``.
        rows: their places among the 71.
        calibration: of their probabilities.
        thresholds: calibrated probabilities at and above which they are reported.
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    rows: np.ndarray
    calibration: Calibration
    thresholds: np.ndarray

    @classmethod
    def from_entries(cls, entries: Sequence[Mapping[str, Any]]) -> "Findings":
        """Read ``statements`` of a network in ``model.json``: entries with ``trusted`` false are left out."""
        kept = [entry for entry in entries if entry["trusted"]]
        codes = tuple(entry["code"] for entry in kept)
        return cls(
            codes=codes,
            names=tuple(entry["name"] for entry in kept),
            groups=tuple(entry["group"] for entry in kept),
            rows=np.array([STATEMENTS.index(code) for code in codes], dtype=np.intp),
            calibration=Calibration(
                "per_class",
                tuple(entry["slope"] for entry in kept),
                tuple(entry["intercept"] for entry in kept),
                codes,
            ),
            thresholds=np.array([entry["threshold"] for entry in kept]),
        )

    def of(self, probabilities: np.ndarray, *, everything: bool = False) -> list[dict[str, Any]]:
        """Reported statements, most probable first, ready for JSON.

        Args:
            probabilities: ``(71,)`` as the network gave them.
            everything: list every trusted statement, reported or not.
        """
        calibrated = self.calibration.apply(probabilities[self.rows])
        reported = calibrated >= self.thresholds
        order = np.argsort(-calibrated, kind="stable")
        return [
            {
                "code": self.codes[k],
                "description": self.names[k],
                "group": self.groups[k],
                "probability": round(float(calibrated[k]), 6),
                "threshold": round(float(self.thresholds[k]), 6),
                "reported": bool(reported[k]),
            }
            for k in (order if everything else order[reported[order]])
        ]
