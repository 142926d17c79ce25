"""LUDB, the Lobachevsky University Database (Kalyakulina et al. 2020): 200 recordings with cardiologists' findings."""

import re
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from leadwise.datasets.base import register
from leadwise.datasets.cohort import CohortError, CohortOptions, Row, cohort_table, needed
from leadwise.datasets.external.sources import CodedCohort, header_row

TRUE_UNITS_PER_MV = 1000.0
"""One scale for all leads: with it I + III = II holds within 50 uV in all 200 recordings, by the headers in 2."""
DIAGNOSES = "<diagnoses>:"
DEVICE = "Schiller Cardiovit AT-101"


class LudbOptions(CohortOptions):
    """What can be chosen about LUDB."""

    gain: Literal["true_scale", "header"] = Field(
        default="true_scale",
        description="true_scale: 1000 units per mV in every lead. header: the gain of each header line, which scales "
        "that lead to a peak-to-peak of 1 mV.",
    )


class Ludb(CodedCohort):
    """LUDB 1.0.1, as PhysioNet lays it out."""

    name = "ludb"
    title = "LUDB"
    citation = (
        "Kalyakulina, A. et al. (2020). LUDB: a new open-access validation tool for electrocardiogram delineation "
        "algorithms. IEEE Access 8:186181-186190. doi:10.1109/ACCESS.2020.3029211; Kalyakulina, A. et al. (2021). "
        "Lobachevsky University Electrocardiography Database (version 1.0.1). PhysioNet. doi:10.13026/eegm-h675; "
        "Goldberger, A. et al. (2000). Circulation 101(23):e215-e220"
    )
    licence = "ODC-By 1.0"
    fs_hz = 500.0
    traps = (
        "The gain in each header line scales that lead to a peak-to-peak of exactly 1 mV: taken at its word, all leads "
        "are equally tall, hypertrophy cannot be seen and I + III = II fails. The stored numbers are one scale for all "
        "leads and fit 1000 per mV.",
        "More than half of the recordings are said to show left ventricular or left atrial hypertrophy: far more than "
        "in PTB-XL, so probabilities are too low here whatever the model.",
    )
    options_type = LudbOptions

    def is_in(self, source: Path) -> bool:
        return (source / "ludb.csv").is_file() and (source / "data").is_dir()

    def records(self, source: Path) -> pd.DataFrame:
        needed(source, ("data",), self.title)
        files = sorted((source / "data").glob("*.hea"), key=lambda file: (len(file.stem), file.stem))
        if not files:
            raise CohortError(f"{source / 'data'}: no headers (*.hea); the recordings of LUDB are needed")
        return cohort_table(self._row(source, file) for file in files)

    def _row(self, source: Path, file: Path) -> dict[str, object]:
        row, lines = header_row(source, file)
        start = next((place + 1 for place, line in enumerate(lines) if line.startswith(DIAGNOSES)), len(lines))
        codes = [re.sub(r"\s*\.?\s*$", "", line) for line in lines[start:] if line]
        # One recording of each of 200 people.
        row |= {"patient_id": file.stem, "source": self.title, "device": DEVICE}
        return row | self.coded(codes, between="; ")

    def hints(self, row: Row) -> dict[str, Any]:
        return {"gain": TRUE_UNITS_PER_MV} if self.options.gain == "true_scale" else {}

    def assumptions(self) -> tuple[str, ...]:
        if self.options.gain == "true_scale":
            return (f"LUDB: {TRUE_UNITS_PER_MV:g} units per mV in every lead, not the gains of the headers.",)
        return ("LUDB: the gains of the headers, by which every lead spans 1 mV: amplitudes mean nothing.",)


register(Ludb())
