"""A number with its bootstrap replicates: estimates on the same records are subtracted and averaged in pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.evaluation.bootstrap import Interval, percentile_interval


@dataclass(frozen=True)
class Estimate:
    """A number and what it is when patients are drawn anew.

    Attributes:
        value: on all records once each; NaN where undefined.
        replicates: ``(replicate,)``, in the order of ``bootstrap.patient_weights``; empty where nothing was drawn.
    """

    value: float
    replicates: NDArray[np.float64] = field(repr=False)

    @property
    def interval(self) -> Interval:
        """The 95 % percentile interval; NaN without replicates."""
        return percentile_interval(self.replicates)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.replicates - other.replicates)

    def to_dict(self) -> dict[str, Any]:
        """``value`` and ``interval``; ``null`` where undefined."""
        return {"value": self.value if math.isfinite(self.value) else None, "interval": self.interval.bounds()}


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of at least one estimate, replicate by replicate."""
    values = float(np.mean([one.value for one in estimates]))
    return Estimate(values, np.mean([one.replicates for one in estimates], axis=0))
