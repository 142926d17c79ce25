"""One model with two calibrations on the same recordings, of which some labels may be unknown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from leadwise.evaluation.bootstrap import Estimate, patient_weights
from leadwise.evaluation.cohort_metrics import KnownLabels, cohort_estimates, known_labels
from leadwise.evaluation.metrics import Floats
from leadwise.policies import Policy


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        probabilities: ``(record, class)``.
        policies: by name; the other side has the same names.
    """

    probabilities: Floats
    policies: Mapping[str, Policy]


@dataclass(frozen=True)
class Compared:
    """Figures of both; replicates are of the same patients.

    Attributes:
        before: policy -> what ``cohort_metrics`` measures with its thresholds.
        after: the same.
        known: class -> how many labels are known.
    """

    before: Mapping[str, Mapping[str, Estimate]]
    after: Mapping[str, Mapping[str, Estimate]]
    known: Mapping[str, KnownLabels]

    @property
    def measured(self) -> list[str]:
        """Classes of which enough labels are known."""
        return [name for name, labels in self.known.items() if labels.is_enough]

    def pair(self, name: str, policy: str = "") -> tuple[Estimate, Estimate]:
        """Before and after; where thresholds do not matter, of any policy."""
        chosen = policy or next(iter(self.before))
        return self.before[chosen][name], self.after[chosen][name]

    def difference(self, name: str) -> Estimate:
        """After minus before."""
        before, after = self.pair(name)
        return after - before

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        sides = {"before": self.before, "after": self.after}
        return {
            side: {policy: {name: one.to_dict() for name, one in found.items()} for policy, found in figures.items()}
            for side, figures in sides.items()
        }


def compare(
    labels: ArrayLike, before: Side, after: Side, patients: ArrayLike, *, replicates: int, seed: int
) -> Compared:
    """Every figure of both with every policy, bootstrapped by patient.

    Args:
        labels: ``(record, class)`` of 0, 1 and NaN where it is not known.
        before: one.
        after: the other.
        patients: ``(record,)``, drawn together.
        replicates: of the bootstrap; 0: values alone.
        seed: of it.

    Raises:
        MetricError: a shape or value is not allowed.
    """
    weights = patient_weights(patients, replicates, seed) if replicates else None

    def figures(side: Side) -> dict[str, dict[str, Estimate]]:
        return {
            name: cohort_estimates(labels, side.probabilities, weights, thresholds=policy.limits())
            for name, policy in side.policies.items()
        }

    return Compared(figures(before), figures(after), known_labels(labels))
