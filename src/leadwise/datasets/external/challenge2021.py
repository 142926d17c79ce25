"""The PhysioNet/CinC Challenge 2021 (Reyna et al. 2021): five collections with SNOMED codes in ``#Dx``.

The label map has those of dx_mapping_scored.csv and dx_mapping_unscored.csv of its evaluation.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.base import register
from leadwise.datasets.cohort import CohortError, CohortOptions, Row, cohort_table
from leadwise.datasets.external.sources import CodedCohort, header_at, header_row

GEORGIA = "Georgia"
WRONG_GEORGIA_GAIN, TRUE_UNITS_PER_MV = 4880.0, 1000.0
"""Taken at the word of its headers of 2020, the leads of Georgia span a fifth of what leads do."""
LAST_OF_CHAPMAN = 10_646


@dataclass(frozen=True)
class Part:
    """A collection of the challenge.

    Attributes:
        name: how it is called here.
        prefix: with which the names of its records begin.
        numbers: of the records, lowest and highest.
        not_labelled: superclasses for which it has no code: unknown there, never absent.
        only_doubtful: superclasses for which it has doubtful codes only: unknown where strict codes count.
        excluded: why it is not to be scored; empty where it is.
    """

    name: str
    prefix: str
    numbers: tuple[int, int] = (0, 10**9)
    not_labelled: tuple[str, ...] = ()
    only_doubtful: tuple[str, ...] = ()
    excluded: str = ""

    def holds(self, record: str) -> bool:
        """Whether a record is of this collection, by its name."""
        match = re.fullmatch(r"([A-Z]+)(\d{1,9})", record)
        return match is not None and match[1] == self.prefix and self.numbers[0] <= int(match[2]) <= self.numbers[1]


PARTS = (
    Part("CPSC2018", "A", not_labelled=("MI", "HYP"), only_doubtful=("STTC",)),
    Part("CPSC-Extra", "Q"),
    Part(GEORGIA, "E"),
    Part("Chapman-Shaoxing", "JS", numbers=(0, LAST_OF_CHAPMAN)),
    Part("Ningbo", "JS", numbers=(LAST_OF_CHAPMAN + 1, 10**9)),
    Part("PTB-XL", "HR", excluded="is of PTB-XL, on which models are trained"),
    Part("PTB", "S", excluded="is of PTB, which is not read: recorded by the makers of PTB-XL, 1000 Hz"),
    Part("INCART", "I", excluded="is of INCART, which is not read: half an hour at 257 Hz"),
)


class Challenge2021Options(CohortOptions):
    """What can be chosen about the recordings of the challenge."""

    georgia_gain: Literal["true_scale", "header"] = Field(
        default="true_scale",
        description="true_scale: 1000 units per mV where a header of Georgia says 4880. header: at its word.",
    )


class Challenge2021(CodedCohort):
    """CPSC2018, CPSC-Extra, Georgia, Chapman-Shaoxing and Ningbo, in whatever folders below the source."""

    name = "challenge2021"
    title = "the PhysioNet Challenge 2021"
    citation = (
        "Reyna, M. et al. (2021). Will two do? Varying dimensions in electrocardiography: the PhysioNet/Computing in "
        "Cardiology Challenge 2021. Computing in Cardiology 48:1-4. doi:10.23919/CinC53138.2021.9662687; CPSC: Liu, F. "
        "et al. (2018). J Med Imaging Health Inform 8(7):1368-1373; Georgia: Perez Alday, E. et al. (2020). Physiol "
        "Meas 41(12):124003; Chapman-Shaoxing: Zheng, J. et al. (2020). Sci Data 7:48; Ningbo: Zheng, J. et al. "
        "(2020). Sci Rep 10:2898; Goldberger, A. et al. (2000). Circulation 101(23):e215-e220"
    )
    licence = "CC BY 4.0"
    fs_hz = 500.0
    traps = (
        "Headers of 2020 give Georgia 4880 units per mV where 1000 is right.",
        "CPSC2018 knows nine labels, none of MI or HYP, and of STTC only ST depression and elevation.",
        "Georgia has a code of infarction in 7 of 10,344 recordings, Chapman-Shaoxing in 40 of 10,247: what is counted "
        "as absent was hardly looked for.",
        "Chapman-Shaoxing and Ningbo say left ventricular high voltage of 5,401 recordings and left ventricular "
        "hypertrophy of 647: high voltage alone is doubtful.",
        "Some codes (251238007, 251211000, 6180003) are in none of the challenge's lists: they make the labels unknown "
        "that no other code decides.",
        "Ages may be NaN; Ningbo and CPSC-Extra have recordings with leads of zeros; a few samples are marked as "
        "missing.",
        "Patients are not named: every recording counts as a patient of its own.",
        "Recordings with two, three, four or six leads, as the challenge's entries were scored on, are left out.",
    )
    options_type = Challenge2021Options

    def is_in(self, source: Path) -> bool:
        return source.is_dir() and any(_part_of(file.stem) is not None for file in source.rglob("*.hea"))

    def records(self, source: Path) -> pd.DataFrame:
        files = sorted(source.rglob("*.hea"), key=lambda file: (file.stem, file.as_posix()))
        if not files:
            raise CohortError(f"{source}: no headers (*.hea) here or below; recordings of {self.title} are needed")
        return cohort_table(self._row(source, file) for file in files)

    def _row(self, source: Path, file: Path) -> dict[str, object]:
        (row, comments), part = header_row(source, file), _part_of(file.stem)
        if part is None:
            excluded = f"is of no collection of {self.title}, by its name {file.stem[:20]}"
            part = Part("", "", not_labelled=SUPERCLASSES, excluded=excluded)
        not_labelled = part.not_labelled + (part.only_doubtful if self.options.labels == "strict" else ())
        row |= {"source": part.name or None} | self.coded(_codes(comments), not_labelled=not_labelled)
        if part.excluded:
            row["excluded"] = part.excluded
        # Its normal recordings are normal among nine labels; what it does not label stays unknown.
        return row | dict.fromkeys(SUPERCLASSES if "excluded" in row else part.not_labelled)

    def hints(self, row: Row) -> dict[str, Any]:
        if row["source"] == GEORGIA and self.options.georgia_gain == "true_scale":
            gains = {line.gain for line in header_at(Path(row["path"])).signals}
            return {"gain": TRUE_UNITS_PER_MV} if gains == {WRONG_GEORGIA_GAIN} else {}
        return {}

    def assumptions(self) -> tuple[str, ...]:
        if self.options.georgia_gain == "true_scale":
            return (f"Georgia: {TRUE_UNITS_PER_MV:g} units per mV where a header says {WRONG_GEORGIA_GAIN:g}.",)
        return ("Georgia: the gains of the headers, also where they say 4880 units per mV.",)


def _part_of(record: str) -> Part | None:
    return next((part for part in PARTS if part.holds(record)), None)


def _codes(comments: list[str]) -> list[str]:
    """Every code once; commas at the end or in a row hold nothing."""
    lines = [line.partition(":")[2] for line in comments if line.partition(":")[0].strip().casefold() == "dx"]
    return list(dict.fromkeys(code for line in lines for code in re.split(r"[,\s]+", line.strip()) if code))


register(Challenge2021())
