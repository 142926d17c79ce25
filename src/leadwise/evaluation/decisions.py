"""How probabilities become answers: calibration, thresholds by named policy, and bands of "uncertain".

All of it is chosen on fold 9 and written to ``decision.json``, with every policy side by side: whoever asks a served
model may switch the policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.calibration import Calibration
from leadwise.contract import SUPERCLASSES, VALIDATION_FOLD, LeadwiseError
from leadwise.evaluation.bootstrap import Interval, bootstrap_intervals
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.metrics import decide, decision_rates, validate
from leadwise.evaluation.thresholds import (
    CONFIDENCE,
    COVERAGE,
    TARGETS,
    Target,
    aurc,
    best_f1,
    choose_band,
    reaching,
    youden,
)
from leadwise.policies import Band, Policy, is_uncertain

Floats = NDArray[np.float64]
PolicyName = Literal["best_f1", "target_sensitivity", "youden"]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)


class DecisionError(LeadwiseError):
    """A decision cannot be made or read; the message says what was received and what is allowed."""


@dataclass(frozen=True)
class DecisionRules:
    """What the user asks of the decisions.

    Attributes:
        policy: the one that answers unless another is asked for.
        targets: class -> what ``target_sensitivity`` is to reach on new records.
        confidence: how sure the targets are to be reached, see ``thresholds.reaching``.
        coverage: share of records outside of each class's band.
    """

    policy: PolicyName = "best_f1"
    targets: Mapping[str, Target] = field(default_factory=lambda: dict(TARGETS))
    confidence: float = CONFIDENCE
    coverage: float = COVERAGE


@dataclass(frozen=True)
class Decision:
    """The content of ``decision.json``.

    Attributes:
        calibration: from the network's probabilities to calibrated ones.
        temperature: the best single temperature, whether or not the calibration is that.
        policies: every policy by its name.
        policy: the name of the one in use.
        positives: class -> positives among the choosing rows: behind thresholds from few there is little.
    """

    calibration: Calibration
    temperature: float
    policies: Mapping[str, Policy]
    policy: str
    positives: Mapping[str, int]

    @classmethod
    def choose(
        cls,
        labels: ArrayLike,
        probabilities: ArrayLike,
        classes: Sequence[str] = SUPERCLASSES,
        *,
        rules: DecisionRules | None = None,
        calibration: Calibration | None = None,
    ) -> "Decision":
        """Choose every policy on the rows of fold 9.

        Args:
            labels: ``(record, class)`` of 0 and 1.
            probabilities: as the network gave them, same shape.
            classes: names of the classes.
            rules: what is asked for; ``None``: the defaults.
            calibration: already fitted on the same rows; ``None``: a temperature is fitted.

        Raises:
            MetricError: the arrays cannot be compared.
            DecisionError: an unknown policy, or a class without a target.
        """
        y, raw, _ = validate(labels, probabilities)
        asked = rules or DecisionRules()
        missing = [name for name in classes if name not in asked.targets]
        if missing:
            raise DecisionError(f"targets: received none for {', '.join(missing)}; allowed: one per class")
        temperature = fit_temperature(y, raw)
        fitted = calibration or Calibration.of_temperature(temperature, tuple(classes))
        p = fitted.apply(raw)
        policies: dict[str, Policy] = {name: _policy(name, y, p, classes, asked) for name in POLICIES}
        positives = dict(zip(classes, y.sum(axis=0).astype(int).tolist(), strict=True))
        return cls(fitted, temperature, policies, asked.policy, positives).using(asked.policy)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Of the policy in use."""
        return self.policies[self.policy].thresholds

    @property
    def uncertain(self) -> Mapping[str, Band]:
        """Of the policy in use."""
        return self.policies[self.policy].uncertain

    def using(self, policy: str) -> "Decision":
        """The same with another policy in use.

        Raises:
            DecisionError: there is no such policy.
        """
        if policy not in self.policies:
            raise DecisionError(f"policy: received {policy!r}; allowed: {', '.join(self.policies)}")
        return replace(self, policy=policy)

    def limits(self) -> Floats:
        """Thresholds of the policy in use, ``(class,)``."""
        return np.array(list(self.thresholds.values()))

    def reported(self, calibrated: ArrayLike) -> NDArray[np.bool_]:
        """Which classes are reported, ``(..., class)``."""
        return np.asarray(calibrated) >= self.limits()

    def unsure(self, calibrated: ArrayLike) -> NDArray[np.bool_]:
        """Which answers are "uncertain", ``(..., class)``."""
        return is_uncertain(calibrated, list(self.uncertain.values()))

    def to_dict(self) -> dict[str, Any]:
        """What ``decision.json`` holds: at the top the policy in use, under ``policies`` all of them."""
        used = self.policies[self.policy].to_dict()
        return {
            **self.calibration.to_dict(),
            "temperature": self.temperature,
            "thresholds": used["thresholds"],
            "uncertain": used["uncertain"],
            "policy": self.policy,
            "chosen_on": f"fold {VALIDATION_FOLD}",
            "positives": dict(self.positives),
            "policies": {name: policy.to_dict() for name, policy in self.policies.items()},
        }


def _policy(name: PolicyName, y: Floats, p: Floats, classes: Sequence[str], rules: DecisionRules) -> Policy:
    thresholds, uncertain = {}, {}
    for k, label in enumerate(classes):
        thresholds[label] = _threshold(name, y[:, k], p[:, k], rules.targets[label], rules.confidence)
        uncertain[label] = choose_band(p[:, k], thresholds[label], rules.coverage)
    return Policy(_in_words(name, classes, rules), thresholds, uncertain)


def _threshold(name: PolicyName, y: Floats, p: Floats, target: Target, confidence: float) -> float:
    if name == "target_sensitivity":
        return reaching(y, p, target, confidence)
    return best_f1(y, p) if name == "best_f1" else youden(y, p)


def _in_words(name: PolicyName, classes: Sequence[str], rules: DecisionRules) -> str:
    if name == "best_f1":
        return "highest expected F1"
    if name == "youden":
        return "highest sensitivity + specificity"
    aims = [f"{label} {rules.targets[label].measure} {rules.targets[label].value:.0%}" for label in classes]
    return f"{', '.join(aims)} on new records with {rules.confidence:.0%} confidence"


def band_values(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike,
    bands: ArrayLike,
    weights: ArrayLike | None = None,
) -> dict[str, Floats]:
    """What a band leaves open and what it buys: name -> ``(class,)`` or ``(replicate, class)``.

    ``coverage`` is the share of records that get a yes or a no, ``risk`` the share of these that is wrong,
    ``uncertain_risk`` the share that would have been wrong inside the band, ``full_risk`` that without a band.

    Args:
        bands: ``(class, 2)`` intervals of calibrated probability.
    """
    y, p, w = validate(labels, probabilities, weights)
    wrong, unsure = (decide(p, thresholds) != y), is_uncertain(p, bands)
    records = w.sum(axis=0)[:, np.newaxis]
    inside = w.T @ unsure.astype(np.float64)
    found = {
        "coverage": _share(records - inside, records),
        "risk": _share(w.T @ (wrong & ~unsure).astype(np.float64), records - inside),
        "uncertain_risk": _share(w.T @ (wrong & unsure).astype(np.float64), inside),
        "full_risk": _share(w.T @ wrong.astype(np.float64), records),
    }
    return {name: values if _replicated(weights) else values[0] for name, values in found.items()}


def policy_metrics(
    labels: ArrayLike,
    calibrated: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    decision: Decision,
    classes: Sequence[str] = SUPERCLASSES,
) -> dict[str, Floats]:
    """What every policy comes to, by its name in the tracking UI, each ``()`` or ``(replicate,)``.

    ``decision/POLICY/MEASURE/CLASS`` with the measures of ``metrics.decision_rates`` and ``band_values``, and ``aurc``,
    the area under the coverage and risk curve, which is also there for the class ``record``.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        calibrated: probabilities, same shape.
        weights: as in ``leadwise.evaluation.metrics``.
    """
    found: dict[str, Floats] = {}
    for name, policy in decision.policies.items():
        limits = [policy.thresholds[label] for label in classes]
        bands = [policy.uncertain[label] for label in classes]
        measured = decision_rates(labels, calibrated, limits, weights)
        measured |= band_values(labels, calibrated, limits, bands, weights)
        for measure, values in measured.items():
            found |= {f"decision/{name}/{measure}/{label}": values[..., k] for k, label in enumerate(classes)}
        areas = aurc(labels, calibrated, limits, weights, classes)
        found |= {f"decision/{name}/aurc/{label}": area for label, area in areas.items()}
    return found


def policy_intervals(
    labels: ArrayLike, calibrated: ArrayLike, weights: NDArray[np.int16], *, decision: Decision
) -> dict[str, Interval]:
    """95 % intervals of ``policy_metrics``.

    Args:
        weights: ``(replicate, record)``, what ``bootstrap.patient_weights`` drew.
    """
    return bootstrap_intervals(partial(policy_metrics, labels, calibrated, decision=decision), weights)


def _share(part: Floats, whole: Floats) -> Floats:
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _replicated(weights: ArrayLike | None) -> bool:
    return weights is not None and np.ndim(weights) == 2
