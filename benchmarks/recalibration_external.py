"""What recalibration does for another hospital's recordings: cross-fitted, five folds of patients.

Each fold is moved by what was fitted on the other four. Two ways: with the labels, and without any.

    PYTHONPATH=src python benchmarks/recalibration_external.py ludb=data/ludb challenge2021=data/challenge2021
"""

import argparse
from pathlib import Path

import numpy as np
from served_answers import served_answers
from sklearn.model_selection import GroupKFold

from leadwise.contract import SUPERCLASSES
from leadwise.decision import Policy
from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.cohort_metrics import Side, compare
from leadwise.evaluation.recalibration import prior_shift, recalibrate
from leadwise.registry.load import PRETRAINED, package_folder
from leadwise.registry.site import class_rates
from leadwise.serving.scorer import read_description

FOLDS, REPLICATES, SEED = 5, 1000, 20
HALF = {"best_f1": Policy("0.5", dict.fromkeys(SUPERCLASSES, 0.5), dict.fromkeys(SUPERCLASSES, (0.5, 0.5)))}
"""Thresholds do not matter for what is told here."""


def cross_fitted(
    labels: np.ndarray, p: np.ndarray, patients: np.ndarray, rates: dict[str, float]
) -> dict[str, np.ndarray]:
    """Way -> probabilities that were moved by what other patients taught."""
    ways = {"labels": np.empty_like(p), "no label": np.empty_like(p)}
    for fitted, judged in GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(p, groups=patients):
        ways["labels"][judged] = recalibrate(labels[fitted], p[fitted]).apply(p[judged])
        ways["no label"][judged] = prior_shift(p[fitted], rates).apply(p[judged])
    return ways


def told(before: Estimate, after: Estimate) -> str:
    """Two values, and the interval of their difference."""
    change = after - before
    low, high = change.interval.low, change.interval.high
    return f"{before.value:.3f} → {after.value:.3f} | {change.value:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", help="NAME=FOLDER")
    given = parser.parse_args()
    with package_folder(PRETRAINED) as folder:
        rates = class_rates(read_description(folder))
    parts = {}
    for one in given.sources:
        name, _, source = one.partition("=")
        scored = served_answers(name, Path(source))
        kept = scored.answered
        patients = np.char.add(f"{name} ", scored.patients[kept].astype(str))
        parts[name] = scored.labels[kept], scored.probabilities[kept], patients
    if len(parts) > 1:
        parts["all together"] = tuple(np.concatenate(column) for column in zip(*parts.values(), strict=True))
    print("| recordings | way | figure | before → after | change |\n|---|---|---|---|---|")
    for name, (labels, p, patients) in parts.items():
        for way, moved in cross_fitted(labels, p, patients, rates).items():
            compared = compare(labels, Side(p, HALF), Side(moved, HALF), patients, replicates=REPLICATES, seed=SEED)
            means = ["log_loss", "ece"] if compared.measured else []
            figures = [*means, *(f"log_loss/{label}" for label in compared.measured)]
            for figure in figures:
                print(f"| {name}, {len(p)} | {way} | {figure} | {told(*compared.pair(figure))} |")
        print(
            f"| {name} | | present / absent / unknown | {', '.join(f'{k} {v}' for k, v in compared.known.items())} | |"
        )


if __name__ == "__main__":
    main()
