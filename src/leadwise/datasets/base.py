"""The datasets. Each says once what it is; whoever needs one, or all of them, asks here.

Every dataset is a ``Cohort``: a table of recordings with labels, on which models can be scored. Those that can also be
ingested and trained on are a ``Dataset``. A new one is a subclass of either in a file of its own, and a call of
``register``: see ``external.ludb`` and ``ptbxl``.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
from pydantic import Field

from leadwise.contract import SUPERCLASSES, StoredRate
from leadwise.datasets.cohort import Cohort, CohortError, CohortOptions, cohort_table
from leadwise.datasets.reading import SPLIT_OF_FOLD
from leadwise.datasets.releases import STATEMENT_BY_CODE
from leadwise.features import asked_names

MEMBERS = (
    "leadwise.datasets.ptbxl",
    "leadwise.datasets.external.ludb",
    "leadwise.datasets.external.challenge2021",
    "leadwise.datasets.external.sph",
    "leadwise.datasets.external.table",
)
"""Modules that register a dataset, imported when the first is asked for."""


@dataclass(frozen=True)
class GateLimits:
    """What the promotion gate asks of a metric on fold 10; ``None``: nothing.

    Attributes:
        mean: limit of the mean over the classes, or of the metric where it has none: a floor, or where lower is better
            a ceiling.
        each: the same of each class.
        mean_margin: by which a candidate may be worse than the champion.
        each_margin: the same of each class.
    """

    mean: float | None = None
    each: float | None = None
    mean_margin: float | None = None
    each_margin: float | None = None


@dataclass(frozen=True)
class DatasetTables(ABC):
    """The tables of one tree, as they stand in its files.

    Attributes:
        tree: the folder that holds the dataset.
        rate: sampling rate in Hz of the waveforms that are meant.
        files: name of each file that was read -> SHA-256 of its bytes.
    """

    tree: Path
    rate: StoredRate
    files: Mapping[str, str]

    @property
    @abstractmethod
    def filenames(self) -> pd.Series:
        """Path of every record below the tree, without extension, as text."""


@dataclass(frozen=True)
class Cleaned:
    """The rows of the tables as the store holds them.

    Attributes:
        records: columns ``record_columns()``, ascending by ``ecg_id``; of ``strat_fold`` 1 to 8 are trained on, 9
            selects and 10 tests, so that a dataset with other folds says which of its own are which.
        repairs: one bool column per kind of repair, the same rows.
    """

    records: pd.DataFrame
    repairs: pd.DataFrame


C = TypeVar("C", bound=Cohort)
T = TypeVar("T", bound=DatasetTables)


class DatasetOptions(CohortOptions):
    """What can be chosen about a dataset that can be trained on. Its labels are its own: strict and wide are one."""

    rate: StoredRate = Field(default=100, description="Sampling rate in Hz of the recordings that are read.")


class Dataset(Cohort, Generic[T]):
    """A dataset of 12-lead ECGs of 10 s in WFDB records that can be ingested and trained on.

    Attributes:
        model_name: how a model that was trained on it is called in the registry.
        may_be_absent: ids of records that some releases lack.
        command: brings its waveforms, with ``{tree}`` and ``{rate}`` in it; empty where there is none.
        gate: name of a metric -> what the gate asks of a model that was trained on it, in place of ``Metric.gate``. The
            smallest network reaches a macro AUROC of 0.916 on PTB-XL's fold 10, and 0.879 for hypertrophy, the hardest.
        replaceable: whether its champion may be replaced by one of other data, by their digest, without being asked.
    """

    options_type = DatasetOptions
    model_name: ClassVar[str]
    may_be_absent: ClassVar[Collection[int]] = ()
    command: ClassVar[str] = ""
    gate: ClassVar[Mapping[str, GateLimits]] = {
        "auroc": GateLimits(0.9, 0.85, mean_margin=0.01, each_margin=0.03),
        "ece": GateLimits(0.05),
    }
    replaceable: ClassVar[bool] = False

    @abstractmethod
    def read_tables(self, tree: Path, rate: StoredRate) -> T:
        """Read its tables; raises ``LeadwiseError`` where they are absent or no tables."""

    @abstractmethod
    def clean(self, tables: T) -> Cleaned:
        """Turn tables that have passed validation into the rows of the store: its labels, its folds, its units."""

    def counts(self, tables: T) -> Mapping[str, int]:
        """What is counted over all rows of its tables."""
        return {"rows": len(tables.filenames)}

    def release(self, tables: T, counts: Mapping[str, int]) -> str:
        """Which release of it this is."""
        return "unknown"

    def records(self, source: Path) -> pd.DataFrame:
        """Its rows as they are trained on, with the split of each: ``test`` is fold 10."""
        tables = self.read_tables(source, self.options.rate)
        rows = self.clean(tables).records
        columns = {name: rows[name] for name in (*asked_names(), *SUPERCLASSES, "device")}
        columns |= {name: rows[name].astype(str) for name in ("patient_id", "filename")}
        files = columns.pop("filename") + ".hea"
        columns |= {
            "record_id": rows["ecg_id"].astype(str),
            "source": pd.Series(self.title, index=rows.index),
            "split": rows["strat_fold"].map(SPLIT_OF_FOLD),
            "file": files,
            "path": files.map(lambda file: str(source / file)),
            "codes": rows["scp_codes"],
        }
        return cohort_table(pd.DataFrame(columns).to_dict("records"))

    def rate_hz(self) -> float | None:
        return float(self.options.rate)

    def written(self, codes: str) -> list[str]:
        likelihoods: dict[str, float] = json.loads(codes)
        return [
            f"{code}: {STATEMENT_BY_CODE[code].name}" if code in STATEMENT_BY_CODE else code for code in likelihoods
        ]

    def assumptions(self) -> tuple[str, ...]:
        return ("The labels are the dataset's own: strict and wide are the same.",)

    def frames(self, tables: T, not_as_listed: Sequence[str]) -> Mapping[str, pd.DataFrame]:
        """The suites that check its tables -> what they look at; the suite ``signals`` checks every dataset.

        Args:
            tables: what to check.
            not_as_listed: tables whose bytes are not those of the tree's list of checksums.
        """
        return {}


DATASETS: dict[str, Cohort] = {}
"""Name -> dataset, those that were registered so far."""


def register(one: Cohort) -> None:
    """Add a dataset, or replace that of the same name."""
    DATASETS[one.name] = one


def cohorts() -> Mapping[str, Cohort]:
    """All datasets by name: on each, a model can be scored."""
    for module in MEMBERS:
        import_module(module)
    return DATASETS


def cohort_named(name: str, **options: Any) -> Cohort:
    """A dataset to score models on, by its name, with some options chosen.

    Raises:
        CohortError: there is none of this name.
        CohortError: an option is none of it, or its value is not allowed.
    """
    one = _named(cohorts(), name)
    return one.configured(**options) if options else one


def cohort_in(source: Path) -> Cohort:
    """The dataset that a folder or file holds.

    Raises:
        CohortError: none recognises it.
    """
    found = cohorts()
    for one in found.values():
        if one.is_in(source):
            return one
    raise CohortError(f"{source}: holds none of the datasets {', '.join(found)}; name the one that it is")


AUTO = "auto"


def chosen_cohort(source: Path, name: str, labels: str, options: str) -> Cohort:
    """The dataset that a stage or a command is told to score, with its options chosen.

    Its name may be ``auto`` or empty: what the source is recognised as; ``options`` are as ``parse_options`` has them.

    Raises:
        CohortError: there is none of this name, none recognises the source, or the options cannot be read.
        CohortError: an option is none of it, or its value is not allowed.
    """
    others = parse_options(options)
    if "labels" in others:
        raise CohortError(f"options: received labels {others['labels']!r}; the parameter label-map says it")
    cohort = cohort_in(source) if name in ("", AUTO) else cohort_named(name)
    return cohort.configured(labels=labels, **others)


def parse_options(text: str) -> dict[str, Any]:
    """``gain:header,georgia_gain:header``, or a JSON object, as options of a dataset.

    Raises:
        CohortError: it is neither.
    """
    if text.strip().startswith("{"):
        try:
            content: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise CohortError(f"options: received {text[:80]!r}, which is no JSON object: {error}") from None
        return content
    found: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, value = part.partition(":")
        if not (name and colon and value):
            raise CohortError(f"options: received {part[:40]!r}; allowed: name:value, several with commas, or JSON")
        found[name] = value
    return found


def datasets() -> Mapping[str, Dataset[Any]]:
    """The datasets that can be ingested and trained on, by name."""
    return {name: one for name, one in cohorts().items() if isinstance(one, Dataset)}


def dataset_named(name: str) -> Dataset[Any]:
    """A dataset that can be ingested, by its name.

    Raises:
        CohortError: there is none.
    """
    return _named(datasets(), name)


def _named(known: Mapping[str, C], name: str) -> C:
    if name not in known:
        raise CohortError(f"dataset: received {name!r}; allowed: {', '.join(known)}")
    return known[name]


def dataset_in(tree: Path) -> Dataset[Any]:
    """The dataset that a folder holds; PTB-XL, which says what it lacks, where none is recognised."""
    found = datasets()
    return next((one for one in found.values() if one.is_in(tree)), found["ptbxl"])
