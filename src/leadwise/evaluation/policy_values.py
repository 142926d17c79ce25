"""What each policy of a decision comes to on any rows: found and missed, alarms to be trusted, answers left open."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.abstention import aurc
from leadwise.evaluation.bootstrap import Interval, bootstrap_intervals
from leadwise.evaluation.decisions import Decision
from leadwise.evaluation.metrics import decide, decision_rates, validate
from leadwise.policies import is_uncertain

Floats = NDArray[np.float64]


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
