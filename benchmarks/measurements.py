"""How well rate, PR, QRS, QTc and axis are measured: on simulated hearts, PTB-XL's statements, and LUDB.

python benchmarks/measurements.py --tree data/ptbxl --ludb data/ludb-1.0.1

Simulated hearts have known intervals. PTB-XL and LUDB have what cardiologists said of them, and LUDB's rate is compared
with that of wfdb's XQRS detector.
"""

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.contract import FS_HZ, TEST_FOLD, ECGRecord
from leadwise.datasets.synthetic.recording import draw_body, simulate
from leadwise.ecg.measurements import measure

HEARTS = 200
STATEMENTS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("Rate", ("STACH",), 1),
    ("Rate", ("SBRAD",), -1),
    ("PR", ("1AVB", "LPR"), 1),
    ("QRS", ("CRBBB", "CLBBB"), 1),
    ("QTc", ("LNGQT",), 1),
)
"""What is measured, whom it tells apart from all others, and whether theirs is higher (1) or lower."""
AXES = {"MID": "normal", "LAD": "left", "ALAD": "extreme left", "RAD": "right", "ARAD": "extreme right"}

Row = dict[str, Any]


def figures(record: ECGRecord) -> Row:
    """Name -> value, NaN where it cannot be measured."""
    return {found.name: np.nan if found.value is None else found.value for found in measure(record)}


def spread(values: Iterable[float]) -> str:
    """Median and the 5 % to 95 % range of what is finite."""
    given = np.array(list(values), dtype=float)
    known = given[np.isfinite(given)]
    if not len(known):
        return f"none of {len(given)}"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    return f"{middle:.0f} [{low:.0f}, {high:.0f}], {len(known):,} of {len(given):,}"


def simulated(noise: float) -> Iterator[Row]:
    """Errors on hearts whose intervals are known; a tangent to a Gaussian T meets the level at two deviations."""
    for seed in range(HEARTS):
        rng = np.random.default_rng(seed)
        body, rate = draw_body(rng), float(rng.uniform(50, 110))
        units = simulate(body, {"NORM": 100.0}, rng, rate_bpm=rate, noise=noise, strength=1.0)
        heart, found = body.heart, figures(ECGRecord((units / 1000).astype(np.float32), FS_HZ, {}))
        t = heart.t["t"]
        truth = {
            "Rate": rate,
            "PR": heart.pr_ms,
            "QRS": heart.qrs_ms,
            "QT": (t.peak_ms + 2 * t.fall_ms) * np.sqrt(60 / rate),
        }
        yield {name: found[name] - value for name, value in truth.items()}


def of_ptbxl(tree: Path) -> list[Row]:
    """Fold 10, each with its statements and the axis that was noted."""
    from leadwise.datasets.tables import clean, read_tables
    from leadwise.datasets.waveforms import read_record

    tables = read_tables(tree)
    records = clean(tables).records
    axis = dict(zip(tables.numbers()["ecg_id"].astype(int), tables.database["heart_axis"], strict=True))
    found = []
    for row in records[records["strat_fold"] == TEST_FOLD].to_dict("records"):
        signal = (read_record(tree / str(row["filename"])) / 1000).astype(np.float32)
        told = {"codes": set(json.loads(row["scp_codes"])), "noted": axis[int(row["ecg_id"])]}
        found.append(figures(ECGRecord(signal, FS_HZ, {})) | told)
    return found


def of_ludb(tree: Path, *, neurokit: bool) -> list[Row]:
    """All of LUDB with the rate by XQRS in lead II; its gains scale each lead on its own, its counts do not."""
    import wfdb
    from wfdb.processing import xqrs_detect

    found = []
    for name in (tree / "RECORDS").read_text(encoding="utf-8").split():
        record = wfdb.rdrecord(str(tree / name), physical=False)
        signal = np.asarray(record.d_signal, dtype=np.float32) / 1000
        beats = np.diff(xqrs_detect(signal[:, 1].astype(float), record.fs, verbose=False)) / record.fs
        axis = re.search(r"axis of the heart: ([\w ]+)", " ".join(record.comments))
        told = {"xqrs": 60 / beats.mean() if len(beats) else np.nan, "noted": axis[1].strip() if axis else ""}
        if neurokit:
            told |= {f"neurokit-{wave}": value for wave, value in of_neurokit(signal[:, 1], record.fs).items()}
        found.append(figures(ECGRecord(signal, float(record.fs), {})) | told)
    return found


def of_neurokit(signal: np.ndarray, fs_hz: float) -> Row:
    """Intervals by NeuroKit2's wavelet delineation of one lead, the median over the beats; it is not installed here."""
    import neurokit2

    clean = neurokit2.ecg_clean(signal, sampling_rate=int(fs_hz))
    _, peaks = neurokit2.ecg_peaks(clean, sampling_rate=int(fs_hz))
    try:
        _, waves = neurokit2.ecg_delineate(clean, peaks["ECG_R_Peaks"], sampling_rate=int(fs_hz), method="dwt")
    except (ValueError, IndexError):
        # It gives up on some recordings, such as those with few beats.
        return dict.fromkeys(("PR", "QRS", "QT"), np.nan)
    onset = np.asarray(waves["ECG_R_Onsets"], dtype=float)
    pairs = {
        "PR": onset - np.asarray(waves["ECG_P_Onsets"], dtype=float),
        "QRS": np.asarray(waves["ECG_R_Offsets"], dtype=float) - onset,
        "QT": np.asarray(waves["ECG_T_Offsets"], dtype=float) - onset,
    }
    return {
        name: 1000 / fs_hz * float(np.median(given[np.isfinite(given)])) if np.isfinite(given).any() else np.nan
        for name, given in pairs.items()
    }


def report_ptbxl(rows: Sequence[Row]) -> None:
    """Print what the statements and the axes noted say of the figures."""
    from sklearn.metrics import roc_auc_score

    normal = [row for row in rows if "NORM" in row["codes"]]
    for name in ("Rate", "PR", "QRS", "QT", "QTc", "Axis"):
        print(f"PTB-XL, NORM, {name}: {spread(row[name] for row in normal)}")
    for name, codes, sign in STATEMENTS:
        known = [row for row in rows if np.isfinite(row[name])]
        has = [bool(row["codes"] & set(codes)) for row in known]
        area = roc_auc_score(has, [sign * row[name] for row in known])
        those = (row[name] for row in rows if row["codes"] & set(codes))
        print(f"PTB-XL, {' or '.join(codes)}, {name}: {spread(those)}; AUROC {area:.3f}")
    for code in ("SR", "AFIB"):
        share = np.mean([np.isfinite(row["PR"]) for row in rows if code in row["codes"]])
        print(f"PTB-XL, {code}: PR told in {100 * share:.0f} %")
    for code, words in AXES.items():
        print(f"PTB-XL, axis noted {words}: {spread(row['Axis'] for row in rows if row['noted'] == code)}")


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tree", type=Path, help="a PTB-XL tree")
    parser.add_argument("--ludb", type=Path, help="a tree of LUDB 1.0.1")
    parser.add_argument("--neurokit", action="store_true", help="compare LUDB with NeuroKit2, where it is installed")
    options = parser.parse_args()
    for noise in (0.0, 1.0):
        errors = list(simulated(noise))
        for name in errors[0]:
            print(f"simulated, noise {noise:g}, error of {name}: {spread(row[name] for row in errors)}")
    if options.tree:
        began = time.perf_counter()
        rows = of_ptbxl(options.tree)
        print(f"PTB-XL: {1000 * (time.perf_counter() - began) / len(rows):.0f} ms a record, reading included")
        report_ptbxl(rows)
    if options.ludb:
        rows = of_ludb(options.ludb, neurokit=options.neurokit)
        for name in ("PR", "QRS", "QT") if options.neurokit else ():
            theirs = spread(row[f"neurokit-{name}"] for row in rows)
            print(f"LUDB, {name}: {spread(row[name] for row in rows)}; by NeuroKit2 {theirs}")
        print(f"LUDB, rate against XQRS: {spread(row['Rate'] - row['xqrs'] for row in rows)}")
        apart = np.abs([row["Rate"] - row["xqrs"] for row in rows])
        print(f"LUDB, within 2 a minute: {np.mean(apart <= 2):.3f}")
        for noted in sorted({row["noted"] for row in rows}):
            print(f"LUDB, axis noted {noted!r}: {spread(row['Axis'] for row in rows if row['noted'] == noted)}")


if __name__ == "__main__":
    main()
