"""Of the recordings of a dataset: in how many each superclass is present, absent and unknown, and what is left out.

python benchmarks/external_labels.py ludb data/ludb
"""

import argparse
from pathlib import Path

from leadwise.datasets.base import cohort_named, cohorts
from leadwise.datasets.cohort import label_counts


def main() -> None:
    """Print a table for each variant of the labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=list(cohorts()))
    parser.add_argument("source", type=Path)
    given = parser.parse_args()
    for variant in ("strict", "wide"):
        table = cohort_named(given.dataset, labels=variant).records(given.source)
        print(f"{given.dataset}, {variant}: {table['excluded'].isna().sum()} of {len(table)} recordings")
        print(label_counts(table).to_string())
    for reason, count in table["excluded"].value_counts().items():
        print(f"left out: {count}: {reason}")


if __name__ == "__main__":
    main()
