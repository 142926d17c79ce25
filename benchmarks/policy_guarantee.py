"""Whether the policy ``target_sensitivity`` keeps its promise on new records, in all of them and in parts of them.

Its thresholds were chosen on PTB-XL's fold 9, so that all new records together reach each class's target with 90 %
confidence; of parts it promises nothing. Here it is looked at by age and by sex on fold 10, and on other hospitals'
recordings. "below" stands where even the upper end of the 95 % interval (by patient) does not reach the target. With
``--by-age``, thresholds are also chosen by age band on fold 9, and judged on fold 10.

    PYTHONPATH=src python benchmarks/policy_guarantee.py data/ptbxl [ludb=data/ludb ...] [--by-age]
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from served_answers import served_answers

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, estimates, patient_weights
from leadwise.evaluation.metrics import MetricInput
from leadwise.evaluation.thresholds import TARGETS, reaching
from leadwise.registry.cohort_scoring import ScoredCohort
from leadwise.registry.load import PRETRAINED, load_scorer

POLICY, REPLICATES, SEED = "target_sensitivity", 1000, 20
AGES: Mapping[str, tuple[float, float]] = {
    "18-39": (18, 40), "40-59": (40, 60), "60-79": (60, 80), "80 and more": (80, np.inf),
}  # fmt: skip
FEWEST = 10
"""Records that the target is of; with fewer nothing is told."""


def parts(scored: ScoredCohort) -> Iterator[tuple[str, np.ndarray]]:
    """Name and members of each part of the answered recordings."""
    table = scored.checked.table[scored.answered]
    age, sex = table["age"].to_numpy(), table["sex"].to_numpy()
    yield "all", np.ones(len(table), dtype=bool)
    for name, (low, high) in AGES.items():
        yield name, (age >= low) & (age < high)
    yield "male", sex == 0
    yield "female", sex == 1


def kept(scored: ScoredCohort, members: np.ndarray, k: int, limits: np.ndarray) -> tuple[int, Estimate]:
    """Of a class the records that its target is of, and the share that is right; limits ``(record,)``."""
    label = SUPERCLASSES[k]
    y, p = scored.labels[scored.answered][:, k], scored.probabilities[scored.answered][:, k]
    aimed = members & (y == (1 if TARGETS[label].measure == "sensitivity" else 0))
    # Beyond its own limit: a threshold that differs from record to record is one of 0.5.
    said = (p >= limits)[aimed].astype(float)[:, np.newaxis]
    truth = y[aimed][:, np.newaxis]
    weights = patient_weights(scored.patients[scored.answered][aimed], REPLICATES, SEED) if aimed.any() else None
    measure = TARGETS[label].measure
    found = estimates(lambda drawn: {measure: MetricInput(truth, said, weights=drawn).rates[measure][..., 0]}, weights)
    return int(aimed.sum()), found[measure]


def by_age(scored: ScoredCohort, k: int) -> dict[str, float]:
    """Thresholds of a class, chosen as the policy chooses them, band by band."""
    y, p = scored.labels[scored.answered][:, k], scored.probabilities[scored.answered][:, k]
    return {
        name: reaching(y[members], p[members], TARGETS[SUPERCLASSES[k]])
        for name, members in parts(scored)
        if members.any()
    }


def table(title: str, scored: ScoredCohort, thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Print a row per part: thresholds by class, then by part."""
    for name, members in parts(scored):
        cells = []
        for k, label in enumerate(SUPERCLASSES):
            of_class = thresholds[label]
            limits = np.full(int(scored.answered.sum()), of_class["all"])
            if len(of_class) > 1:
                for band, those in parts(scored):
                    if band in AGES:
                        limits[those] = of_class[band]
            known = (scored.labels[scored.answered][:, k] == (TARGETS[label].measure == "sensitivity")) & members
            if known.sum() < FEWEST:
                cells.append(f"{known.sum()} only")
                continue
            count, share = kept(scored, members, k, limits)
            low, high = share.interval.low, share.interval.high
            below = " below" if high < TARGETS[label].value else ""
            cells.append(f"{share.value:.3f} [{low:.3f}, {high:.3f}] of {count}{below}")
        print(f"| {title} | {name} | {' | '.join(cells)} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="PTB-XL")
    parser.add_argument("others", nargs="*", help="NAME=FOLDER")
    parser.add_argument("--by-age", action="store_true")
    given = parser.parse_args()
    served = load_scorer(PRETRAINED).fusion.policies[POLICY].thresholds
    heads = [f"{label} {TARGETS[label].measure} {TARGETS[label].value:.2f}" for label in SUPERCLASSES]
    print(f"| recordings | part | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    fold_10 = served_answers("ptbxl", given.tree, split="test")
    as_served = {label: {"all": served[label]} for label in SUPERCLASSES}
    table("fold 10", fold_10, as_served)
    for one in given.others:
        name, _, source = one.partition("=")
        table(name, served_answers(name, Path(source)), as_served)
    if given.by_age:
        fold_9 = served_answers("ptbxl", given.tree, split="validation")
        bands = {label: by_age(fold_9, k) for k, label in enumerate(SUPERCLASSES)}
        for label, of_class in bands.items():
            print(f"| thresholds {label} | | {', '.join(f'{name} {of_class[name]:.3f}' for name in ('all', *AGES))} |")
        table("fold 10, thresholds by age", fold_10, bands)


if __name__ == "__main__":
    main()
