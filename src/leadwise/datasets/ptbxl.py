"""PTB-XL (Wagner et al., Scientific Data 2020, 7:154): releases 1.0.1 to 1.0.3."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from leadwise.contract import StoredRate
from leadwise.datasets.base import Cleaned, Dataset, register
from leadwise.datasets.releases import CITATIONS, LICENCE, SIMULATION_FILE
from leadwise.datasets.tables import (
    DATABASE_FILE,
    RELEASES,
    WITHDRAWN,
    Tables,
    clean,
    read_tables,
    release_of,
    table_counts,
)


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
        return table_counts(tables)

    def release(self, tables: Tables, counts: Mapping[str, int]) -> str:
        return release_of(tables, counts)

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


register(PtbXl())
