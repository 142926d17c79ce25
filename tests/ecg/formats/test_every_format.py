"""The same ECG, written in every format, is read back the same."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReadECG, read_ecg
from leadwise.ecg.leads import INDEPENDENT_LEADS

Make = Callable[..., Any]

ONE_FILE = ("edf", "hl7", "muse", "dicom", "csv", "npz", "parquet")
RESOLUTION_MV = {"muse": 4.88e-3 / 2, "edf": 1e-5}
"""Half a unit of MUSE; EDF holds its physical range in eight characters, which edfio rounds."""
EXACT_MV = 2e-6
"""float32 of some millivolts."""

SPELLINGS = {
    "upper case": str.upper,
    "with a word": lambda name: f"Lead {name}",
    "with ECG before it": lambda name: f"ECG {name}",
    "as MDC code": lambda name: f"MDC_ECG_LEAD_{name.upper()}",
}
SHUFFLED = ("V6", "aVF", "II", "V1", "III", "V3", "aVR", "I", "V5", "aVL", "V2", "V4")


def check(read: ReadECG, one: Any, *, tolerance_mv: float = EXACT_MV) -> None:
    """The recording in standard order is what was written."""
    assert read.questions == ()
    assert read.fs_hz == one.fs_hz
    recording = read.recording()
    assert recording.record.fs_hz == one.fs_hz
    expected = {lead: one.mv[:, column] for column, lead in enumerate(read.leads)}
    assert len(expected) == one.mv.shape[1]
    for column, lead in enumerate(LEADS):
        if lead in expected:
            np.testing.assert_allclose(recording.record.signal_mv[:, column], expected[lead], atol=tolerance_mv)
    assert recording.computed_leads == tuple(lead for lead in LEADS if lead not in expected)


@pytest.mark.parametrize(("fs_hz", "unit"), [(100, "mV"), (250, "uV"), (500, "mV"), (500, "uV"), (1000, "uV")])
@pytest.mark.parametrize("kind", ONE_FILE)
def test_a_file_is_read_back_at_every_rate_and_unit(ecg: Make, write: Make, kind: str, fs_hz: int, unit: str) -> None:
    one = ecg(fs_hz, unit=unit)
    more = {"sensitivity": 0.001 if unit == "mV" else 1.0} if kind == "dicom" else {}
    read = read_ecg(write(kind, one, **more))
    assert read.leads == LEADS
    assert read.samples == 10 * fs_hz
    assert read.seconds == 10
    check(read, one, tolerance_mv=RESOLUTION_MV.get(kind, EXACT_MV) + EXACT_MV)


@pytest.mark.parametrize("kind", ONE_FILE)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_leads_in_any_order_and_spelling(ecg: Make, write: Make, kind: str, spelling: str) -> None:
    names = [SPELLINGS[spelling](lead) for lead in SHUFFLED]
    one = ecg(leads=SHUFFLED, names=names)
    more = {"scheme": "NAME"} if kind == "dicom" else {}
    read = read_ecg(write(kind, one, **more))
    assert read.leads == SHUFFLED
    if kind not in ("csv", "parquet"):  # whose names hold the unit as well
        assert list(read.leads_found) == names or (kind == "dicom" and spelling != "upper case")
    check(read, one, tolerance_mv=RESOLUTION_MV.get(kind, EXACT_MV) + EXACT_MV)


@pytest.mark.parametrize("kind", ONE_FILE)
def test_of_eight_leads_the_other_four_are_computed(ecg: Make, write: Make, kind: str) -> None:
    one = ecg(500, leads=INDEPENDENT_LEADS)
    read = read_ecg(write(kind, one))
    assert "Not in the file, so computed from leads I and II: III, aVR, aVL, aVF." in read.notes
    check(read, one, tolerance_mv=RESOLUTION_MV.get(kind, EXACT_MV) + EXACT_MV)
    signal = read.recording().record.signal_mv
    np.testing.assert_allclose(signal[:, 2], signal[:, 1] - signal[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("edf", {"age": 58, "sex": 1}),
        ("hl7", {"age": 58, "sex": 1}),
        ("muse", {"age": 58, "sex": 1, "height_cm": 165.1, "weight_kg": 68.04}),
        ("dicom", {"age": 58, "sex": 1, "height_cm": 165, "weight_kg": 68}),
    ],
)
def test_facts_of_the_patient_are_found_and_nothing_that_tells_who(
    ecg: Make, write: Make, kind: str, facts: dict[str, float]
) -> None:
    content = write(kind, ecg())
    assert b"Secret" in content
    read = read_ecg(content)
    assert read.patient == pytest.approx(facts)
    for private in ("Secret", "Mona", "ID-77", "1962", "2020"):
        assert private not in repr(read)
    assert read.recording().record.patient == read.patient
    assert read.recording({"age": 40.0}).record.patient == {"age": 40.0}


@pytest.mark.parametrize("kind", ONE_FILE)
def test_a_path_a_name_and_a_zip_give_the_same(ecg: Make, write: Make, kind: str, tmp_path: Path) -> None:
    content = write(kind, ecg())
    file = tmp_path / f"some.{kind}"
    file.write_bytes(content)
    reads = [read_ecg(file), read_ecg(str(file)), read_ecg(content, name=file.name)]
    if kind != "npz":
        reads.append(read_ecg(write("zip", {f"folder/{file.name}": content})))
    for read in reads:
        assert read.file == file.name
        np.testing.assert_array_equal(read.signal_mv, reads[0].signal_mv)


def test_ten_at_once_do_not_mix(ecg: Make, write: Make) -> None:
    files = []
    for number, kind in enumerate(ONE_FILE * 6):
        one = ecg(seconds=5)
        files.append((write(kind, type(one)(one.microvolts + 5 * number, 100)), one.mv + 0.005 * number))
    with ThreadPoolExecutor(10) as people:
        reads = list(people.map(lambda file: read_ecg(file[0]), files))
    for read, (_, expected) in zip(reads, files, strict=True):
        np.testing.assert_allclose(read.signal_mv, expected, atol=RESOLUTION_MV["muse"] + EXACT_MV)
