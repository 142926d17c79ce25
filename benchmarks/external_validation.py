"""The table of docs/external-validation.md: the bundled network on LUDB, the Challenge 2021, both, and fold 10.

python benchmarks/external_validation.py data/ludb data/challenge2021 data/ptbxl
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from leadwise.config import Validate
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.cohort_evaluation import CohortEvaluation, Reference, evaluate_cohort
from leadwise.evaluation.cohort_metrics import cohort_metrics
from leadwise.evaluation.metrics import auroc
from leadwise.registry.cohort_scoring import ScoredCohort, request_of
from leadwise.registry.external_validation import validate_model
from leadwise.registry.load import load_scorer
from leadwise.serving.request_parsing import RequestParams


def main() -> None:
    """Print a row per dataset and variant of its labels, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("ludb", "challenge2021", "ptbxl"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    reported = {
        "PTB-XL, fold 10": Validate(source=given.ptbxl),
        "LUDB, strict": Validate(source=given.ludb),
        "LUDB, wide": Validate(source=given.ludb, label_map="wide"),
        "LUDB, strict, gains of the headers": Validate(source=given.ludb, options="gain:header"),
        "LUDB, wide, gains of the headers": Validate(source=given.ludb, label_map="wide", options="gain:header"),
        "Challenge 2021, strict": Validate(source=given.challenge2021),
        "Challenge 2021, wide": Validate(source=given.challenge2021, label_map="wide"),
    }
    scored: dict[str, ScoredCohort] = {}
    print(f"| | recordings | macro AUROC | {' | '.join(SUPERCLASSES)} | calibration error | verdict |")
    print(f"|{'---|' * (5 + len(SUPERCLASSES))}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, options) in enumerate(reported.items()):
            asked = options.model_copy(update={"model": "pretrained", "drawn": 0})
            done = validate_model(asked, Path(folder) / str(number))
            scored[name] = done.scored
            print(row(name, done.evaluation), flush=True)
            reference = done.evaluation.reference
    for labels in ("strict", "wide"):
        pair = [scored[f"LUDB, {labels}"], scored[f"Challenge 2021, {labels}"]]
        print(row(f"both, {labels}", together(pair, reference)), flush=True)
    hypertrophies(scored["LUDB, strict"])
    scales(scored["LUDB, strict"])


def hypertrophies(scored: ScoredCohort) -> None:
    """Print how well what LUDB calls hypertrophy is told from recordings without it, by the part of the heart."""
    said, p = scored.checked.table["codes"], scored.probabilities[:, SUPERCLASSES.index("HYP")]
    for part in ("Left ventricular hypertrophy", "Left atrial"):
        has = said.str.contains(part).to_numpy(bool)
        print(f"{part}: {has.sum()} recordings, AUROC {auroc(has[:, np.newaxis], p[:, np.newaxis])[0]:.3f}")


def scales(scored: ScoredCohort) -> None:
    """Print the AUROC of every class where all leads of LUDB are taller or smaller by one factor."""
    scorer = load_scorer("pretrained")
    recordings = [scored.cohort.read(row) for row in scored.checked.table.to_dict("records")]
    limits = scored.policy.limits()
    for factor in (0.5, 0.7, 1.0, 1.4, 2.0):
        asked = [
            request_of(replace(one, record=replace(one.record, signal_mv=one.record.signal_mv * np.float32(factor))))
            for one in recordings
        ]
        answers = list(scorer.answers_to(asked, RequestParams()))
        p = np.array([[answer["probabilities"][name] for name in SUPERCLASSES] for answer in answers])
        found = cohort_metrics(scored.labels, p, thresholds=limits)
        areas = ", ".join(f"{name} {found[f'auroc/{name}']:.3f}" for name in SUPERCLASSES)
        print(f"times {factor:g}: macro AUROC {found['macro_auroc']:.3f}; {areas}", flush=True)


def together(pair: Sequence[ScoredCohort], reference: Reference) -> CohortEvaluation:
    """Several datasets as one: whose patients are whose stays apart."""
    return evaluate_cohort(
        pd.concat([one.checked.table for one in pair], ignore_index=True),
        pd.concat([one.answers for one in pair], ignore_index=True),
        np.concatenate([np.char.add(f"{one.cohort.name} ", one.patients.astype(str)) for one in pair]),
        thresholds=pair[0].policy.limits(),
        reference=reference,
        own_test=False,
        bootstrap=1000,
        seed=20,
    )


def row(name: str, found: CohortEvaluation) -> str:
    """One line of the table; in brackets intervals, after a class how many have it and have it not."""

    def told(metric: str) -> str:
        estimate = found.metrics.get(metric)
        if estimate is None or not np.isfinite(estimate.value):
            return "n/a"
        return f"{estimate.value:.3f} [{estimate.interval.low:.3f}, {estimate.interval.high:.3f}]"

    classes = [f"{told(f'auroc/{one}')} ({found.known[one].present}/{found.known[one].absent})" for one in SUPERCLASSES]
    macro = told("macro_auroc")
    if found.counted and len(found.counted) < len(SUPERCLASSES):
        macro += f" of {', '.join(found.counted)}"
    return f"| {name} | {found.records:,} | {macro} | {' | '.join(classes)} | {told('ece')} | {found.verdict.name} |"


if __name__ == "__main__":
    main()
