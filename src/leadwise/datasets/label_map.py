"""From the codes of another hospital to the five superclasses: present, absent, or unknown.

A map is a CSV file with the columns ``code``, ``name``, ``superclass``, ``scope`` and ``source``: a row per code, and
per superclass where a code says something of several. The scope says how much a code says:

- ``strict``: the superclass is present;
- ``wide``: it is doubtful: present where doubtful codes are asked for, else unknown;
- ``unknown``: nobody can tell: unknown in either case;
- empty, with an empty superclass: the code is known and says nothing of any superclass.

A recording is normal where every one of its codes goes with a normal ECG: the rows of ``NORM`` say which do.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from leadwise.contract import SUPERCLASSES, LeadwiseError

Variant = Literal["strict", "wide"]
Scope = Literal["strict", "wide", "unknown"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
COLUMNS = ("code", "name", "superclass", "scope", "source")
NORMAL = "NORM"


class LabelMapError(LeadwiseError):
    """A label map is not written as it must be; the message names the file, the line and what was received."""


@dataclass(frozen=True)
class LabelMap:
    """What the codes of a dataset say of the superclasses.

    Attributes:
        says: code -> superclass -> scope; every known code is a key.
        names: code -> its name in plain words.
    """

    says: Mapping[str, Mapping[str, Scope]]
    names: Mapping[str, str]

    def unknown(self, codes: Collection[str]) -> list[str]:
        """Codes that the map lacks, in their order."""
        return [code for code in dict.fromkeys(codes) if code not in self.says]

    def labels(
        self,
        codes: Collection[str],
        variant: Variant = "strict",
        not_labelled: Collection[str] = (),
        doubtful: Collection[str] = (),
    ) -> dict[str, bool | None]:
        """Superclass -> whether it is present; None where the codes do not tell.

        Args:
            codes: of one recording. Without any, nothing is known of it.
            variant: which scopes count as present.
            not_labelled: superclasses that the collection does not label: without a code they are unknown, not absent.
            doubtful: those of the codes that were given as possible only: what is strict of them counts as wide.
        """
        listed = [self.says[code] for code in codes if code in self.says and code not in doubtful]
        listed += [
            {name: "wide" if scope == "strict" else scope for name, scope in self.says[code].items()}
            for code in codes
            if code in self.says and code in doubtful
        ]
        complete = bool(codes) and len(listed) == len(codes)
        found: dict[str, bool | None] = {}
        for name in SUPERCLASSES:
            scopes = {says[name] for says in listed if name in says}
            absent = False if complete and name not in not_labelled else None
            found[name] = _is_present(scopes, variant, absent)
        others = [name for name in SUPERCLASSES if name != NORMAL]
        if any(found[name] for name in others):
            found[NORMAL] = False
        elif not complete or any(name in says for says in listed for name in others):
            found[NORMAL] = None
        elif not all(NORMAL in says for says in listed):
            found[NORMAL] = False
        else:
            # As doubtful as the most doubtful of them.
            found[NORMAL] = _is_present({max((says[NORMAL] for says in listed), key=SCOPES.index)}, variant, None)
        return {name: found[name] for name in SUPERCLASSES}


def _is_present(scopes: Collection[Scope], variant: Variant, otherwise: bool | None) -> bool | None:
    if "strict" in scopes or (variant == "wide" and "wide" in scopes):
        return True
    return None if scopes else otherwise


def read_label_map(file: Path) -> LabelMap:
    """Read a map.

    Raises:
        LabelMapError: a column is missing, a row says the same twice, or has a scope or superclass that is none.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise LabelMapError(f"{file}: cannot be read as a CSV table: {error}") from None
    if tuple(table) != COLUMNS:
        raise LabelMapError(f"{file}: received columns {', '.join(map(str, table))}; needed: {', '.join(COLUMNS)}")
    says: dict[str, dict[str, Scope]] = {}
    names: dict[str, str] = {}
    for number, (code, name, superclass, scope, source) in enumerate(table.itertuples(index=False), start=2):
        where = f"{file}, line {number}: code {code!r}"
        if not (code and name and source):
            raise LabelMapError(f"{where}: code, name and source are needed")
        of_code = says.setdefault(code, {})
        if names.setdefault(code, name) != name:
            raise LabelMapError(f"{where}: name {name!r}; {names[code]!r} stands above")
        if superclass == scope == "":
            continue
        known = next((one for one in SCOPES if one == scope), None)
        if superclass not in SUPERCLASSES or known is None:
            raise LabelMapError(
                f"{where}: received superclass {superclass!r}, scope {scope!r}; allowed: "
                f"{', '.join(SUPERCLASSES)}, {', '.join(SCOPES)}, or both empty"
            )
        if superclass in of_code:
            raise LabelMapError(f"{where}: {superclass} stands there twice")
        of_code[superclass] = known
    return LabelMap(says, names)
