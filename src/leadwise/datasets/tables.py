"""The two tables of a PTB-XL tree: read as text, then turned into the columns of the store, each repair marked.

PTB-XL: Wagner et al., Scientific Data 2020, 7:154; releases 1.0.1 to 1.0.3, and the simulated trees of Leadwise.
"""

import ast
import codecs
import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from leadwise.contract import STATEMENTS, SUPERCLASSES, LeadwiseError, StoredRate
from leadwise.datasets.base import Cleaned, DatasetTables
from leadwise.datasets.releases import REQUIRED_TABLES, SIMULATION_FILE, path_problem
from leadwise.datasets.store import record_columns
from leadwise.features import FEATURES, Feature, asked_features

MAX_TEXT = 10_000
"""Characters of the longest ``scp_codes`` that is parsed; the longest of PTB-XL has 180."""


def parse_scp_codes(text: str, ecg_id: object) -> dict[str, float]:
    """Statement -> likelihood in percent, from the Python literal that PTB-XL stores, without running it.

    Raises:
        LeadwiseError: the text is not a dict of statement to number; the message names ``ecg_id``.
    """
    where = f"ecg_id {ecg_id}: scp_codes"
    if isinstance(text, str) and len(text) > MAX_TEXT:
        raise LeadwiseError(f"{where}: received {len(text)} characters; at most {MAX_TEXT} are allowed")
    try:
        codes = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        codes = None
    if not isinstance(codes, dict):
        received = repr(text[:60]) if isinstance(text, str) else "nothing"
        raise LeadwiseError(f"{where}: received {received}; a dict of statement to likelihood is needed")
    for code, likelihood in codes.items():
        number = isinstance(likelihood, int | float) and not isinstance(likelihood, bool) and 0 <= likelihood <= 100
        if not isinstance(code, str) or not number:
            raise LeadwiseError(
                f"{where}: received {f'{code!r}: {likelihood!r}'[:60]}; a number from 0 to 100 is needed"
            )
    return {code: float(likelihood) for code, likelihood in codes.items()}


def diagnostic_classes(statements: pd.DataFrame) -> dict[str, str]:
    """Diagnostic statement -> superclass, from the table of SCP statements (index: statement).

    Raises:
        LeadwiseError: a diagnostic statement has a class that is not one of ``SUPERCLASSES``.
    """
    diagnostic = statements[pd.to_numeric(statements["diagnostic"], errors="coerce") == 1]
    classes = {str(code): str(name) for code, name in diagnostic["diagnostic_class"].items()}
    for code, name in classes.items():
        if name not in SUPERCLASSES:
            raise LeadwiseError(f"statement {code}: diagnostic_class {name!r}; allowed: {', '.join(SUPERCLASSES)}")
    return classes


def superclass_labels(codes: Iterable[Mapping[str, float]], classes: Mapping[str, str]) -> np.ndarray:
    """``(record, 5)`` bool in the order of ``SUPERCLASSES``; all false where no statement is diagnostic."""
    return _hot([{classes[code] for code in record if code in classes} for record in codes], SUPERCLASSES)


def statement_labels(codes: Iterable[Mapping[str, float]]) -> np.ndarray:
    """``(record, 71)`` bool in the order of ``STATEMENTS``, whatever the likelihood."""
    return _hot(codes, STATEMENTS)


def _hot(records: Iterable[Collection[str]], names: Sequence[str]) -> np.ndarray:
    return np.array([[name in of for name in names] for of in records], dtype=bool).reshape(-1, len(names))


def label_counts(labels: np.ndarray) -> dict[str, int]:
    """Records per superclass and without any, from ``(record, 5)`` bool."""
    counts = {name: int(count) for name, count in zip(SUPERCLASSES, labels.sum(axis=0), strict=True)}
    return counts | {"unlabelled": int((~labels.any(axis=1)).sum())}


DATABASE_FILE, STATEMENTS_FILE = REQUIRED_TABLES

NUMBER_COLUMNS: tuple[str, ...] = ("ecg_id", "patient_id", "age", "sex", "height", "weight", "strat_fold")
TEXT_COLUMNS: tuple[str, ...] = (*(one.name for one in FEATURES.values() if one.codes), "pacemaker", "scp_codes")
FILENAME_COLUMNS: Mapping[StoredRate, str] = {100: "filename_lr", 500: "filename_hr"}
OPTIONAL_COLUMNS: tuple[str, ...] = ("recording_date", "device", "site", "report", "heart_axis")
COLUMN_OF: Mapping[str, str] = {"height_cm": "height", "weight_kg": "weight"}
"""Feature -> column, where it is another name."""

AGE_OVER_89 = 300
"""How release 1.0.3 hides an age over 89; stored as 90."""
HEIGHT_CM = (50, 250)
WEIGHT_KG = (10, 350)
"""Outside of these a value is impossible: the youngest patient of PTB-XL is 2 years old and weighs 12 kg."""
ADULT_AGE = 18
ADULT_HEIGHT_CM = 100
ADULT_WEIGHT_KG = 25
"""Below these an adult's value is taken as an error of entry: adults of 66 to 97 cm and of 17 kg are on file."""

LONGEST_LINE = 100_000
"""Characters of a line of a table: PTB-XL's longest has 620."""


def further_features() -> tuple[Feature, ...]:
    """Features of which PTB-XL says nothing: a tree that has them has columns of their names."""
    known = (*NUMBER_COLUMNS, *TEXT_COLUMNS)
    return tuple(one for one in asked_features() if COLUMN_OF.get(one.name, one.name) not in known)


@dataclass(frozen=True)
class Tables(DatasetTables):
    """The tables of a PTB-XL tree.

    Attributes:
        database: one row per record, every column as text, NaN where empty.
        classes: diagnostic SCP statement -> superclass.
        statements: every known SCP statement.
        simulated: the tree says that it is simulated.
        written_otherwise: name of a file that is not written as PhysioNet does -> how.
    """

    database: pd.DataFrame
    classes: Mapping[str, str]
    statements: frozenset[str]
    simulated: bool
    written_otherwise: Mapping[str, str]

    @property
    def filenames(self) -> pd.Series:
        return self.database[FILENAME_COLUMNS[self.rate]]

    def numbers(self) -> pd.DataFrame:
        """``NUMBER_COLUMNS`` and ``further_features`` as float64, NaN where empty or not a number."""
        names = (*NUMBER_COLUMNS, *(one.name for one in further_features()))
        columns = {name: pd.to_numeric(self.database[name], errors="coerce") for name in names}
        return pd.DataFrame(columns, index=self.database.index, dtype=np.float64)

    @cached_property
    def scp_codes(self) -> tuple[list[dict[str, float]], list[str | None]]:
        """SCP codes of every row, and what is wrong with them where something is."""
        codes: list[dict[str, float]] = []
        problems: list[str | None] = []
        for ecg_id, text in zip(self.database["ecg_id"], self.database["scp_codes"], strict=True):
            try:
                codes.append(parse_scp_codes(text, ecg_id))
                problems.append(None)
            except LeadwiseError as error:
                codes.append({})
                problems.append(str(error))
        return codes, problems

    @cached_property
    def labels(self) -> np.ndarray:
        """``(record, 5)`` bool in the order of ``SUPERCLASSES``."""
        return superclass_labels(self.scp_codes[0], self.classes)


def read_tables(tree: Path, rate: StoredRate = 100) -> Tables:
    """Read both tables of a PTB-XL tree; ``rate`` is that of the waveforms that are meant, in Hz.

    Raises:
        LeadwiseError: a file is absent or is no CSV table, or a column is missing.
    """
    tree = Path(tree)
    if not tree.is_dir():
        raise LeadwiseError(f"{tree}: no such folder; a PTB-XL tree is needed (https://physionet.org/content/ptb-xl/)")
    database, raw = _read_csv(tree / DATABASE_FILE, (*NUMBER_COLUMNS, *TEXT_COLUMNS, FILENAME_COLUMNS[rate]))
    for name in (*OPTIONAL_COLUMNS, *(one.name for one in further_features())):
        if name not in database:
            database[name] = np.nan
    if database.empty:
        raise LeadwiseError(f"{tree / DATABASE_FILE}: no rows; at least one record is needed")
    # Its first column, the statement, has no name in PTB-XL.
    statements, raw_statements = _read_csv(tree / STATEMENTS_FILE, ("diagnostic", "diagnostic_class"))
    statements = statements.set_index(statements.columns[0])
    try:
        classes = diagnostic_classes(statements)
    except LeadwiseError as error:
        raise LeadwiseError(f"{tree / STATEMENTS_FILE}: {error}") from None
    contents = {DATABASE_FILE: raw, STATEMENTS_FILE: raw_statements}
    if simulated := (tree / SIMULATION_FILE).is_file():
        contents[SIMULATION_FILE] = (tree / SIMULATION_FILE).read_bytes()
    return Tables(
        tree,
        rate,
        {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        database,
        classes,
        frozenset(map(str, statements.index)),
        simulated,
        written_otherwise={name: form for name, content in contents.items() if (form := _foreign_form(content))},
    )


def _read_csv(file: Path, columns: tuple[str, ...]) -> tuple[pd.DataFrame, bytes]:
    """Read a table, every column as text; the table, and exactly the bytes that were read."""
    try:
        raw = file.read_bytes()
        _require_short_lines(raw, file)
        table = pd.read_csv(io.BytesIO(raw), dtype=str, encoding="utf-8-sig")
    except FileNotFoundError:
        raise LeadwiseError(f"{file}: does not exist; a PTB-XL tree is needed") from None
    except (OSError, ValueError) as error:
        raise LeadwiseError(f"{file}: cannot be read as a CSV table: {error}") from error
    if missing := [name for name in columns if name not in table]:
        raise LeadwiseError(f"{file}: column {', '.join(missing)} missing; received {', '.join(table.columns)}"[:500])
    return table, raw


def _require_short_lines(raw: bytes, file: Path) -> None:
    """Stop at a line that is none: a file that lost its line ends, or a foreign file behind the table's name."""
    for number, line in enumerate(raw.splitlines(), start=1):
        if len(line) > LONGEST_LINE and (characters := len(line.decode("utf-8", errors="replace"))) > LONGEST_LINE:
            raise LeadwiseError(
                f"{file}: line {number} has {characters:,} characters; no line of PTB-XL's tables has more than "
                f"{LONGEST_LINE:,}"
            )


def _foreign_form(raw: bytes) -> str:
    """What a spreadsheet does to a table without changing its content; empty if nothing of it."""
    signs = {
        "begins with a byte order mark": raw.startswith(codecs.BOM_UTF8),
        "its lines end as on Windows (CR LF)": b"\r\n" in raw,
    }
    return "; ".join(sign for sign, found in signs.items() if found)


def is_inside(filename: object) -> bool:
    """Whether a path of the table stays inside the tree, whatever the operating system."""
    return isinstance(filename, str) and path_problem(filename) is None


def clean(tables: Tables) -> Cleaned:
    """Turn a table that has passed validation into the columns of the store, and mark every repair."""
    numbers, text = tables.numbers(), tables.database
    facts, repairs = _possible(numbers)
    for one in FEATURES.values():
        if one.codes:
            known = text[one.name].isin(list(one.codes))
            facts[one.name] = text[one.name].where(known, None)
            repairs[f"{one.name}_not_a_stage"] = text[one.name].notna() & ~known
    pacemaker = text["pacemaker"].fillna("").str.strip().str.lower()
    has_pacemaker = pacemaker.str.startswith("ja") | pacemaker.isin(["1", "1.0"])
    repairs["pacemaker_uncertain_to_no"] = ~has_pacemaker & ~pacemaker.isin(["", "0", "0.0", "nein"])
    records = pd.DataFrame(
        {
            **{name: numbers[name].astype(np.int64) for name in ("ecg_id", "patient_id", "strat_fold")},
            "sex": numbers["sex"],
            "pacemaker": has_pacemaker.astype(np.int64),
            **facts,
            **dict(zip(SUPERCLASSES, tables.labels.T, strict=True)),
            "scp_codes": [json.dumps(record) for record in tables.scp_codes[0]],
            **{name: text[name] for name in ("recording_date", "device")},
            "site": pd.to_numeric(text["site"], errors="coerce"),
            "filename": tables.filenames,
        }
    )
    order = records["ecg_id"].sort_values().index
    return Cleaned(
        records.loc[order, list(record_columns())].reset_index(drop=True),
        pd.DataFrame(repairs).loc[order].reset_index(drop=True),
    )


def impossible(values: pd.Series, one: Feature) -> pd.Series:
    """Where a number is known and no patient can have it."""
    return pd.Series([not (np.isnan(value) or one.holds(value)) for value in values], index=values.index, dtype=bool)


def _possible(numbers: pd.DataFrame) -> tuple[dict[str, pd.Series], dict[str, pd.Series]]:
    """Features that are numbers, without impossible values, and which rows were repaired."""
    age = numbers["age"]
    over_89 = age == AGE_OVER_89
    impossible_age = impossible(age, FEATURES["age"]) & ~over_89
    age = age.mask(over_89, 90.0).mask(impossible_age)
    adult = age >= ADULT_AGE
    facts, repairs = {"age": age}, {"age_300_to_90": over_89, "age_impossible_to_missing": impossible_age}
    sizes = (("height_cm", HEIGHT_CM, ADULT_HEIGHT_CM), ("weight_kg", WEIGHT_KG, ADULT_WEIGHT_KG))
    for name, (low, high), least in sizes:
        column = COLUMN_OF[name]
        size = numbers[column]
        wrong = (size < low) | (size > high)
        of_adult = adult & (size < least) & ~wrong
        repairs |= {f"{column}_impossible_to_missing": wrong, f"{column}_of_adult_to_missing": of_adult}
        facts[name] = size.mask(wrong | of_adult)
    for one in further_features():
        wrong = impossible(numbers[one.name], one)
        repairs[f"{one.name}_impossible_to_missing"] = wrong
        facts[one.name] = numbers[one.name].mask(wrong)
    return facts, repairs
