"""A simulated PTB-XL on disk, in the layout in which PhysioNet publishes the real one, at 100 Hz or at both rates."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LEADS, RECORD_SECONDS, StoredRate
from leadwise.data.simulator.population import draw_patients
from leadwise.data.simulator.recording import SimulatorError, draw_body, simulate
from leadwise.data.simulator.statements import STATEMENTS
from leadwise.data.simulator.tables import Visit, database_row, draw_visits
from leadwise.data.simulator.waveform import twelve_leads
from leadwise.signals.leads import INDEPENDENT_COLUMNS

MARKER = "simulation.json"
"""The file whose presence says that a tree is simulated."""

WHAT = "Simulated by Leadwise: a physics toy, no patient"
VERSION = 1
"""Raise it with every change of what is written, so that a tree of an older version is written anew."""

FEWEST_PATIENTS, MOST_PATIENTS = 100, 100_000


def write_simulated_tree(dest: Path, *, patients: int, seed: int, rate: StoredRate = 100) -> Path:
    """Write a simulated PTB-XL tree, or leave it alone if it is whole and was written with the same parameters.

    The tree appears whole or not at all. A simulated tree of other parameters is replaced.

    Args:
        dest: the tree's folder.
        patients: number of patients; about 1.16 records each.
        seed: same seed, same bytes.
        rate: 500 writes every recording at 500 Hz as well, interpolated: it holds nothing new above 50 Hz.

    Returns:
        ``dest``.

    Raises:
        SimulatorError: a parameter is out of range, or ``dest`` holds something else, which is never overwritten.
    """
    if not FEWEST_PATIENTS <= patients <= MOST_PATIENTS:
        raise SimulatorError(f"patients: received {patients}; allowed: {FEWEST_PATIENTS} to {MOST_PATIENTS}")
    if not 0 <= seed < 2**31:
        raise SimulatorError(f"seed: received {seed}; allowed: 0 to {2**31 - 1}")
    dest = Path(dest)
    wanted: dict[str, str | int] = {"what": WHAT, "seed": seed, "patients": patients, "version": VERSION}
    if rate != 100:
        wanted["rate"] = rate
    if dest.is_symlink() or (dest.exists() and not _may_be_replaced(dest)):
        raise SimulatorError(
            f"{dest}: exists and is not a simulated tree (no {MARKER}); it is not overwritten. "
            "Name a folder that is empty or does not exist."
        )
    if is_whole(dest, wanted):
        return dest
    try:
        with folder_written_atomically(dest) as folder:
            _write(folder, wanted)
    except OSError as error:
        raise SimulatorError(f"{dest}: the simulated tree cannot be written: {error}") from error
    return dest


def is_whole(tree: Path, wanted: dict[str, str | int]) -> bool:
    """Whether a tree was written with these parameters and every file that it lists is there."""
    try:
        listed = [line.split(" ", 1)[1] for line in (tree / "SHA256SUMS.txt").read_text().splitlines()]
        found = json.loads((tree / MARKER).read_text())
        return all(found.get(key) == value for key, value in wanted.items()) and all(
            (tree / name).is_file() for name in listed
        )
    except (OSError, ValueError, IndexError, AttributeError):
        return False


def _may_be_replaced(dest: Path) -> bool:
    return dest.is_dir() and ((dest / MARKER).is_file() or not any(dest.iterdir()))


def _write(folder: Path, wanted: dict[str, str | int]) -> None:
    from tqdm import tqdm

    seed = int(wanted["seed"])
    rng = np.random.default_rng([seed, 0])
    visits = draw_visits(draw_patients(int(wanted["patients"]), rng), rng)
    sums: dict[str, str] = {}
    shown = tqdm(visits, desc="simulating", unit="record", disable=None)
    rows = [_write_record(folder, visit, seed, sums, at_500_hz="rate" in wanted) for visit in shown]
    _write_file(folder, "ptbxl_database.csv", pd.DataFrame(rows).to_csv(index=False).encode(), sums)
    _write_file(folder, "scp_statements.csv", statements_table().to_csv().encode(), sums)
    marker = json.dumps({**wanted, "records": len(rows)}, indent=2) + "\n"
    _write_file(folder, MARKER, marker.encode(), sums)
    lines = "".join(f"{sums[name]} {name}\n" for name in sorted(sums))
    (folder / "SHA256SUMS.txt").write_bytes(lines.encode())


def _write_record(folder: Path, visit: Visit, seed: int, sums: dict[str, str], *, at_500_hz: bool) -> dict[str, object]:
    """Simulate and write one record; every record has its own source of randomness, so that order does not matter."""
    person = visit.patient
    body_rng = np.random.default_rng([seed, 1, person.patient_id])
    rng = np.random.default_rng([seed, 2, visit.ecg_id])
    body = draw_body(body_rng, age=person.age, sex=person.sex, weight_kg=person.weight_kg)
    recording = simulate(body, visit.codes, rng, rhythm=visit.rhythm, stage=visit.stage)
    row = database_row(visit, recording, rng)
    signals = {"filename_lr": recording.units}
    if at_500_hz:
        signals["filename_hr"] = five_times_finer(recording.units)
    for column, units in signals.items():
        name = str(row[column])
        _write_file(folder, f"{name}.dat", units.tobytes(), sums)
        _write_file(folder, f"{name}.hea", wfdb_header(Path(name).name, units).encode(), sums)
    return row


def five_times_finer(units: np.ndarray) -> np.ndarray:
    """``(time, 12)`` int16 microvolts at five times the sampling rate, band-limited; the limb leads still add up."""
    from scipy.signal import resample_poly

    independent = units[:, INDEPENDENT_COLUMNS]
    return twelve_leads(resample_poly(independent / 1000, 5, 1, axis=0, padtype="line"))


def wfdb_header(record: str, units: np.ndarray) -> str:
    """The WFDB header of a record of 10 s, ``(time, 12)`` int16 microvolts in format 16.

    The checksum is the sum of a lead's samples modulo 65,536 (WFDB header specification, header(5)).
    """
    lines = [f"{record} {len(LEADS)} {len(units) // RECORD_SECONDS} {len(units)}"]
    checksums = units.astype(np.int64).sum(axis=0) % 65536
    for lead, first, checksum in zip(LEADS, units[0], checksums, strict=True):
        lines.append(
            f"{record}.dat 16 1000.0(0)/mV 16 0 {first} {checksum} 0 {lead.upper() if lead[0] == 'a' else lead}"
        )
    return "\n".join([*lines, f"# {WHAT}", ""])


def statements_table() -> pd.DataFrame:
    """``scp_statements.csv``: the 71 statements with PTB-XL's columns; columns of foreign codes are left empty."""
    flag = {True: 1.0, False: np.nan}
    rows = {
        code: {
            "description": statement.description,
            "diagnostic": flag[statement.diagnostic],
            "form": flag[statement.form],
            "rhythm": flag[statement.rhythm],
            "diagnostic_class": statement.superclass or None,
            "diagnostic_subclass": statement.subclass or None,
            "Statement Category": statement.category,
            "SCP-ECG Statement Description": statement.description,
            "AHA code": None,
            "aECG REFID": None,
            "CDISC Code": None,
            "DICOM Code": None,
        }
        for code, statement in STATEMENTS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _write_file(folder: Path, name: str, content: bytes, sums: dict[str, str]) -> None:
    file = folder / name
    if not file.parent.is_dir():
        file.parent.mkdir(parents=True)
    file.write_bytes(content)
    sums[name] = hashlib.sha256(content).hexdigest()
