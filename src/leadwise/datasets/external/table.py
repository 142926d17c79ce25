"""The user's own recordings: a CSV or Parquet table with a row per recording, and files in any format that is read.

Which column holds what can be said for each: ``columns={"file": "trace", "MI": "infarct", "age": "years"}``. Columns
that are not named are looked for under their own names: ``file`` (needed), ``record_id``, ``patient_id``, ``source``,
``device``, ``split``, the facts, and the five superclasses, of which at least one is needed. A superclass without a
column is unknown, as is an empty cell.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from leadwise.contract import SUPERCLASSES
from leadwise.datasets import cohort
from leadwise.datasets.base import register
from leadwise.ecg.formats import read_ecg
from leadwise.ecg.record import Recording
from leadwise.features import asked_names

DEFAULT_TABLE = "records.csv"
PRESENT = frozenset({"1", "1.0", "true", "yes", "y", "present"})
ABSENT = frozenset({"0", "0.0", "false", "no", "n", "absent"})
UNKNOWN = frozenset({"", "nan", "na", "n/a", "none", "null", "unknown", "<na>"})


def known_names() -> tuple[str, ...]:
    """What a table can say of each recording."""
    return (*(name for name in cohort.TEXTS if name != "path"), *asked_names(), *SUPERCLASSES)


class TableOptions(cohort.CohortOptions):
    """What can be chosen about a table."""

    columns: Mapping[str, str] = Field(
        default={}, description=f"Which column holds what, by these names: {', '.join(known_names())}."
    )
    sexes: Mapping[str, Literal["male", "female"]] = Field(
        default={}, description="How the table writes the sexes, if not in words: {'0': 'male', '1': 'female'}, say."
    )
    fs_hz: float | None = Field(default=None, gt=0, description="Sampling rate in Hz, where the files do not say it.")
    units: Literal["mV", "uV", "V", "nV"] | None = Field(
        default=None, description="Units of the samples, where the files do not say them."
    )
    leads: tuple[str, ...] | None = Field(default=None, description="Leads in order, where the files do not name them.")

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: Mapping[str, str]) -> Mapping[str, str]:
        if unknown := [name for name in columns if name not in known_names()]:
            raise ValueError(f"{', '.join(unknown)} is none of {', '.join(known_names())}")
        return columns


class TableCohort(cohort.Cohort):
    """A table of one's own. Its labels are taken as they stand: strict and wide are the same."""

    name = "table"
    title = "a table of one's own"
    citation = "none: the user's own recordings"
    licence = "the user's own"
    traps = (
        "A column of zeros and ones says absent and present: where a finding was not looked for, leave the cell empty.",
        "Without the column patient_id every recording counts as a patient of its own, and intervals are too narrow.",
    )
    options_type = TableOptions

    def is_in(self, source: Path) -> bool:
        return (source / DEFAULT_TABLE).is_file() or (source.is_file() and source.suffix.casefold() in cohort.TABLES)

    def records(self, source: Path) -> pd.DataFrame:
        file = source / DEFAULT_TABLE if source.is_dir() else source
        table = cohort.read_texts(file, self.options.columns.values())
        columns = self._columns(file, table)
        rows = []
        for number, texts in enumerate(table[list(columns.values())].itertuples(index=False), start=1):
            given = dict(zip(columns, map(str.strip, texts), strict=True))
            rows.append(self._row(file, number, given))
        return cohort.cohort_table(rows)

    def _columns(self, file: Path, table: pd.DataFrame) -> dict[str, str]:
        """What the table holds -> its column."""
        chosen: Mapping[str, str] = self.options.columns
        found = {name: chosen.get(name, name) for name in known_names() if chosen.get(name, name) in table}
        if "file" not in found or not any(name in found for name in SUPERCLASSES):
            raise cohort.CohortError(
                f"{file}: received columns {', '.join(map(str, table))[:300]}; needed: file, and at least one of "
                f"{', '.join(SUPERCLASSES)}; "
                'the option {"columns": {"file": "NAME"}} says what they are called'
            )
        return found

    def _row(self, file: Path, number: int, given: dict[str, str]) -> dict[str, object]:
        where = f"{file}, row {number}"
        # Parquet writes whole numbers of a column with gaps as 1.0.
        facts = {name: given[name].removesuffix(".0") for name in asked_names() if name in given}
        if "sex" in facts:
            facts["sex"] = self.options.sexes.get(facts["sex"], facts["sex"])
        known, problems = cohort.facts_from(facts)
        texts = {name: given.get(name) or None for name in cohort.TEXTS if name != "path"}
        name = texts["file"]
        # Without ids the files are told apart by their names, which the checks want to be unique.
        return {
            **texts,
            "record_id": texts["record_id"] or name,
            "path": None if name is None else str(file.parent / name),
            **known,
            **{one: _label(where, one, given[one]) for one in SUPERCLASSES if one in given},
            "codes": ";".join(one for one in SUPERCLASSES if given.get(one, "").casefold() in PRESENT),
            "fact_problems": problems,
        }

    def read(self, row: cohort.Row) -> Recording:
        found = read_ecg(row["path"], **self.hints(row))
        # What the table does not say of the patient, the file may.
        facts = {
            **found.patient,
            **{name: value for name, value in cohort.known_facts(row).items() if value is not None},
        }
        return found.recording(facts, row["record_id"])

    def hints(self, row: cohort.Row) -> dict[str, Any]:
        return self.options.model_dump(include={"fs_hz", "units", "leads"})

    def assumptions(self) -> tuple[str, ...]:
        given = self.hints({})
        return tuple(f"Taken as given, not from the files: {name} {value}." for name, value in given.items() if value)


def _label(where: str, name: str, text: str) -> bool | None:
    folded = text.casefold()
    if folded in PRESENT:
        return True
    if folded in ABSENT:
        return False
    if folded in UNKNOWN:
        return None
    allowed = "1, 0, true, false, yes, no, present, absent, or nothing for unknown"
    raise cohort.CohortError(f"{where}: {name}: received {text[:40]!r}; allowed: {allowed}")


register(TableCohort())
