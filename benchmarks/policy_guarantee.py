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
from leadwise.evaluation.thresholds import TARGETS, Measure, reaching
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


def kept(
    scored: ScoredCohort, members: np.ndarray, k: int, limits: np.ndarray, measure: Measure
) -> tuple[int, Estimate]:
    """Of a class the records that a measure is of, and the share of them that is right; limits ``(record,)``."""
    y, p = scored.labels[scored.answered][:, k], scored.probabilities[scored.answered][:, k]
    those = members & (y == (measure == "sensitivity"))
    if those.sum() < FEWEST:
        return int(those.sum()), Estimate(np.nan)
    # Beyond its own limit: a threshold that differs from record to record is one of 0.5.
    said, truth = (p >= limits)[those].astype(float)[:, np.newaxis], y[those][:, np.newaxis]
    weights = patient_weights(scored.patients[scored.answered][those], REPLICATES, SEED)
    found = estimates(lambda drawn: {measure: MetricInput(truth, said, weights=drawn).rates[measure][..., 0]}, weights)
    return int(those.sum()), found[measure]


def by_age(scored: ScoredCohort, k: int) -> dict[str, float]:
    """Thresholds of a class, chosen as the policy chooses them, band by band."""
    y, p = scored.labels[scored.answered][:, k], scored.probabilities[scored.answered][:, k]
    return {
        name: reaching(y[members], p[members], TARGETS[SUPERCLASSES[k]])
        for name, members in parts(scored)
        if members.any()
    }


def limits_of(scored: ScoredCohort, thresholds: Mapping[str, float]) -> np.ndarray:
    """The threshold of every answered recording: that of its part, or of all."""
    limits = np.full(int(scored.answered.sum()), thresholds["all"])
    for name, members in parts(scored):
        if name in AGES and name in thresholds:
            limits[members] = thresholds[name]
    return limits


def table(
    title: str, scored: ScoredCohort, thresholds: Mapping[str, Mapping[str, float]], *, cost: bool = False
) -> None:
    """Print a row per part: what the targets are of, or its cost, the other of sensitivity and specificity."""
    for name, members in parts(scored):
        cells = []
        for k, label in enumerate(SUPERCLASSES):
            measure = TARGETS[label].measure
            if cost:
                measure = "specificity" if measure == "sensitivity" else "sensitivity"
            count, share = kept(scored, members, k, limits_of(scored, thresholds[label]), measure)
            low, high = share.interval.low, share.interval.high
            below = " **below**" if not cost and high < TARGETS[label].value else ""
            cells.append(
                f"{share.value:.3f} [{low:.3f}, {high:.3f}] of {count}{below}" if high == high else f"{count} only"
            )
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
        print("the other of sensitivity and specificity:")
        table("fold 10", fold_10, as_served, cost=True)
        table("fold 10, thresholds by age", fold_10, bands, cost=True)


if __name__ == "__main__":
    main()
