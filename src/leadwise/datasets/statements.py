"""The 71 SCP-ECG statements of PTB-XL in plain English: groups, superclasses, and how often each occurs.

Groups and classes are those of PTB-XL's ``scp_statements.csv`` (Wagner et al., Scientific Data 2020, 7:154): diagnoses,
forms of the waves, rhythms. Four statements count as both diagnosis and form; they stand among the diagnoses.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from leadwise.contract import STATEMENTS

Group = Literal["diagnostic", "form", "rhythm"]
GROUPS: tuple[Group, ...] = get_args(Group)
ALSO_FORM = frozenset({"NDT", "NST_", "DIG", "LNGQT"})
"""Diagnoses that are forms as well."""


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement: its code as PTB-XL writes it, its name in plain English, the group where it is listed.

    Only a diagnosis has a superclass and a subclass. About ``per_10000`` of 10,000 PTB-XL records carry it.
    """

    code: str
    name: str
    group: Group
    superclass: str
    subclass: str
    per_10000: int

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that it belongs to; the tasks of Strodthoff et al. 2021 count so: 44, 19 and 12 statements."""
        return (self.group, "form") if self.code in ALSO_FORM else (self.group,)


def _read(file: Path) -> dict[str, Statement]:
    with file.open(encoding="utf-8", newline="") as stream:
        rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    return {row["code"]: Statement(**row | {"per_10000": int(row["per_10000"])}) for row in rows}


STATEMENT_BY_CODE = _read(Path(__file__).with_suffix(".csv"))
STATEMENT_TABLE: tuple[Statement, ...] = tuple(STATEMENT_BY_CODE[code] for code in STATEMENTS)
"""All of them in the order of ``STATEMENTS``."""
