"""A cohort: recordings with labels that a registered model can be scored on, wherever they were made.

This is the smaller half of what a dataset can be: ``records(source)`` gives a table with a row per recording, and
``read(row)`` the recording of a row. Every dataset has it, those that can be trained on (``datasets.base.Dataset``)
as well, so that PTB-XL's fold 10 is scored in the same way as another hospital's recordings.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.ecg.formats import read_ecg
from leadwise.ecg.formats.patient import checked_facts
from leadwise.ecg.record import Recording
from leadwise.features import FEATURES, asked_names

TABLES = (".csv", ".parquet")
MOST_ROWS = 5_000_000
NOT_GIVEN = frozenset({"", "nan", "na", "unknown", "none"})
TEXTS: tuple[str, ...] = ("record_id", "patient_id", "source", "device", "split", "file", "path")
NOTES: tuple[str, ...] = ("codes", "unknown_codes", "fact_problems", "excluded")


def cohort_columns() -> tuple[str, ...]:
    """The columns of a cohort's table, always all of them and in this order.

    - ``record_id``, ``patient_id``, ``source`` (the hospital or collection within the cohort), ``device`` and
      ``split``; as in every column of text, NaN where it is not known;
    - ``file`` below the source, and ``path``, where it is;
    - what is known of the patient, by the names of ``leadwise.features``; NaN where unknown;
    - a column per superclass, pandas' ``boolean``: present, absent, or ``<NA>`` where the labels do not tell;
    - ``codes`` as the dataset writes them, ``unknown_codes`` that its label map lacks, ``fact_problems`` (what was
      given of the patient and could not be taken), and ``excluded``: why a recording is not to be scored, NaN where
      it is.
    """
    return (*TEXTS, *asked_names(), *SUPERCLASSES, *NOTES)


Row = pd.Series | Mapping[Any, Any]
"""One row of a cohort's table."""


class CohortError(LeadwiseError):
    """A folder or table is not what the cohort needs, or an option is wrong; the message names it."""


class CohortOptions(BaseModel):
    """What can be chosen about a cohort.

    Attributes:
        labels: which of the codes of its label map count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Literal["strict", "wide"] = Field(
        default="strict",
        description="strict: only codes that name a superclass beyond doubt; what is doubtful makes it unknown. "
        "wide: doubtful codes count as present.",
    )


class Cohort(ABC):
    """Recordings of 12-lead ECGs with labels.

    Attributes:
        name: how it is called in commands.
        title: how it is called in sentences.
        citation: what to cite.
        licence: under which it is published.
        about_patients: whether figures of it say anything about patients.
        fs_hz: as ``rate_hz`` says it.
        traps: what is known to be odd about it, in plain sentences.
        options_type: what can be chosen about it.
        options: what was chosen.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    citation: ClassVar[str]
    licence: ClassVar[str]
    about_patients: ClassVar[bool] = True
    fs_hz: ClassVar[float | None] = None
    traps: ClassVar[tuple[str, ...]] = ()
    options_type: ClassVar[type[CohortOptions]] = CohortOptions

    def __init__(self, options: CohortOptions | None = None) -> None:
        self.options: Any = self.options_type() if options is None else options

    def configured(self, **options: Any) -> "Cohort":
        """The same with some options chosen.

        Raises:
            CohortError: there is no such option, or its value is not allowed.
        """
        try:
            return type(self)(self.options_type(**options))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "options"
            allowed = ", ".join(self.options_type.model_fields)
            hint = f"; options: {allowed}" if problem["type"] == "extra_forbidden" else ""
            raise CohortError(f"{self.name}: {where}: received {problem['input']!r}: {problem['msg']}{hint}") from None

    @abstractmethod
    def is_in(self, source: Path) -> bool:
        """Whether a folder or file holds it."""

    @abstractmethod
    def records(self, source: Path) -> pd.DataFrame:
        """A row per recording, columns ``cohort_columns()``; its waveforms are not read.

        Raises:
            LeadwiseError: the source does not hold what is needed; the message names the file.
        """

    def read(self, row: Row) -> Recording:
        """The recording of a row, with the facts of the row.

        Raises:
            ReaderError: it cannot be read as a 12-lead ECG; the message says why.
        """
        return read_ecg(row["path"], **self.hints(row)).recording(known_facts(row), row["record_id"])

    def hints(self, row: Row) -> dict[str, Any]:
        """What is known of the file of a row, as ``read_ecg`` takes it."""
        return {}

    def rate_hz(self) -> float | None:
        """Sampling rate in Hz that every recording must have; None where they differ."""
        return self.fs_hz

    def assumptions(self) -> tuple[str, ...]:
        """What was chosen or taken for granted, in plain sentences, to stand beside every figure."""
        return ()

    def written(self, codes: str) -> list[str]:
        """What the codes of a row say, a line each, with their names where the dataset's map has them."""
        return [line for code in codes.split(";") if (line := code.strip())]

    def known_counts(self, release: str) -> Mapping[str, int]:
        """What ``counts`` must be for a release; empty where that is not known."""
        return {}


def known_facts(row: Row) -> dict[str, float | None]:
    """The facts of a row as ``ECGRecord.patient`` holds them."""
    return {name: None if pd.isna(row[name]) else float(row[name]) for name in asked_names()}


def facts_from(texts: Mapping[str, str]) -> tuple[dict[str, float], str | None]:
    """Facts by the names of features from text, and what could not be taken, in one line.

    An empty text, and a word of ``NOT_GIVEN`` in any case, says nothing.
    """
    given = {name: text for name, text in texts.items() if text.strip().casefold() not in NOT_GIVEN}
    facts, notes = checked_facts({name: FEATURES[name].parse(text) for name, text in given.items()})
    return facts, " ".join(notes) or None


def cohort_table(rows: Iterable[Mapping[Any, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns and types that every cohort has; what a row lacks is unknown."""
    table = pd.DataFrame(list(rows), columns=list(cohort_columns()), dtype=object)
    for name in asked_names():
        table[name] = pd.to_numeric(table[name]).astype(float)
    for name in SUPERCLASSES:
        table[name] = table[name].astype("boolean")
    for name in (*TEXTS, *NOTES):
        table[name] = table[name].astype("str")
    return table


def label_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Recordings to be scored in which each superclass is present, absent and unknown, by source and in ``all``."""
    used = table[table["excluded"].isna()]
    labels = used[list(SUPERCLASSES)]
    states = {
        "present": labels.eq(True).fillna(False),
        "absent": labels.eq(False).fillna(False),
        "unknown": labels.isna(),
    }
    in_order = [(name, state) for name in SUPERCLASSES for state in states]
    marked = pd.concat(states, axis=1).swaplevel(axis=1)[in_order].astype(int)
    return pd.concat([marked.groupby(used["source"].map(str)).sum(), marked.sum().to_frame("all").T])


def read_texts(file: Path, columns: Collection[str] = ()) -> pd.DataFrame:
    """A CSV or Parquet table, every cell as text, empty where nothing stands.

    Raises:
        CohortError: it cannot be read, has no rows, too many, or not all of these columns.
    """
    try:
        if file.suffix.casefold() == ".parquet":
            table = pd.read_parquet(file)
            table = table.astype(object).where(table.notna(), "").astype(str)
        else:
            table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CohortError(f"{file}: cannot be read as a table ({', '.join(TABLES)}): {error}") from None
    if not 1 <= len(table) <= MOST_ROWS:
        raise CohortError(f"{file}: received {len(table)} rows; 1 to {MOST_ROWS:,} are allowed")
    table = table.rename(columns=str)
    if missing := [name for name in columns if name not in table]:
        raise CohortError(f"{file}: column {', '.join(missing)} missing; received {', '.join(map(str, table))}"[:500])
    return table


def needed(source: Path, names: Collection[str], title: str) -> None:
    """Stop where a folder lacks files.

    Raises:
        CohortError: the message names them.
    """
    absent = [name for name in names if not (source / name).exists()]
    if absent:
        raise CohortError(f"{source}: {', '.join(absent)} missing; a folder of {title} is needed")
