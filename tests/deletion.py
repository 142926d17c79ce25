"""Is an explanation right? What it marks is removed bit by bit: the probability should fall faster than by chance.

The deletion test of Petsiuk et al. 2018 (after Samek et al. 2017), on small stretches of single leads: they are removed
in the order of their attribution, and the area under the probability over the share that is gone is compared with that
of removing them in random order.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leadwise.ecg.waves import taken_out
from leadwise.evaluation.bootstrap import Interval, percentile_interval
from leadwise.explain import Explainable, Patient, _ask, _covering_starts, _windows

Removal = Literal["line", "median"]

CELL_S = 0.05
"""Length of what is removed at a time, from one lead."""
SHARES: tuple[float, ...] = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Shares of the recording that are gone when the network is asked."""


def probabilities(model: Explainable, signals_mv: np.ndarray, patient: Patient, superclass: str) -> NDArray[np.float64]:
    """The class's probability ``(record,)`` of changed recordings ``(record, time, 12)``, as it is explained."""
    starts, k = _covering_starts(model.preprocessing, signals_mv.shape[1]), list(model.classes).index(superclass)
    windows = (_windows(model, signal.astype(np.float32), starts) for signal in signals_mv)
    return np.array([_ask(model, of_one, patient)[:, k].mean() for of_one in windows])


@dataclass(frozen=True)
class Deletion:
    """How the probability fell on several records.

    Attributes:
        marked: ``(record, step)`` probability after each of ``SHARES`` is gone, the most positive attribution first.
        random: the same in random order.
    """

    marked: NDArray[np.float64]
    random: NDArray[np.float64]

    def advantage(self, *, replicates: int = 1000, seed: int = 0) -> tuple[float, Interval]:
        """How much smaller the area is than at random, mean over records, with its 95 % interval over records."""
        gains = area(self.random) - area(self.marked)
        drawn = np.random.default_rng(seed).integers(len(gains), size=(replicates, len(gains)))
        return float(gains.mean()), percentile_interval(gains[drawn].mean(axis=1))


def area(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean probability over the shares that are gone, ``(..., step)`` -> ``(...)``."""
    return np.asarray(np.trapezoid(curves, SHARES, axis=-1)) / SHARES[-1]


def deletion_curve(
    model: Explainable,
    signal_mv: np.ndarray,
    patient: Patient,
    superclass: str,
    attribution: np.ndarray,
    *,
    removal: Removal = "line",
) -> NDArray[np.float64]:
    """The class's probability after each of ``SHARES`` is removed, ``(step,)``.

    Args:
        model: the network.
        signal_mv: ``(time, 12)`` in mV.
        patient: what is known of the patient.
        superclass: the class.
        attribution: ``(time, 12)``; the stretches with the largest mean go first.
        removal: ``line``: between the samples that stay; ``median``: of the lead. Each favours the method that replaces
            alike, so look at both.

    Raises:
        LeadwiseError: as ``explain.explain_together``.
    """
    size = round(CELL_S * model.preprocessing.fs_hz)
    cells = len(signal_mv) // size
    strength = attribution[: cells * size].reshape(cells, size, -1).mean(axis=1)
    order = np.argsort(-strength.ravel(), kind="stable")
    changed = []
    for share in SHARES:
        gone = np.zeros(strength.size, dtype=bool)
        gone[order[: round(share * len(order))]] = True
        members = np.zeros(signal_mv.shape, dtype=bool)
        members[: cells * size] = np.repeat(gone.reshape(strength.shape), size, axis=0)
        changed.append(_without(signal_mv, members, removal))
    return probabilities(model, np.stack(changed), patient, superclass)


def random_attribution(signal_mv: np.ndarray, fs_hz: float, generator: np.random.Generator) -> np.ndarray:
    """``(time, 12)`` that says nothing: every stretch that ``deletion_curve`` removes has a random strength."""
    size = round(CELL_S * fs_hz)
    cells = -(-len(signal_mv) // size)
    strength = generator.permutation(cells * signal_mv.shape[1]).reshape(cells, -1)
    return np.repeat(strength, size, axis=0)[: len(signal_mv)].astype(np.float64)


def _without(signal_mv: np.ndarray, members: NDArray[np.bool_], removal: Removal) -> np.ndarray:
    if removal == "line":
        return taken_out(signal_mv, members)
    return np.where(members, np.median(signal_mv, axis=0), signal_mv)
