"""Whether the policy ``target_sensitivity`` keeps its promise on new records, in all of them and in parts of them.

Its thresholds were chosen on PTB-XL's fold 9, so that all new records together reach each class's target with 90 %
confidence; of parts it promises nothing. Here it is looked at by age and by sex on fold 10, and on other hospitals'
recordings. "below" stands where even the upper end of the 95 % interval (by patient) does not reach the target. With
``--by-age``, thresholds are also chosen by age band on fold 9 by the same rule, and judged beside the common one on
fold 10 and on the others. "few" marks a band of which fold 9 has too few records for the rule to allow a single miss:
the rule proves nothing there, and a policy by bands would keep the common threshold.

    PYTHONPATH=src python benchmarks/policy_guarantee.py data/ptbxl [ludb=data/ludb ...] [--by-age]
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from served_answers import served_answers

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, patient_weights
from leadwise.evaluation.decisions import CONFIDENCE, TARGET_POLICY, TARGETS, Measure, misses_allowed, reaching
from leadwise.evaluation.subgroups import DECISION_AGES, MEASURES, parts, share_right
from leadwise.registry.cohort_scoring import ScoredCohort
from leadwise.registry.load import PRETRAINED, load_scorer

REPLICATES, SEED = 1000, 20


def members_of(scored: ScoredCohort) -> dict[str, np.ndarray]:
    """Name of a part of the answered recordings -> its members."""
    return {"all": np.ones(int(scored.answered.sum()), dtype=bool)} | parts(scored.checked.table[scored.answered])


def kept(scored: ScoredCohort, members: np.ndarray, k: int, limit: float, measure: Measure) -> tuple[int, Estimate]:
    """Of a class the records that a measure is of, and the share of them that is right."""
    y, p = scored.labels[scored.answered][members, k], scored.probabilities[scored.answered][members, k]
    weights = patient_weights(scored.patients[scored.answered][members], REPLICATES, SEED)
    return share_right(y, p, limit, measure, weights)


def table(title: str, scored: ScoredCohort, thresholds: Mapping[str, float]) -> None:
    """Print a row per part."""
    for name, members in members_of(scored).items():
        cells = []
        for k, label in enumerate(SUPERCLASSES):
            target = TARGETS[label]
            count, share = kept(scored, members, k, thresholds[label], target.measure)
            low, high = share.interval.low, share.interval.high
            below = " **below**" if high < target.value else ""
            cells.append(
                f"{share.value:.3f} [{low:.3f}, {high:.3f}] of {count}{below}" if high == high else f"{count} only"
            )
        print(f"| {title} | {name} | {' | '.join(cells)} |")


def by_age(fold_9: ScoredCohort, judged: Mapping[str, ScoredCohort], common: Mapping[str, float]) -> None:
    """Print a row per class and age band: thresholds, and what the common and the band's own do on what is judged."""
    heads = [f"{name}, {what}" for name in judged for what in ("sensitivity", "specificity")]
    print(f"| class, age | chosen on | threshold | {' | '.join(heads)} |\n|---|--:|---|{'---|' * len(heads)}")
    y, p = fold_9.labels[fold_9.answered], fold_9.probabilities[fold_9.answered]
    chosen = members_of(fold_9)
    for k, label in enumerate(SUPERCLASSES):
        target = TARGETS[label]
        for age in DECISION_AGES:
            members = chosen[age]
            count = int((y[members, k] == (target.measure == "sensitivity")).sum())
            few = "" if misses_allowed(count, target.value, CONFIDENCE) else " few"
            own = reaching(y[members, k], p[members, k], target)
            cells = [
                told(scored, members_of(scored)[age], k, (common[label], own), measure)
                for scored in judged.values()
                for measure in MEASURES
            ]
            print(f"| {label} {age} | {count}{few} | {common[label]:.3f} → {own:.3f} | {' | '.join(cells)} |")


def told(scored: ScoredCohort, members: np.ndarray, k: int, limits: tuple[float, float], measure: Measure) -> str:
    """A measure with two thresholds: ``0.733 → 1.000 of 30``; **bold** where its interval lies below the target."""
    (count, before), (_, after) = (kept(scored, members, k, limit, measure) for limit in limits)
    if not np.isfinite(before.value):
        return f"{count} only"
    target = TARGETS[SUPERCLASSES[k]]
    values = [
        f"**{one.value:.3f}**" if measure == target.measure and one.interval.high < target.value else f"{one.value:.3f}"
        for one in (before, after)
    ]
    return f"{' → '.join(values)} of {count}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="PTB-XL")
    parser.add_argument("others", nargs="*", help="NAME=FOLDER")
    parser.add_argument("--by-age", action="store_true")
    given = parser.parse_args()
    served = load_scorer(PRETRAINED).fusion.policies[TARGET_POLICY].thresholds
    heads = [f"{label} {TARGETS[label].measure} {TARGETS[label].value:.2f}" for label in SUPERCLASSES]
    print(f"| recordings | part | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    judged = {"fold 10": served_answers("ptbxl", given.tree, split="test")}
    for one in given.others:
        name, _, source = one.partition("=")
        judged[name] = served_answers(name, Path(source))
    for name, scored in judged.items():
        table(name, scored, served)
    if given.by_age:
        by_age(served_answers("ptbxl", given.tree, split="validation"), judged, served)


if __name__ == "__main__":
    main()
