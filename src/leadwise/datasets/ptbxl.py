"""PTB-XL (Wagner et al., Scientific Data 2020, 7:154), releases 1.0.1 to 1.0.3, and what is simulated in its place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pandas as pd

from leadwise.contract import StoredRate
from leadwise.datasets.base import Cleaned, Dataset, GateLimits, register
from leadwise.datasets.releases import CITATIONS, LICENCE, RELEASES, SIMULATION_FILE
from leadwise.datasets.tables import AGE_OVER_89, DATABASE_FILE, Tables, clean, label_counts, read_tables

ROWS_OF_1_0_2 = 21_801
"""All that is known of release 1.0.2: it dropped 36 of the records of 1.0.1, and 1.0.3 two more."""

WITHDRAWN: frozenset[int] = frozenset(
    {137, 139, 140, 141, 142, 143, 145, 456, 458, 459, 461, 462, 2506, 2511, 3795, 3798, 3800, 3801, 3832, 5817}
    | {7777, 7779, 7782, 9821, 9825, 9888, 11810, 11814, 11815, 11817, 11838, 13791, 13793, 13796, 13797, 13799}
    | {15742, 18150}
)
"""The 38 records of release 1.0.1 that releases 1.0.2 and 1.0.3 dropped: their waveforms may be absent."""


class PtbXl(Dataset[Tables]):
    """The published dataset, as PhysioNet lays it out."""

    name = "ptbxl"
    title = "PTB-XL"
    citation = CITATIONS["1.0.3"]
    licence = LICENCE
    model_name = "leadwise"
    may_be_absent = WITHDRAWN
    command = "leadwise download {tree} --rate {rate}"

    def is_in(self, tree: Path) -> bool:
        return (tree / DATABASE_FILE).is_file() and not (tree / SIMULATION_FILE).is_file()

    def read_tables(self, tree: Path, rate: StoredRate) -> Tables:
        return read_tables(tree, rate)

    def clean(self, tables: Tables) -> Cleaned:
        return clean(tables)

    def counts(self, tables: Tables) -> Mapping[str, int]:
        """Rows, patients and records per superclass."""
        patients = int(tables.database["patient_id"].nunique())
        return {"rows": len(tables.database), "patients": patients} | label_counts(tables.labels)

    def release(self, tables: Tables, counts: Mapping[str, int]) -> str:
        """A release, or ``unknown``: known by its rows and patients, and by how it writes age."""
        hides_age = bool((tables.numbers()["age"] == AGE_OVER_89).any())
        for name, known in RELEASES.items():
            if all(known[key] == counts[key] for key in ("rows", "patients")) and hides_age == (name == "1.0.3"):
                return name
        return "1.0.2" if counts["rows"] == ROWS_OF_1_0_2 else "unknown"

    def known_counts(self, release: str) -> Mapping[str, int]:
        return RELEASES.get(release, {})

    def frames(self, tables: Tables, not_as_listed: Sequence[str]) -> Mapping[str, pd.DataFrame]:
        from leadwise.datasets.checks.frames import file_frame, fold_frame, label_frame, schema_frame, table_frame

        return {
            "files": file_frame(tables, not_as_listed),
            "schema": schema_frame(tables),
            "table": table_frame(tables),
            "labels": label_frame(tables),
            "folds": fold_frame(tables),
        }


class Synthetic(PtbXl):
    """A tree that ``leadwise simulate`` has written."""

    name = "synthetic"
    title = "a simulated PTB-XL"
    citation = "none: made by Leadwise"
    licence = "none: no recording of anybody"
    about_patients = False
    model_name = "leadwise-demo"
    may_be_absent = frozenset()
    gate: ClassVar[Mapping[str, GateLimits]] = {
        "auroc": GateLimits(0.6, 0.5, mean_margin=0.2, each_margin=0.5),
        "ece": GateLimits(0.25),
    }
    """So few records decide little, and their figures say nothing about patients."""
    replaceable = True

    def is_in(self, tree: Path) -> bool:
        return (tree / SIMULATION_FILE).is_file()

    def release(self, tables: Tables, counts: Mapping[str, int]) -> str:
        return "simulated"


register(PtbXl())
register(Synthetic())
