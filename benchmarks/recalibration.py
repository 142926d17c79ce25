"""What recalibration is worth where the truth is known: 100 simulated sites of each kind, at several sizes.

A site is made from the answers of the bundled networks to PTB-XL's fold 9, taken as true probabilities there. Its
patients differ from those by ``prevalence`` (the odds of each class are another, the ill look alike), by ``prevalence,
offset, slope`` (also, the probability of a label given the recording is another), or not at all. Fitted on so many
recordings that were drawn with labels, the probabilities are compared with the true ones of the site on all of fold 9.

    PYTHONPATH=src python benchmarks/recalibration.py data/ptbxl
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from served_answers import served_answers

from leadwise.contract import SUPERCLASSES
from leadwise.decision import logit, sigmoid
from leadwise.evaluation.calibration import fit_temperature
from leadwise.evaluation.recalibration import prior_shift, recalibrate

SITES, SEED = 100, 20
SIZES = (50, 200, 1000, 5000)
PREVALENCE_SD, OFFSET_SD, SLOPE_SD = 0.7, 0.5, 0.2
KINDS: Mapping[str, tuple[float, float, float]] = {
    "prevalence": (PREVALENCE_SD, 0, 0),
    "prevalence, offset, slope": (PREVALENCE_SD, OFFSET_SD, SLOPE_SD),
    "no shift": (0, 0, 0),
}
LABELLED = 0.1
"""Share of the recordings with labels where few have them."""


@dataclass(frozen=True)
class Site:
    """A site whose truth is known.

    Attributes:
        weight: ``(record, class)`` how often each recording of fold 9 is met there, class by class, sums to 1.
        truth: ``(record, class)`` the true probability of a label there.
    """

    weight: np.ndarray
    truth: np.ndarray

    @classmethod
    def draw(cls, p: np.ndarray, kind: tuple[float, float, float], rng: np.random.Generator) -> "Site":
        """One of a kind: standard deviations of the log odds of prevalence, of the offset, and of the log slope."""
        odds, offset, slope = (rng.normal(0, sd, p.shape[1]) if sd else np.zeros(p.shape[1]) for sd in kind)
        rate = p.mean(axis=0)
        there = sigmoid(logit(rate) + odds)
        weight = p * there / rate + (1 - p) * (1 - there) / (1 - rate)
        truth = sigmoid(np.exp(slope) * (logit(p) + odds) + offset)
        return cls(weight / weight.sum(axis=0), truth)

    def sample(self, p: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels and answers ``(size, class)``; each class has recordings of its own."""
        columns = range(p.shape[1])
        rows = np.stack([rng.choice(len(p), size, p=self.weight[:, k]) for k in columns], axis=1)
        return (rng.random(rows.shape) < self.truth[rows, columns]).astype(float), p[rows, columns]

    def error(self, answered: np.ndarray) -> np.ndarray:
        """Mean distance from the true probabilities, ``(class,)``."""
        return np.asarray((self.weight * np.abs(answered - self.truth)).sum(axis=0))


def few_labels(y: np.ndarray) -> np.ndarray:
    """Labels of the first tenth only."""
    return np.where(np.arange(len(y))[:, np.newaxis] < LABELLED * len(y), y, np.nan)


def temperature(y: np.ndarray, p: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A temperature of each class alone: the other thing that is often done."""
    slopes = np.array([1 / fit_temperature(y[:, [k]], p[:, [k]]) for k in range(p.shape[1])])
    return lambda q: sigmoid(logit(q) * slopes)


def simulate(p: np.ndarray, kind: str, size: int, sites: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Way -> errors before and after, each ``(site, class)``."""
    rng = np.random.default_rng([SEED, size, list(KINDS).index(kind)])
    rates = dict(zip(SUPERCLASSES, p.mean(axis=0), strict=True))
    ways: dict[str, Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
        "all labelled": lambda y, x: recalibrate(y, x).apply,
        "a tenth labelled": lambda y, x: recalibrate(few_labels(y), x).apply,
        "no label": lambda _, x: prior_shift(x, rates).apply,
        "temperature": temperature,
    }
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in ways}
    for _ in range(sites):
        site = Site.draw(p, KINDS[kind], rng)
        y, x = site.sample(p, size, rng)
        for name, way in ways.items():
            found[name].append((site.error(p), site.error(way(y, x)(p))))
    return {
        name: (np.array([one[0] for one in pairs]), np.array([one[1] for one in pairs]))
        for name, pairs in found.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="PTB-XL")
    parser.add_argument("--sites", type=int, default=SITES)
    given = parser.parse_args()
    p = np.clip(served_answers("ptbxl", given.tree, split="validation").probabilities, 1e-6, 1 - 1e-6)
    print(f"| site differs by | fitted on | {' | '.join(f'{size:,} recordings' for size in SIZES)} |")
    print(f"|---|---|{'---|' * len(SIZES)}")
    for kind in KINDS:
        found = [simulate(p, kind, size, given.sites) for size in SIZES]
        for way in found[0]:
            print(f"| {kind} | {way} | {' | '.join(told(*errors[way]) for errors in found)} |")


def told(before: np.ndarray, after: np.ndarray) -> str:
    """Mean error before and after, the share that is removed, and the share of sites that are worse."""
    said = f"{before.mean():.3f} → {after.mean():.3f}"
    if before.max() < 1e-9:
        return said
    worse = (after.mean(axis=1) > before.mean(axis=1)).mean()
    return f"{said}, {1 - after.mean() / before.mean():.0%}, worse {worse:.0%}"


if __name__ == "__main__":
    main()
