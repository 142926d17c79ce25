"""A site's own calibration: how far each class's probabilities are moved so that they fit another hospital's patients.

Another hospital has other shares of ill patients, other machines and other habits of labelling. What a network ranks
right there it still calls by the wrong probabilities; one number per class, added to the logit, removes most of that.
How much is fitted depends on how many labels there are, see ``fit_class``. Every change is a straight line with a slope
above 0 on the logit of the answered probability: nobody changes places, so every AUROC stays.

``docs/recalibration.md`` has the figures behind the limits and the priors.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.decision import Calibration, Policy, logit, sigmoid
from leadwise.evaluation.calibration import fit
from leadwise.evaluation.decisions import POLICIES, choose_band
from leadwise.evaluation.metrics import Floats, validate

How = Literal["slope and offset", "offset", "shrunk offset", "prior shift", "unchanged"]
FEWEST_FOR_LINE = 50
"""Positives, and negatives, from which a slope is fitted beside the offset."""
FEWEST_FOR_OFFSET = 20
"""Positives, and negatives, below which the offset is shrunk towards no change."""
FEWEST_FOR_THRESHOLD = 77
"""Positives, and negatives, from which thresholds are chosen anew: the fewest at which every target of
``decisions.TARGETS`` allows a miss. With fewer only the threshold that misses nobody proves the target, and it reports
nearly everybody: on LUDB, chosen on 30 recordings with a conduction disturbance, it reported all that had none."""
OFFSET_SD, SHRUNK_SD = 1.0, 0.5
"""How far an offset may stray from 0 for no reason, in logits: standard deviations of a Gaussian prior. The first is
hardly felt beside twenty positives."""
LARGEST_OFFSET = 5.0


@dataclass(frozen=True)
class ClassChange:
    """What happens to one class: ``logit(p) * slope + offset``.

    Attributes:
        how: by which rule.
        slope: above 0.
        offset: in logits; above 0 the site has more of the class than the model expects.
        positives: labels that say present, among those it was fitted on.
        negatives: labels that say absent.
    """

    how: How
    slope: float = 1.0
    offset: float = 0.0
    positives: int = 0
    negatives: int = 0


@dataclass(frozen=True)
class Recalibration:
    """What happens to each class.

    Attributes:
        changes: by class.
    """

    changes: Mapping[str, ClassChange]

    @property
    def calibration(self) -> Calibration:
        """As a calibration of probabilities that are calibrated already, for other patients."""
        slope, offset = (tuple(getattr(one, name) for one in self.changes.values()) for name in ("slope", "offset"))
        return Calibration("per_class", slope, offset, tuple(self.changes))

    def apply(self, probabilities: ArrayLike) -> Floats:
        """Probabilities ``(..., class)`` for the site's patients."""
        return self.calibration.apply(probabilities)

    def after(self, first: Calibration) -> Calibration:
        """The one calibration that does what ``first`` does, and then this."""
        lines = zip(first.slope, first.intercept, self.changes.values(), strict=True)
        moved = [(slope * one.slope, intercept * one.slope + one.offset) for slope, intercept, one in lines]
        slopes, intercepts = zip(*moved, strict=True)
        return Calibration("per_class", slopes, intercepts, first.classes)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """For JSON, by class."""
        return {name: asdict(one) for name, one in self.changes.items()}


def recalibrate(labels: ArrayLike, probabilities: ArrayLike) -> Recalibration:
    """Fit each class on the labels that are known of it.

    Args:
        labels: ``(record, class)`` of 0, 1 and NaN where it is not known.
        probabilities: as the model answers, calibrated for the patients that it was trained on, same shape.

    Raises:
        LeadwiseError: a shape or value is not allowed.
    """
    y, p, _ = validate(labels, probabilities, unknown=True)
    return Recalibration({name: fit_class(y[:, k], p[:, k]) for k, name in enumerate(SUPERCLASSES)})


def fit_class(labels: Floats, probabilities: Floats) -> ClassChange:
    """One class, by the number of its labels.

    With at least ``FEWEST_FOR_LINE`` positives and as many negatives slope and offset, under the prior that the lines
    of statements have; with at least ``FEWEST_FOR_OFFSET`` an offset alone; with fewer an offset that is shrunk; with
    none it stays as it is.

    Args:
        labels: ``(record,)`` of 0, 1 and NaN.
        probabilities: ``(record,)``.
    """
    known = np.isfinite(labels)
    y, p = labels[known], probabilities[known]
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if not len(y):
        return ClassChange("unchanged")
    fewer = min(positives, negatives)
    if fewer >= FEWEST_FOR_LINE:
        line = fit("per_class", y[:, np.newaxis], p[:, np.newaxis], prior=True)
        return ClassChange("slope and offset", line.slope[0], line.intercept[0], positives, negatives)
    how: How = "offset" if fewer >= FEWEST_FOR_OFFSET else "shrunk offset"
    offset = fit_offset(y, p, OFFSET_SD if how == "offset" else SHRUNK_SD)
    return ClassChange(how, 1.0, offset, positives, negatives)


def fit_offset(labels: Floats, probabilities: Floats, prior_sd: float) -> float:
    """The offset of largest posterior, in logits, within ``LARGEST_OFFSET``.

    Args:
        labels: ``(record,)`` of 0 and 1.
        probabilities: ``(record,)``.
        prior_sd: standard deviation of the Gaussian prior around 0.
    """
    logits = logit(probabilities)

    def slope_of_loss(offset: float) -> float:
        return float((sigmoid(logits + offset) - labels).sum() + offset / prior_sd**2)

    return _lowest(slope_of_loss, -LARGEST_OFFSET, LARGEST_OFFSET)


def _lowest(slope: Callable[[float], float], least: float, most: float) -> float:
    """Where a loss is lowest within two ends, by its rising slope."""
    from scipy.optimize import brentq

    if slope(least) >= 0:
        return least
    return most if slope(most) <= 0 else float(brentq(slope, least, most, xtol=1e-12))


def prior_shift(probabilities: ArrayLike, rates: Mapping[str, float]) -> Recalibration:
    """An estimate without any label: how common each class must be there for the answers to come out as they do.

    It supposes that the ill look alike everywhere and only their share differs. Where machines or habits of labelling
    differ too, it is wrong, and nothing in the answers says so.

    Args:
        probabilities: ``(record, class)`` as the model answers.
        rates: class -> its share among the patients that the model was calibrated on, above 0, below 1.

    Raises:
        LeadwiseError: a share or a probability is not allowed.
    """
    _, p, _ = validate(np.full(np.shape(probabilities), np.nan), probabilities, unknown=True)
    changes = {}
    for k, name in enumerate(SUPERCLASSES):
        shift = float(logit(estimate_rate(p[:, k], rates[name])) - logit(rates[name]))
        changes[name] = ClassChange("prior shift", 1.0, float(np.clip(shift, -LARGEST_OFFSET, LARGEST_OFFSET)))
    return Recalibration(changes)


def estimate_rate(probabilities: Floats, rate: float) -> float:
    """The share of a class of largest likelihood, given answers for patients of whom ``rate`` had it.

    It is where the expectation-maximisation of Saerens, Latinne and Decaestecker (Neural Computation 2002, 14:21) comes
    to rest. The likelihood has one maximum, which is looked for by bisection: expectation-maximisation takes thousands
    of steps where a class is rare.

    Raises:
        LeadwiseError: the share is not above 0 and below 1.
    """
    if not 0 < rate < 1:
        raise LeadwiseError(f"rate: received {rate}; allowed: above 0, below 1")
    ill, well = probabilities / rate, (1 - probabilities) / (1 - rate)

    def slope_of_loss(share: float) -> float:
        return -float(((ill - well) / (share * ill + (1 - share) * well)).mean())

    return _lowest(slope_of_loss, 1e-6, 1 - 1e-6)


def site_policies(
    policies: Mapping[str, Policy], found: Recalibration, labels: ArrayLike, probabilities: ArrayLike
) -> dict[str, Policy]:
    """Every policy for the site: chosen anew for classes with labels enough, else with the decisions that it had.

    With fewer than ``FEWEST_FOR_THRESHOLD`` positives or negatives known, a threshold moves with the probabilities, and
    each record is decided as before.

    Args:
        policies: of the model, by name.
        found: what was fitted.
        labels: ``(record, class)`` of 0, 1 and NaN: those that it was fitted on.
        probabilities: as the model answers, same shape.
    """
    y, p, _ = validate(labels, probabilities, unknown=True)
    moved = found.apply(p)
    made = {}
    for name, policy in policies.items():
        limits, bands, anew = dict(policy.thresholds), dict(policy.uncertain), []
        for k, label in enumerate(SUPERCLASSES):
            one = found.changes[label]
            if min(one.positives, one.negatives) >= FEWEST_FOR_THRESHOLD and name in POLICIES:
                known = np.isfinite(y[:, k])
                limits[label] = POLICIES[name][1](y[known, k], moved[known, k], label)
                bands[label] = choose_band(moved[:, k], limits[label])
                anew.append(label)
            else:
                ends = sigmoid(logit([limits[label], *bands[label]]) * one.slope + one.offset).tolist()
                limits[label], bands[label] = ends[0], (ends[1], ends[2])
        where = ", ".join(anew) or "no class"
        made[name] = Policy(f"{policy.rule}; chosen on the site's own recordings: {where}", limits, bands)
    return made
