"""A simulated PTB-XL on disk, in the layout in which PhysioNet publishes the real one, at 100 Hz or at both rates."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LEADS, RECORD_SECONDS, LeadwiseError, StoredRate
from leadwise.datasets.releases import GROUPS, SIMULATION_FILE, STATEMENT_BY_CODE, SUMS_FILE
from leadwise.datasets.synthetic.pathology import STAGES
from leadwise.datasets.synthetic.recording import Patient, draw_body, draw_patients, simulate
from leadwise.datasets.synthetic.waveform import twelve_leads
from leadwise.ecg.record import INDEPENDENT_COLUMNS
from leadwise.features import FEATURES, simulated
from leadwise.terminal import progress

FIRST_DAY = datetime(1984, 11, 9, 9, 17, 34)
DAYS = 6058

SHARE_OF_STAGES = (0.07, 0.02, 0.07, 0.4, 0.44)
SHARE_OF_KNOWN_STAGE = 0.38

HEIGHT_KNOWN = {"NORM": 0.34, "MI": 0.25, "STTC": 0.36, "CD": 0.32, "HYP": 0.39}
WEIGHT_KNOWN = {"NORM": 0.55, "MI": 0.28, "STTC": 0.38, "CD": 0.37, "HYP": 0.40}

DEVICES = ("CS100    3", "CS-12", "AT-6 C 5.5", "CS-12   E", "AT-6     6", "AT-60    3", "AT-6 C 5.8", "AT-6 C")
SHARE_OF_DEVICES = (0.285, 0.19, 0.181, 0.132, 0.104, 0.045, 0.038, 0.025)

RHYTHMS = ("SR", "AFIB", "STACH", "SARRH", "SBRAD", "SVARR", "BIGU", "AFLT", "SVTAC", "PSVT", "TRIGU")
UNHEALTHY_RHYTHMS = frozenset({"AFIB", "AFLT", "SVTAC", "PSVT", "SVARR", "BIGU", "TRIGU"})
NEEDS_SINUS = frozenset({"1AVB", "2AVB", "3AVB", "WPW", "LAO/LAE", "RAO/RAE"})
WITHOUT_SUPERCLASS = ("PACE", "AFIB", "SR")
SHARE_WITHOUT_SUPERCLASS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Visit:
    """One recording to be made, numbered by its date: age in years at the time, SCP codes with likelihood.

    ``stage`` is that of the infarction, whether or not it is noted in the column, and empty without one.
    """

    ecg_id: int
    patient: Patient
    when: datetime
    age: float
    rhythm: str
    codes: Mapping[str, float]
    stage: str
    stage_noted: str | None
    second_stage: str | None


def draw_visits(patients: list[Patient], rng: np.random.Generator) -> list[Visit]:
    """All recordings in the order of their dates."""
    planned: list[tuple[float, int, float, Patient]] = []
    for person in patients:
        first = rng.uniform(0, DAYS - 400 * (person.records > 1))
        later = first + np.concatenate([[0.0], np.cumsum(rng.exponential(120, person.records - 1))])
        planned += [(min(day, float(DAYS)), len(planned) + k, day - first, person) for k, day in enumerate(later)]
    planned.sort(key=lambda plan: plan[:2])
    return [
        _draw_visit(number, person, day, since_first, rng)
        for number, (day, _, since_first, person) in enumerate(planned, start=1)
    ]


def _draw_visit(number: int, person: Patient, day: float, since_first: float, rng: np.random.Generator) -> Visit:
    rhythm = _draw_rhythm(person, rng)
    codes = dict(person.codes) | _draw_forms(person, rhythm, rng)
    if rhythm != "SR" or rng.random() < 0.96:
        codes[rhythm] = 0.0
    stage = noted = second = None
    if "MI" in person.superclasses:
        stage = str(rng.choice(STAGES, p=SHARE_OF_STAGES))
        if since_first > 30:
            stage = STAGES[-1]
        noted = stage if rng.random() < SHARE_OF_KNOWN_STAGE else "unknown"
        infarctions = sum(STATEMENT_BY_CODE[code].superclass == "MI" for code in codes)
        second = "Stadium III" if infarctions > 1 and rng.random() < 0.15 else None
    return Visit(
        ecg_id=number,
        patient=person,
        when=(FIRST_DAY + timedelta(days=day)).replace(microsecond=0),
        age=person.facts["age"] + float(since_first // 365),
        rhythm=rhythm,
        codes=codes,
        stage=stage or "",
        stage_noted=noted,
        second_stage=second,
    )


def _draw_rhythm(person: Patient, rng: np.random.Generator) -> str:
    if not person.superclasses:
        return str(rng.choice(WITHOUT_SUPERCLASS, p=SHARE_WITHOUT_SUPERCLASS))
    if NEEDS_SINUS & person.codes.keys():
        return str(rng.choice(["SR", "STACH", "SBRAD"], p=[0.9, 0.05, 0.05]))
    often = np.array([STATEMENT_BY_CODE[name].per_10000 for name in RHYTHMS])
    healthy = "NORM" in person.superclasses
    for k, name in enumerate(RHYTHMS):
        if name in UNHEALTHY_RHYTHMS:
            often[k] *= 0.03 if healthy else 1.6
    return str(rng.choice(RHYTHMS, p=often / often.sum()))


def _draw_forms(person: Patient, rhythm: str, rng: np.random.Generator) -> dict[str, float]:
    """Statements on the shape of the waves that go with what the person has."""
    has, codes = person.superclasses, person.codes
    chances = {
        "ABQRS": 0.55 if "MI" in has else 0.12 if has and "NORM" not in has else 0.0,
        "QWAVE": 0.10 if "MI" in has else 0.0,
        "VCLVH": 0.36 if "LVH" in codes else 0.0,
        "STD_": 0.16 if "STTC" in has else 0.02 if "HYP" in has else 0.0,
        "LOWT": 0.07 if "STTC" in has else 0.0,
        "NT_": 0.07 if "STTC" in has else 0.0,
        "INVT": 0.05 if "STTC" in has or "MI" in has else 0.0,
        "TAB_": 0.004 if "STTC" in has else 0.0,
        "STE_": 0.004 if "MI" in has else 0.0,
        "LPR": 0.4 if "1AVB" in codes else 0.0,
        "LVOLT": 0.0 if "HYP" in has else 0.008,
        "HVOLT": 0.0 if "HYP" in has else 0.003,
    }
    if rhythm in ("SR", "AFIB", "SBRAD"):
        chances["PVC"] = 0.01 if "NORM" in has else 0.08
    if rhythm == "SR":
        chances |= {"PAC": 0.02, "PRC(S)": 0.0005}
    draws = rng.random(len(chances))
    return {code: 0.0 for (code, chance), draw in zip(chances.items(), draws, strict=True) if draw < chance}


def database_row(visit: Visit, rng: np.random.Generator) -> dict[str, object]:
    """One row of ptbxl_database.csv with all its columns; what is missing in the real one is missing alike."""
    person = visit.patient
    human = person.strat_fold >= 9 or bool(rng.random() < 0.67)
    known = rng.random(4)
    name = f"{visit.ecg_id // 1000 * 1000:05d}/{visit.ecg_id:05d}"
    return {
        "ecg_id": visit.ecg_id,
        "patient_id": float(person.patient_id),
        "age": visit.age if visit.age <= 89 else 300.0,
        "sex": person.facts["sex"],
        "height": person.facts["height_cm"] if known[0] < _share(HEIGHT_KNOWN, person) else None,
        "weight": person.facts["weight_kg"] if known[1] < _share(WEIGHT_KNOWN, person) else None,
        "nurse": float(rng.integers(12)) if rng.random() < 0.93 else None,
        "site": float(rng.choice([0, 1, 2, 3], p=[0.43, 0.3, 0.24, 0.03])),
        "device": str(rng.choice(DEVICES, p=SHARE_OF_DEVICES)),
        "recording_date": visit.when.isoformat(sep=" "),
        "report": ". ".join(STATEMENT_BY_CODE[code].name for code in visit.codes) + ". simulated.",
        "scp_codes": str(dict(visit.codes)),
        "heart_axis": "MID" if known[2] < 0.61 else None,
        "infarction_stadium1": visit.stage_noted,
        "infarction_stadium2": visit.second_stage,
        "validated_by": float(rng.integers(3)) if known[3] < 0.57 else None,
        "second_opinion": bool(rng.random() < 0.025),
        "initial_autogenerated_report": bool(rng.random() < 0.31),
        "validated_by_human": human,
        **dict.fromkeys(("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")),
        "extra_beats": "VES" if "PVC" in visit.codes else "SVES" if "PAC" in visit.codes else None,
        "pacemaker": "ja, pacemaker" if visit.rhythm == "PACE" else None,
        "strat_fold": person.strat_fold,
        "filename_lr": f"records100/{name}_lr",
        "filename_hr": f"records500/{name}_hr",
        **simulated({**person.facts, "age": visit.age}, person.superclasses, rng),
    }


def _share(known: Mapping[str, float], person: Patient) -> float:
    return float(np.mean([known[superclass] for superclass in person.superclasses])) if person.superclasses else 0.3


WHAT = "Simulated by Leadwise: a physics toy, no patient"
VERSION = 2
"""Raise it with every change of what is written, so that a tree of an older version is written anew."""

FEWEST_PATIENTS, MOST_PATIENTS = 100, 100_000


def write_simulated_tree(dest: Path, *, patients: int, seed: int, rate: StoredRate = 100) -> Path:
    """Write a simulated PTB-XL tree, or leave it alone if it is whole and was written with the same parameters.

    The tree appears whole or not at all. A simulated tree of other parameters is replaced. Returns ``dest``.

    Args:
        dest: the tree's folder.
        patients: number of patients; about 1.16 records each.
        seed: same seed, same bytes.
        rate: 500 writes every recording at 500 Hz as well, interpolated: it holds nothing new above 50 Hz.

    Raises:
        LeadwiseError: a parameter is out of range, or ``dest`` holds something else, which is never overwritten.
    """
    if not FEWEST_PATIENTS <= patients <= MOST_PATIENTS:
        raise LeadwiseError(f"patients: received {patients}; allowed: {FEWEST_PATIENTS} to {MOST_PATIENTS}")
    if not 0 <= seed < 2**31:
        raise LeadwiseError(f"seed: received {seed}; allowed: 0 to {2**31 - 1}")
    dest = Path(dest)
    wanted: dict[str, str | int] = {"what": WHAT, "seed": seed, "patients": patients, "version": VERSION}
    if rate != 100:
        wanted["rate"] = rate
    if beside := [one.name for one in FEATURES.values() if one.simulate]:
        wanted["features"] = " ".join(beside)
    is_ours = dest.is_dir() and ((dest / SIMULATION_FILE).is_file() or not any(dest.iterdir()))
    if dest.is_symlink() or (dest.exists() and not is_ours):
        raise LeadwiseError(
            f"{dest}: exists and is not a simulated tree (no {SIMULATION_FILE}); it is not overwritten. "
            "Name a folder that is empty or does not exist."
        )
    if is_whole(dest, wanted):
        return dest
    try:
        with folder_written_atomically(dest) as folder:
            _write(folder, wanted)
    except OSError as error:
        raise LeadwiseError(f"{dest}: the simulated tree cannot be written: {error}") from error
    return dest


def is_whole(tree: Path, wanted: dict[str, str | int]) -> bool:
    """Whether a tree was written with these parameters and every file that it lists is there."""
    try:
        listed = [line.split(" ", 1)[1] for line in (tree / SUMS_FILE).read_text().splitlines()]
        found = json.loads((tree / SIMULATION_FILE).read_text())
        return all(found.get(key) == value for key, value in wanted.items()) and all(
            (tree / name).is_file() for name in listed
        )
    except (OSError, ValueError, IndexError, AttributeError):
        return False


def _write(folder: Path, wanted: dict[str, str | int]) -> None:
    seed = int(wanted["seed"])
    rng = np.random.default_rng([seed, 0])
    visits = draw_visits(draw_patients(int(wanted["patients"]), rng), rng)
    sums: dict[str, str] = {}
    rows = []
    with progress(len(visits), "simulating", "record") as bar:
        for visit in visits:
            rows.append(_write_record(folder, visit, seed, sums, at_500_hz="rate" in wanted))
            bar.update()
    _write_file(folder, "ptbxl_database.csv", pd.DataFrame(rows).to_csv(index=False).encode(), sums)
    _write_file(folder, "scp_statements.csv", statements_table().to_csv().encode(), sums)
    marker = json.dumps({**wanted, "records": len(rows)}, indent=2) + "\n"
    _write_file(folder, SIMULATION_FILE, marker.encode(), sums)
    lines = "".join(f"{sums[name]} {name}\n" for name in sorted(sums))
    (folder / SUMS_FILE).write_bytes(lines.encode())


def _write_record(folder: Path, visit: Visit, seed: int, sums: dict[str, str], *, at_500_hz: bool) -> dict[str, object]:
    """Simulate and write one record; every record has its own source of randomness, so that order does not matter."""
    person = visit.patient
    body_rng = np.random.default_rng([seed, 1, person.patient_id])
    rng = np.random.default_rng([seed, 2, visit.ecg_id])
    known = person.facts
    body = draw_body(body_rng, age=known["age"], sex=int(known["sex"]), weight_kg=known["weight_kg"])
    units = simulate(body, visit.codes, rng, rhythm=visit.rhythm, stage=visit.stage)
    row = database_row(visit, rng)
    signals = {"filename_lr": units}
    if at_500_hz:
        signals["filename_hr"] = five_times_finer(units)
    for column, signal in signals.items():
        name = str(row[column])
        _write_file(folder, f"{name}.dat", signal.tobytes(), sums)
        _write_file(folder, f"{name}.hea", wfdb_header(Path(name).name, signal).encode(), sums)
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
    rows = {
        code: {
            "description": statement.name,
            **{group: 1.0 if group in statement.groups else np.nan for group in GROUPS},
            "diagnostic_class": statement.superclass or None,
            "diagnostic_subclass": statement.subclass or None,
            "Statement Category": statement.superclass or statement.group,
            "SCP-ECG Statement Description": statement.name,
            **dict.fromkeys(("AHA code", "aECG REFID", "CDISC Code", "DICOM Code")),
        }
        for code, statement in STATEMENT_BY_CODE.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _write_file(folder: Path, name: str, content: bytes, sums: dict[str, str]) -> None:
    file = folder / name
    if not file.parent.is_dir():
        file.parent.mkdir(parents=True)
    file.write_bytes(content)
    sums[name] = hashlib.sha256(content).hexdigest()
