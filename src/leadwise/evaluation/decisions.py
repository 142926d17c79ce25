"""How probabilities become answers: thresholds by named policy, and the bands around them that are "uncertain".

All of it is chosen on fold 9 and written to ``decision.json``, with every policy side by side: whoever asks a served
model may switch the policy.

A record is reported when its probability is at or above the threshold. A threshold stands halfway between two
neighbouring probabilities, so that rounding elsewhere flips no decision. A class that has no positives or no negatives
on the choosing rows keeps 0.5: nothing can be chosen there.

"Uncertain" is said where a probability is too near its threshold for a yes or a no. How far it has gone is measured as
a share of the way: 0 at the threshold, 1 at certainty (a probability of 0 or 1). A threshold t says that a miss costs
as much as (1 - t) / t false alarms; under these costs a record's expected cost falls with that share, so leaving out
the smallest shares is Chow's rule (Chow 1970). On fold 9 of PTB-XL, its area under the coverage and risk curve is 3 to
54 % smaller than that of distances between logits, and most so where thresholds are low; distances between
probabilities are worse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from leadwise.contract import SUPERCLASSES, VALIDATION_FOLD
from leadwise.decision import Band, Calibration, Policy, is_uncertain
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.metrics import DEFAULT_THRESHOLD, Floats, MetricInput, decide, validate

Measure = Literal["sensitivity", "specificity"]


@dataclass(frozen=True)
class Target:
    """What a threshold is to reach on new records.

    Attributes:
        measure: ``sensitivity``: of the records that have the class, the share that is reported; ``specificity``: of
            those that do not, the share that is not.
        value: above 0, below 1.
    """

    measure: Measure
    value: float


TARGETS: Mapping[str, Target] = {
    name: Target("sensitivity", 0.95 if name == "MI" else 0.90) for name in SUPERCLASSES if name != "NORM"
} | {"NORM": Target("specificity", 0.95)}
"""An infarction that is missed costs most. For NORM the error that costs is an ill heart called normal, so its target
is the share of not-normal recordings that are not called normal."""

CONFIDENCE = 0.9
"""How sure it is, by the number of records that the threshold was chosen on, that new records reach the target."""


def best_f1(y: Floats, p: Floats) -> float:
    """The threshold with the highest F1 that calibrated probabilities let expect (Lipton et al. 2014).

    Counting each record by its probability instead of its label takes the luck of single records near the threshold
    out of the choice. Chosen on one half of PTB-XL's fold 9, the five classes have on the other half a mean F1 that is
    0.007 higher than with the threshold of highest observed F1.

    Args:
        y: ``(record,)`` of 0 and 1; they only say whether there is something to choose.
        p: ``(record,)`` calibrated probabilities.
    """
    if len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    true, false, thresholds = _ranked(p, p)
    return _at_best(2 * true / (true + false + p.sum()), thresholds)


def youden(y: Floats, p: Floats) -> float:
    """The threshold with the highest sensitivity + specificity - 1 (Youden 1950); ``y`` and ``p`` ``(record,)``."""
    if len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    true, false, thresholds = _ranked(y, p)
    return _at_best(true / y.sum() - false / (y == 0).sum(), thresholds)


def reaching(y: Floats, p: Floats, target: Target) -> float:
    """The threshold that reaches a target on new records with ``CONFIDENCE``, at the least cost.

    The plain quantile of fold 9 would fall short on new records every second time, as its estimate errs to both sides.
    So fewer misses are allowed than the target names: a one-sided tolerance limit (Wilks 1941), see
    ``misses_allowed``. It takes records for independent; patients with two records of the same class are few.
    """
    aimed = p[y == 1] if target.measure == "sensitivity" else -p[y == 0]
    if len(aimed) == 0 or len(np.unique(y)) < 2:
        return DEFAULT_THRESHOLD
    ordered = np.sort(aimed)
    last_found = ordered[min(misses_allowed(len(ordered), target.value), len(ordered) - 1)]
    if target.measure == "sensitivity":
        return _halfway(float(np.max(p[p < last_found], initial=0.0)), float(last_found))
    return _halfway(float(-last_found), float(np.min(p[p > -last_found], initial=1.0)))


def misses_allowed(count: int, target: float) -> int:
    """The most records, of ``count`` to be found, that may be missed.

    The largest m with P(Binomial(count, 1 - target) <= m) <= 1 - CONFIDENCE: were the true share of misses as large as
    the target allows, so few would be seen with probability 1 - CONFIDENCE at most. 0 if even no miss proves nothing
    (fewer than 22 records at 90 % with 90 % confidence, 45 at 95 %): then all are to be found, and no more can be said.
    """
    from scipy.stats import binom

    proven = binom.cdf(np.arange(count + 1), count, 1 - target) <= 1 - CONFIDENCE
    return max(int(proven.sum()) - 1, 0)


def _ranked(truth: Floats, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Records found, false alarms, and the threshold, if alarms are the 1, 2, ... records of highest probability.

    ``truth`` is a label, or the chance of it. The threshold is NaN inside a run of equal probabilities, which no
    threshold can part.
    """
    order = np.argsort(-p, kind="stable")
    ranked, true = p[order], np.cumsum(truth[order])
    thresholds = (ranked + np.append(ranked[1:], 0.0)) / 2
    thresholds[:-1][ranked[:-1] == ranked[1:]] = np.nan
    return true, np.arange(1, len(p) + 1) - true, thresholds


def _at_best(scores: Floats, thresholds: Floats) -> float:
    return float(thresholds[np.argmax(np.where(np.isnan(thresholds), -np.inf, scores))])


def _halfway(below: float, above: float) -> float:
    middle = (below + above) / 2
    # Of two neighbouring floats the middle may be the lower one, which must stay below the threshold.
    return middle if middle > below else above


COVERAGE = 0.9
"""Share of records that get a yes or a no, per class, where the band was chosen."""

RECORD = "record"
"""The name under which all classes of a record together are reported: wrong if any class is."""


def margin(probabilities: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of the way from the threshold to certainty, from 0 to 1: ``(record, class)``, thresholds ``(class,)``."""
    p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    way = np.where(p >= t, 1 - t, t)
    return np.divide(np.abs(p - t), way, out=np.ones(np.broadcast_shapes(p.shape, t.shape)), where=way > 0)


def choose_band(probabilities: ArrayLike, threshold: float) -> Band:
    """The interval of calibrated probability, both ends included, in which one class's answer is "uncertain".

    Args:
        probabilities: ``(record,)`` of the class on fold 9.
        threshold: of the class.
    """
    ordered = np.sort(margin(probabilities, threshold))
    left_out = int((1 - COVERAGE) * len(ordered) + 1e-9)
    # Halfway between two records, so that rounding elsewhere turns no answer.
    width = float(ordered[left_out - 1 : left_out + 1].mean()) if left_out else 0.0
    return threshold * (1 - width), threshold + width * (1 - threshold)


@dataclass(frozen=True)
class CoverageRisk:
    """How often an answer is wrong if only the surest are given (Geifman and El-Yaniv 2017).

    Attributes:
        coverage: ``(record, ...)`` rising share of records that are answered, the surest first.
        risk: same shape, share of wrong answers among them.
    """

    coverage: Floats
    risk: Floats

    @property
    def aurc(self) -> Floats:
        """Area under the curve, ``(...)``; leaving out records at random has the area ``full_risk``."""
        return (np.diff(self.coverage, axis=0, prepend=0) * self.risk).sum(axis=0)

    @property
    def full_risk(self) -> Floats:
        """Share of wrong answers if every record is answered, ``(...)``."""
        return self.risk[-1]


def coverage_risk(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, CoverageRisk]:
    """The curve of each class, and under ``record`` that of all classes together.

    Args:
        labels: ``(record, class)`` of 0 and 1.
        probabilities: calibrated, same shape.
        thresholds: ``(class,)``.
        weights: as in ``metrics``; of ``(replicate, record)`` the curves are ``(record, replicate)``.

    Raises:
        LeadwiseError: the arrays cannot be compared.
    """
    y, p, w = validate(labels, probabilities, weights)
    decided, sure = decide(p, thresholds), margin(p, thresholds)
    wrong = decided != y
    answers = {name: (wrong[:, k], sure[:, k]) for k, name in enumerate(SUPERCLASSES)}
    # Of a whole record: the chance that every decision is right.
    answers[RECORD] = wrong.any(axis=1), np.where(decided == 1, p, 1 - p).prod(axis=1)
    if weights is None or np.ndim(weights) == 1:
        w = w[:, 0]
    found = {}
    for name, (mistaken, surety) in answers.items():
        order = np.argsort(-surety, kind="stable")
        counted = w[order]
        answered = np.cumsum(counted, axis=0)
        risk = np.cumsum((counted.T * mistaken[order]).T, axis=0) / np.maximum(answered, 1)
        found[name] = CoverageRisk(answered / answered[-1], risk)
    return found


TARGET_POLICY = "target_sensitivity"
"""The policy that promises ``TARGETS``, for all patients together."""
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
            LeadwiseError: the arrays cannot be compared.
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
        weights: as in ``metrics``.
    """
    found: dict[str, Floats] = {}
    for name, policy in decision.policies.items():
        limits = policy.limits()
        rows = MetricInput(labels, calibrated, limits, weights)
        for measure, values in (rows.rates | band_values(rows, policy.bands())).items():
            found |= {f"decision/{name}/{measure}/{label}": values[..., k] for k, label in enumerate(SUPERCLASSES)}
        curves = coverage_risk(labels, calibrated, limits, weights)
        found |= {f"decision/{name}/aurc/{label}": curve.aurc for label, curve in curves.items()}
    return found
