"""What the datasets of other hospitals share: label maps, and WFDB headers read before any sample is.

A map is a CSV file with the columns ``code``, ``name``, ``superclass``, ``scope`` and ``source``: a row per code, and
per superclass where a code says something of several. The scope says how much a code says:

- ``strict``: the superclass is present;
- ``wide``: it is doubtful: present where doubtful codes are asked for, else unknown;
- ``unknown``: nobody can tell: unknown in either case;
- empty, with an empty superclass: the code is known and says nothing of any superclass.

A recording is normal where every one of its codes goes with a normal ECG: the rows of ``NORM`` say which do.
"""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.cohort import Cohort, CohortError, read_texts
from leadwise.ecg.formats.base import ReaderError, bytes_at
from leadwise.ecg.formats.parsing import standard_leads
from leadwise.ecg.formats.patient import checked_facts, facts_of, pairs_in
from leadwise.ecg.formats.wfdb_record import Header, read_header
from leadwise.ecg.record import INDEPENDENT_LEADS

Variant = Literal["strict", "wide"]
Scope = Literal["strict", "wide", "unknown"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
COLUMNS = ("code", "name", "superclass", "scope", "source")
NORMAL = "NORM"


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
        listed: list[Mapping[str, Scope]] = [
            {
                name: "wide" if scope == "strict" and code in doubtful else scope
                for name, scope in self.says[code].items()
            }
            for code in codes
            if code in self.says
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
        CohortError: it cannot be read, or lacks a column.
        CohortError: a row says the same twice, or has a scope or superclass that is none.
    """
    table = read_texts(file, COLUMNS)[list(COLUMNS)]
    says: dict[str, dict[str, Scope]] = {}
    names: dict[str, str] = {}
    for number, (code, name, superclass, scope, source) in enumerate(table.itertuples(index=False), start=2):
        where = f"{file}, line {number}: code {code!r}"
        if not (code and name and source):
            raise CohortError(f"{where}: code, name and source are needed")
        of_code = says.setdefault(code, {})
        if names.setdefault(code, name) != name:
            raise CohortError(f"{where}: name {name!r}; {names[code]!r} stands above")
        if superclass == scope == "":
            continue
        known = next((one for one in SCOPES if one == scope), None)
        if superclass not in SUPERCLASSES or known is None:
            raise CohortError(
                f"{where}: received superclass {superclass!r}, scope {scope!r}; allowed: "
                f"{', '.join(SUPERCLASSES)}, {', '.join(SCOPES)}, or both empty"
            )
        if superclass in of_code:
            raise CohortError(f"{where}: {superclass} stands there twice")
        of_code[superclass] = known
    return LabelMap(says, names)


class CodedCohort(Cohort):
    """Recordings of another hospital; a label map beside the module, of its name, turns codes into superclasses."""

    @classmethod
    @cache
    def label_map(cls) -> LabelMap:
        """What its codes say."""
        return read_label_map(Path(inspect.getfile(cls)).with_suffix(".csv"))

    def coded(
        self,
        codes: Collection[str],
        between: str = ";",
        not_labelled: Collection[str] = (),
        doubtful: Collection[str] = (),
    ) -> dict[str, object]:
        """The columns of a row that its codes fill, with what stands between two codes; see ``LabelMap.labels``."""
        of = self.label_map()
        return {
            **of.labels(codes, self.options.labels, not_labelled, doubtful),
            "codes": between.join(codes),
            "unknown_codes": between.join(of.unknown(codes)) or None,
        }

    def written(self, codes: str) -> list[str]:
        names = self.label_map().names
        return [f"{code}: {names[code]}" if names.get(code, code) != code else code for code in super().written(codes)]


def header_at(file: Path) -> Header:
    """A WFDB header; raises ``ReaderError`` where it is none."""
    return read_header(file.name, bytes_at(file).decode("utf-8", errors="replace"))


def header_row(source: Path, file: Path) -> tuple[dict[str, object], list[str]]:
    """The columns of a row that a WFDB header fills, and its comments without their mark.

    Of a header that cannot be read there are none: so the recording is named when it is read.
    """
    row: dict[str, object] = {"record_id": file.stem, "file": file.relative_to(source).as_posix(), "path": str(file)}
    try:
        header = header_at(file)
    except ReaderError:
        return row, []
    facts, notes = checked_facts(facts_of(pairs_in(header.comments)))
    names = [line.description for line in header.signals]
    known = standard_leads(names)
    if missing := [lead for lead in INDEPENDENT_LEADS if lead not in known]:
        row["excluded"] = f"no 12-lead ECG: holds {', '.join(names)} only; {', '.join(missing)} missing"
    comments = [line.lstrip("#").strip() for line in header.comments]
    return row | facts | {"fact_problems": " ".join(notes) or None}, comments
