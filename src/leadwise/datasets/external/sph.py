"""SPH, the recordings of Shandong Provincial Hospital (Liu et al. 2022) with AHA/ACC/HRS statements.

``metadata.csv``: ``ECG_ID``, ``AHA_Code`` (statements with ``;`` between them, modifiers behind a ``+``),
``Patient_ID``, ``Age``, ``Sex`` (M, F), ``N`` (samples), ``Date``. ``records/*.h5``: a dataset ``ecg`` of (12, samples)
in millivolts at 500 Hz, leads I, II, III, aVR, aVL, aVF, V1 to V6. The label map
has the statements of Mason et al. 2007 (Circulation 115:1325-1332), all 44 that SPH has among them.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leadwise.contract import LEADS
from leadwise.datasets.base import register
from leadwise.datasets.cohort import Row, cohort_table, facts_from, known_facts, needed, read_texts
from leadwise.datasets.external.sources import CodedCohort
from leadwise.ecg.formats.base import Most, ReaderError, by_library, bytes_at
from leadwise.ecg.record import Recording, RecordingError, build_recording
from leadwise.errors import missing_extra

METADATA_FILE, RECORDS_FOLDER, SIGNAL = "metadata.csv", "records", "ecg"
FS_HZ = 500.0
COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date")
MODIFIERS = range(200, 500)
"""Secondary statements and modifiers (Mason et al. 2007): they stand behind a primary statement."""
UNCERTAIN = frozenset({"301", "302", "312", "315", "322"})
"""Borderline, consider, possible, probable, versus: what is said so is doubtful."""


class Sph(CodedCohort):
    """The collection of 2022 on Figshare, with its archive of records unpacked."""

    name = "sph"
    title = "SPH"
    citation = (
        "Liu, H. et al. (2022). A large-scale multi-label 12-lead electrocardiogram database with standardized "
        "diagnostic statements. Scientific Data 9:272. doi:10.1038/s41597-022-01403-5; data: "
        "doi:10.6084/m9.figshare.c.5779802.v1"
    )
    licence = "CC0"
    fs_hz = FS_HZ
    traps = (
        "Its device has taken hum, baseline wander and muscle noise out of the recordings.",
        "Samples are stored in half precision, and some recordings reach tens or hundreds of millivolts: these are "
        "refused.",
        "ST depression, ST elevation and T-wave changes are forms in PTB-XL and no diagnoses: alone they are doubtful.",
        "A recording may last up to 60 s.",
    )

    def is_in(self, source: Path) -> bool:
        return (source / METADATA_FILE).is_file() and (source / RECORDS_FOLDER).is_dir()

    def records(self, source: Path) -> pd.DataFrame:
        needed(source, (METADATA_FILE, RECORDS_FOLDER), self.title)
        table = read_texts(source / METADATA_FILE, COLUMNS)
        return cohort_table(self._row(source, row) for row in table.to_dict("records"))

    def _row(self, source: Path, row: Mapping[Any, str]) -> dict[str, object]:
        codes, doubtful = statements_of(row["AHA_Code"])
        facts, problems = facts_from({"age": row["Age"], "sex": row["Sex"]})
        name = row["ECG_ID"].strip()
        # An id is a bare name: nothing in a table leads out of the folder.
        inside = re.fullmatch(r"[\w-]{1,40}", name) is not None
        file = f"{RECORDS_FOLDER}/{name}.h5" if inside else None
        return {
            "record_id": name or None,
            "patient_id": row["Patient_ID"].strip() or None,
            "source": self.title,
            "file": file,
            "path": str(source / file) if file else None,
            **facts,
            **self.coded(codes, doubtful=doubtful),
            "codes": row["AHA_Code"],
            "fact_problems": problems,
        }

    def read(self, row: Row) -> Recording:
        file = Path(row["path"])
        try:
            return build_recording(
                read_signal(file),
                fs_hz=FS_HZ,
                order="lead_time",
                patient=known_facts(row),
                record_id=row["record_id"],
            )
        except RecordingError as error:
            raise ReaderError(file.name, error.field, error.problem) from None


def read_signal(file: Path) -> np.ndarray:
    """``(12, samples)`` float32 in millivolts.

    Raises:
        ReaderError: the file is absent, no HDF5, or holds no such array.
    """
    content = bytes_at(file)
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ReaderError(file.name, "format", missing_extra(error) or str(error)) from None
    needed_there = f"HDF5 with a dataset {SIGNAL} of {len(LEADS)} leads is needed"
    with by_library("signal", needed_there), h5py.File(io.BytesIO(content), "r") as opened:
        # A link to another file, or samples that lie in one, are not the recording's own.
        stored = opened[SIGNAL] if isinstance(opened.get(SIGNAL, getlink=True), h5py.HardLink) else None
        if (
            not isinstance(stored, h5py.Dataset)
            or stored.is_virtual
            or stored.external
            or stored.dtype.kind not in "fiu"
        ):
            raise ReaderError(file.name, "signal", f"holds no dataset {SIGNAL} of numbers; {needed_there}")
        if len(stored.shape) != 2 or stored.shape[0] != len(LEADS) or stored.size > Most.NUMBERS:
            raise ReaderError(file.name, "signal", f"received shape {stored.shape}; {needed_there}")
        return stored[...].astype("float32")


def statements_of(text: str) -> tuple[list[str], list[str]]:
    """The statements of ``AHA_Code`` as the label map lists them, each once, and those of them that are doubtful.

    ``145+362`` is the code ``145+362`` where the map lists it, and ``145`` otherwise. What is no primary statement
    with modifiers is left as it stands, so that it is named as unknown.
    """
    found: list[str] = []
    doubtful: list[str] = []
    for statement in (part.strip() for part in text.split(";")):
        parts = [part.strip() for part in statement.split("+") if part.strip()]
        primary = [part for part in parts if not (part.isdecimal() and int(part) in MODIFIERS)]
        modifiers = [part for part in parts if part not in primary]
        if not parts:
            continue
        code = statement
        if len(primary) == 1:
            whole = (f"{primary[0]}+{one}" for one in modifiers)
            code = next((one for one in whole if one in Sph.label_map().says), primary[0])
        found.append(code)
        if not UNCERTAIN.isdisjoint(modifiers):
            doubtful.append(code)
    # What is said for certain elsewhere in the text is certain.
    left = [code for code in dict.fromkeys(doubtful) if found.count(code) == doubtful.count(code)]
    return list(dict.fromkeys(found)), left


register(Sph())
