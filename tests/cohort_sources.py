"""Small sources of every registered dataset, in the layout in which it is published, with simulated ECGs in them."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.record import resample

FS_HZ = 500


def ecg_mv(seed: int) -> np.ndarray:
    """An ECG of 10 s at 500 Hz: ``(5000, 12)`` in whole microvolts, given in millivolts."""
    return np.round(resample(simulate_record("NORM", seed).signal_mv, 100, FS_HZ), 3)


def write_record(
    folder: Path,
    name: str,
    stored: np.ndarray,
    *,
    gains: Sequence[float],
    comments: Sequence[str],
    leads: Sequence[str] = LEADS,
    ending: str = "dat",
) -> None:
    """A WFDB record of ``(time, lead)`` whole numbers; ``mat`` has 24 bytes before them."""
    folder.mkdir(parents=True, exist_ok=True)
    offset = 24 if ending == "mat" else 0
    stored = stored.astype("<i2")
    (folder / f"{name}.{ending}").write_bytes(b"\0" * offset + stored.tobytes())
    lines = [f"{name} {len(leads)} {FS_HZ} {len(stored)}"]
    for lead, gain, samples in zip(leads, gains, stored.T.astype(np.int64), strict=True):
        form = f"16+{offset}" if offset else "16"
        checksum = int(samples.sum()) % 65536
        lines.append(f"{name}.{ending} {form} {gain:g}/mV 16 0 {samples[0]} {checksum} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join([*lines, *(f"#{line}" for line in comments)]) + "\n")


def write_ludb(source: Path, records: Mapping[str, Sequence[str]]) -> Path:
    """Records by name with their findings, each lead with the gain by which it spans 1 mV, as LUDB has it."""
    (source / "data").mkdir(parents=True)
    (source / "ludb.csv").write_text("ID,Sex,Age\n")
    for number, (name, findings) in enumerate(records.items()):
        stored = np.round(ecg_mv(number) * 1000)
        comments = [f"<age>: {50 + number}", "<sex>: F", "<diagnoses>:", *(f"{finding}. " for finding in findings)]
        leads = [lead.lower() for lead in LEADS]
        write_record(source / "data", name, stored, gains=np.ptp(stored, axis=0), comments=comments, leads=leads)
    return source


def write_challenge(
    source: Path, records: Mapping[str, str], *, gain: float = 1000, age: str = "61", leads: Sequence[str] = LEADS
) -> Path:
    """Records by name with their ``#Dx``; the stored numbers are microvolts whatever the gain says."""
    for number, (name, codes) in enumerate(records.items()):
        stored = np.round(ecg_mv(number) * 1000)[:, : len(leads)]
        comments = [f"Age: {age}", "Sex: Female", f"Dx: {codes}", "Rx: Unknown", "Hx: Unknown", "Sx: Unknown"]
        folder = source / "training" / name.rstrip("0123456789")
        gains = [gain] * len(leads)
        write_record(folder, name, stored, gains=gains, comments=comments, leads=leads, ending="mat")
    return source


def write_sph(source: Path, codes: Sequence[str]) -> Path:
    """A row and a file per ``AHA_Code``."""
    (source / "records").mkdir(parents=True)
    rows = []
    for number, code in enumerate(codes):
        name = f"A{number + 1:05d}"
        with h5py.File(source / "records" / f"{name}.h5", "w") as file:
            file.create_dataset("ecg", data=ecg_mv(number).T.astype(np.float16))
        rows.append((name, code, f"S{number + 1:05d}", 55 + number, "MF"[number % 2], 5000, "2020-03-04"))
    columns = ["ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date"]
    pd.DataFrame(rows, columns=columns).to_csv(source / "metadata.csv", index=False)
    return source


def write_table(source: Path, rows: Sequence[Mapping[str, object]], *, name: str = "records.csv") -> Path:
    """A table whose column ``file`` names NPZ files, which are written as well."""
    source.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        if file := row.get("file"):
            np.savez(source / str(file), signal=ecg_mv(number), fs_hz=FS_HZ, units="mV", leads=np.array(LEADS))
    table = pd.DataFrame(list(rows))
    if name.endswith(".parquet"):
        table.to_parquet(source / name, index=False)
    else:
        table.to_csv(source / name, index=False)
    return source


LUDB_FINDINGS: dict[str, list[str]] = {
    "1": ["Rhythm: Sinus rhythm", "Electric axis of the heart: normal"],
    "2": ["Rhythm: Sinus rhythm", "Left ventricular hypertrophy", "I degree AV block"],
    "10": ["Rhythm: Atrial fibrillation", "STEMI: septal", "Undefined ischemia/scar/supp.NSTEMI: apical"],
}
CHALLENGE_CODES = {
    "A0001": "59118001",
    "Q0001": "164867002",
    "E00001": "426783006",
    "JS00001": "164873001,164934002",
    "JS10647": "55827005,426177001",
}
SPH_CODES = ["1", "22;23", "105;145+362", "160+330;142"]
TABLE_ROWS = [
    {"file": "a.npz", "patient_id": "p", "age": 61, "sex": "male", "NORM": 1, "MI": 0},
    {"file": "b.npz", "patient_id": "q", "age": 48, "sex": "female", "NORM": 0, "MI": ""},
]


def as_ptbxl(source: Path, simulated_tree: Path) -> Path:
    """A simulated tree that does not say that it is one."""
    shutil.copytree(simulated_tree, source)
    mark = source / "simulation.json"
    assert json.loads(mark.read_text())
    mark.unlink()
    return source


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "ptbxl": as_ptbxl,
    "synthetic": lambda _, simulated_tree: simulated_tree,
    "ludb": lambda source, _: write_ludb(source, LUDB_FINDINGS),
    "challenge2021": lambda source, _: write_challenge(source, CHALLENGE_CODES),
    "sph": lambda source, _: write_sph(source, SPH_CODES),
    "table": lambda source, _: write_table(source, TABLE_ROWS),
}
"""Name of a dataset -> what writes a source of it into a folder, given a simulated tree as well."""
