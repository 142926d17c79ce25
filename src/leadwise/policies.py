"""The form of a decision policy: per class a threshold and a band of "uncertain". It is chosen elsewhere.

It ships inside the served model as JSON, so it needs numpy only; ``leadwise.evaluation.decisions`` chooses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError

Band = tuple[float, float]


class PolicyError(LeadwiseError):
    """A policy cannot be read or does not exist; the message says what was received and what is allowed."""


@dataclass(frozen=True)
class Policy:
    """One way to answer.

    Attributes:
        rule: in words, how the thresholds were chosen.
        thresholds: class -> calibrated probability at and above which the class is reported.
        uncertain: class -> interval of calibrated probability, ends included, in which the answer is "uncertain".
    """

    rule: str
    thresholds: Mapping[str, float]
    uncertain: Mapping[str, Band]

    def limits(self, classes: Sequence[str] = SUPERCLASSES) -> NDArray[np.float64]:
        """Thresholds, ``(class,)``."""
        return np.array([self.thresholds[name] for name in classes])

    def bands(self, classes: Sequence[str] = SUPERCLASSES) -> NDArray[np.float64]:
        """Bands, ``(class, 2)``."""
        return np.array([self.uncertain[name] for name in classes])

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``policies`` in ``decision.json``."""
        bands = {name: list(band) for name, band in self.uncertain.items()}
        return {"rule": self.rule, "thresholds": dict(self.thresholds), "uncertain": bands}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Policy":
        """The inverse of ``to_dict``.

        Raises:
            PolicyError: a part is missing or no number.
        """
        try:
            thresholds = {name: float(value) for name, value in content["thresholds"].items()}
            bands = {name: (float(low), float(high)) for name, (low, high) in content["uncertain"].items()}
            if thresholds.keys() != bands.keys():
                raise ValueError("other classes have a band than a threshold")
            return cls(str(content["rule"]), thresholds, bands)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PolicyError(
                f"policy: received {content!r:.200}; needed: rule, thresholds and uncertain by class ({error!r})"
            ) from None


def read_policies(decision: Mapping[str, Any]) -> tuple[dict[str, Policy], str]:
    """Every policy of a ``decision.json`` by its name, and the name of the one that answers unless another is asked.

    Raises:
        PolicyError: there are none, or the one in use is not among them.
    """
    policies = {name: Policy.from_dict(content) for name, content in decision.get("policies", {}).items()}
    used = decision.get("policy")
    if not isinstance(used, str) or used not in policies:
        raise PolicyError(f"policy: received {used!r:.40}; allowed: {', '.join(policies) or 'none is there'}")
    return policies, used


def is_uncertain(probabilities: ArrayLike, bands: ArrayLike) -> NDArray[np.bool_]:
    """``(..., class)`` calibrated probabilities inside their class's ``(class, 2)`` band."""
    p, limits = np.asarray(probabilities, dtype=np.float64), np.asarray(bands, dtype=np.float64)
    return (p >= limits[:, 0]) & (p <= limits[:, 1]) & (limits[:, 0] < limits[:, 1])
