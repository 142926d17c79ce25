"""What the bundled networks answer to the recordings of a dataset, for the benchmarks beside this file."""

from pathlib import Path
from typing import Any

from leadwise.atomic import temporary_folder
from leadwise.datasets.base import cohort_named
from leadwise.registry.cohort_scoring import ScoredCohort, score_cohort
from leadwise.registry.load import load_scorer


def served_answers(dataset: str, source: Path, *, split: str = "auto", **options: Any) -> ScoredCohort:
    """Every recording of a dataset, scored."""
    with temporary_folder("benchmark") as folder:
        scorer = load_scorer("pretrained")
        return score_cohort(cohort_named(dataset, **options), source, scorer, folder / "checks", split=split)
