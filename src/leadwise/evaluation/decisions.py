"""How probabilities become answers: calibration, thresholds by named policy, and bands of "uncertain".

All of it is chosen on fold 9 and written to ``decision.json``, with every policy side by side: whoever asks a served
model may switch the policy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from leadwise.calibration import Calibration
from leadwise.contract import SUPERCLASSES, VALIDATION_FOLD
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.metrics import Floats, MetricInput, validate
from leadwise.evaluation.thresholds import (
    CONFIDENCE,
    TARGETS,
    aurc,
    best_f1,
    choose_band,
    reaching,
    youden,
)
from leadwise.policies import Policy, is_uncertain

TARGET_POLICY = "target_sensitivity"
"""The policy that promises ``thresholds.TARGETS``, for all patients together."""
_AIMS = ", ".join(f"{label} {TARGETS[label].measure} {TARGETS[label].value:.0%}" for label in SUPERCLASSES)
Rule = tuple[str, Callable[[Floats, Floats, str], float]]
POLICIES: Mapping[str, Rule] = {
    "best_f1": ("highest expected F1", lambda y, p, _: best_f1(y, p)),
    TARGET_POLICY: (
        f"{_AIMS} on new records with {CONFIDENCE:.0%} confidence",
        lambda y, p, label: reaching(y, p, TARGETS[label]),
    ),
    "youden": ("highest sensitivity + specificity", lambda y, p, _: youden(y, p)),
}
"""Name -> its rule in words, and the threshold of a class; the first answers unless another is asked for."""


@dataclass(frozen=True)
class Decision:
    """The content of ``decision.json``.

    Attributes:
        calibration: from the network's probabilities to calibrated ones.
        temperature: the best single temperature, whether or not the calibration is that.
        policies: every policy by its name.
        policy: the name of the one in use.
        positives: class -> positives among the choosing rows: behind thresholds from few there is little.
        records: the choosing rows.
    """

    calibration: Calibration
    temperature: float
    policies: Mapping[str, Policy]
    policy: str
    positives: Mapping[str, int]
    records: int

    @classmethod
    def choose(
        cls, labels: ArrayLike, probabilities: ArrayLike, *, calibration: Calibration | None = None
    ) -> "Decision":
        """Choose every policy on the rows of fold 9.

        Args:
            labels: ``(record, class)`` of 0 and 1.
            probabilities: as the network gave them, same shape.
            calibration: already fitted on the same rows; ``None``: a temperature is fitted.

        Raises:
            MetricError: the arrays cannot be compared.
        """
        y, raw, _ = validate(labels, probabilities)
        temperature = fit_temperature(y, raw)
        fitted = calibration or Calibration.of_temperature(temperature)
        p = fitted.apply(raw)
        policies = {}
        for name, (words, threshold) in POLICIES.items():
            limits = {label: threshold(y[:, k], p[:, k], label) for k, label in enumerate(SUPERCLASSES)}
            bands = {label: choose_band(p[:, k], limits[label]) for k, label in enumerate(SUPERCLASSES)}
            policies[name] = Policy(words, limits, bands)
        positives = dict(zip(SUPERCLASSES, y.sum(axis=0).astype(int).tolist(), strict=True))
        return cls(fitted, temperature, policies, next(iter(POLICIES)), positives, len(y))

    @property
    def used(self) -> Policy:
        """The policy in use."""
        return self.policies[self.policy]

    def to_dict(self) -> dict[str, Any]:
        """What ``decision.json`` holds: at the top the policy in use, under ``policies`` all of them."""
        used = self.used.to_dict()
        return {
            **self.calibration.to_dict(),
            "temperature": self.temperature,
            "thresholds": used["thresholds"],
            "uncertain": used["uncertain"],
            "policy": self.policy,
            "chosen_on": f"fold {VALIDATION_FOLD}",
            "positives": dict(self.positives),
            "records": self.records,
            "policies": {name: policy.to_dict() for name, policy in self.policies.items()},
        }


def band_values(rows: MetricInput, bands: ArrayLike) -> dict[str, Floats]:
    """What a band leaves open and what it buys: name -> ``(class,)`` or ``(replicate, class)``.

    ``coverage`` is the share of records that get a yes or a no, ``risk`` the share of these that is wrong,
    ``uncertain_risk`` the share that would have been wrong inside the band, ``full_risk`` that without a band.

    Args:
        rows: labels, probabilities and thresholds.
        bands: ``(class, 2)`` intervals of calibrated probability.
    """
    wrong, unsure = rows.said != rows.y, is_uncertain(rows.p, bands)
    inside = rows.total(unsure)
    return {
        "coverage": rows.mean(~unsure),
        "risk": rows.ratio(rows.total(wrong & ~unsure), rows.records - inside),
        "uncertain_risk": rows.ratio(rows.total(wrong & unsure), inside),
        "full_risk": rows.mean(wrong),
    }


def policy_metrics(
    labels: ArrayLike, calibrated: ArrayLike, weights: ArrayLike | None = None, *, decision: Decision
) -> dict[str, Floats]:
    """What every policy comes to, by its name in the tracking UI, each ``()`` or ``(replicate,)``.

    ``decision/POLICY/MEASURE/CLASS`` with the measures of ``MetricInput.rates`` and ``band_values``, and ``aurc``, the
    area under the coverage and risk curve, which is also there for the class ``record``.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        calibrated: probabilities, same shape.
        weights: as in ``leadwise.evaluation.metrics``.
    """
    found: dict[str, Floats] = {}
    for name, policy in decision.policies.items():
        limits = policy.limits()
        rows = MetricInput(labels, calibrated, limits, weights)
        for measure, values in (rows.rates | band_values(rows, policy.bands())).items():
            found |= {f"decision/{name}/{measure}/{label}": values[..., k] for k, label in enumerate(SUPERCLASSES)}
        areas = aurc(labels, calibrated, limits, weights)
        found |= {f"decision/{name}/aurc/{label}": area for label, area in areas.items()}
    return found
