"""How often the look at a recording is right: real recordings with labels, clean ones, and faults put into clean ones.

DIR holds recordings of the PhysioNet/CinC Challenge 2011 as ``(5000, 12)`` NPY of 500 Hz, 200 units per mV, and
``labels.csv`` (record, acceptable). Limits were chosen on its even places; the odd ones are reported beside.

    PYTHONPATH=src python benchmarks/quality.py quality2011 [--ludb DIR] [--challenge DIR] [--store STORE]
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leadwise.contract import MICROVOLTS_PER_UNIT, LeadwiseError
from leadwise.datasets.store import open_store
from leadwise.ecg.assessment import Assessment, assess_many
from leadwise.ecg.formats import read_ecg
from leadwise.ecg.quality import lead_quality
from leadwise.ecg.record import (
    INDEPENDENT_COLUMNS,
    INDEPENDENT_LEADS,
    Recording,
    RecordingError,
    arrange_leads,
    build_recording,
    resample,
)
from leadwise.ecg.reversal import REVERSALS, reversal_matrix

REVERSED = {"limb_leads_swapped", "chest_leads_swapped"}
TOGETHER = 32
CLEAN = 300


def said_of(signals: Iterable[tuple[np.ndarray, float]]) -> Iterator[set[str]]:
    """What is said of each ``(time, 12)`` in mV at its rate: names of flags, ``refused`` or ``no ECG``."""
    for found in looked_at(signals):
        if found is None:
            yield {"refused"}
        else:
            yield {flag.name for flag in found.flags} | (set() if found.kept else {"no ECG"})


def looked_at(signals: Iterable[tuple[np.ndarray, float]]) -> Iterator[Assessment | None]:
    """Assessments; ``None`` where a recording is refused."""
    group: list[Recording | None] = []
    for signal_mv, fs_hz in signals:
        try:
            group.append(build_recording(signal_mv, fs_hz=fs_hz, order="time_lead"))
        except RecordingError:
            group.append(None)
        if len(group) == TOGETHER:
            yield from _assessed(group)
            group = []
    yield from _assessed(group)


def _assessed(group: Sequence[Recording | None]) -> Iterator[Assessment | None]:
    found = iter(assess_many([one for one in group if one]))
    for one in group:
        yield next(found) if one else None


def table(title: str, said: Sequence[set[str]]) -> None:
    """Print how often each thing is said."""
    counts = Counter(name for names in said for name in names)
    anything = sum(bool(names) for names in said)
    print(f"\n{title}: {len(said):,} recordings, {anything} ({anything / len(said):.2%}) with anything")
    for name, count in counts.most_common():
        print(f"  {name:22} {count:5} {count / len(said):8.2%}")


def of_challenge_2011(folder: Path) -> None:
    """Acceptable against unacceptable."""
    rows = list(csv.DictReader((folder / "labels.csv").open(encoding="utf-8")))
    acceptable = np.array([row["acceptable"] == "1" for row in rows])
    signals = [np.load(folder / f"{row['record']}.npy") / 200 for row in rows]
    said = list(said_of((signal, 500.0) for signal in signals))
    even = np.arange(len(rows)) % 2 == 0
    repaired = {"mains_hum", "baseline_wander"}
    for title, left_out in (
        ("anything counts", set()),
        ("reversals do not count", REVERSED),
        ("nor do hum and wander, which are taken out", REVERSED | repaired),
    ):
        right = np.array([bool(names - left_out) for names in said]) == ~acceptable
        print(
            f"{title}: {right.mean():.3f} right, even places {right[even].mean():.3f}, odd {right[~even].mean():.3f}; "
            f"{(~right & acceptable).sum()} of {acceptable.sum()} acceptable ones flagged, "
            f"{(~right & ~acceptable).sum()} of {(~acceptable).sum()} unacceptable ones not"
        )
    for title, mask in (("acceptable", acceptable), ("unacceptable", ~acceptable)):
        table(title, [names for names, counts in zip(said, mask, strict=True) if counts])
    by_fitted_classifiers(np.stack(signals), ~acceptable)


def by_fitted_classifiers(signals_mv: np.ndarray, unacceptable: np.ndarray) -> None:
    """What classifiers that are fitted to all that is measured in one half reach in the other: how far it may carry."""
    largest = np.iinfo(np.int16).max
    units = np.clip(np.round(signals_mv * 1000 / MICROVOLTS_PER_UNIT), -largest, largest).astype(np.int16)
    found = lead_quality(units, 500.0)
    measures = [np.sort(getattr(found, one.name).reshape(len(units), -1), axis=1) for one in fields(found)]
    features = np.nan_to_num(np.hstack(measures).astype(np.float64))
    features = np.sign(features) * np.log1p(np.abs(features))
    even = np.arange(len(units)) % 2 == 0
    for title, classifier in (
        ("extremely randomised trees", ExtraTreesClassifier(500, random_state=0)),
        ("logistic regression", make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000))),
        ("boosted trees", HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, random_state=0)),
    ):
        right = [
            (classifier.fit(features[half], unacceptable[half]).predict(features[~half]) == unacceptable[~half]).mean()
            for half in (~even, even)
        ]
        print(f"{title}, fitted to the other half: even places {right[0]:.3f}, odd {right[1]:.3f}")


def of_files(title: str, files: Sequence[Path], per_mv: float | None = None) -> None:
    """WFDB records; ``per_mv`` instead of the gains in their headers."""
    said, signals = [], []
    for file in files:
        try:
            recording = (read_ecg(file) if per_mv is None else read_ecg(file, gain=per_mv)).recording()
            signals.append((recording.record.signal_mv, recording.record.fs_hz))
        except LeadwiseError:
            said.append({"refused"})
    table(title, [*said, *said_of(signals)])


def at_rail(signal: np.ndarray, column: int) -> np.ndarray:
    """One lead at a rail."""
    changed = signal.copy()
    changed[:, column] = 80
    return changed


def with_reversal(signal: np.ndarray, name: str) -> np.ndarray:
    """Two electrodes reversed, or the chest leads in reverse order."""
    return arrange_leads(signal[:, INDEPENDENT_COLUMNS] @ reversal_matrix(name).T, INDEPENDENT_LEADS)[0]


def clipped(signal: np.ndarray, share: float) -> np.ndarray:
    """Each lead cut off at a share of its largest deflection, at both ends."""
    limit = share * np.abs(signal).max(axis=0)
    return np.clip(signal, -limit, limit)


def sine(signal: np.ndarray, hertz: float, size_mv: float, fs_hz: float) -> np.ndarray:
    """The recording with a sine in all leads."""
    return signal + size_mv * np.sin(2 * np.pi * hertz * np.arange(len(signal)) / fs_hz + 1)[:, np.newaxis]


def of_store(folder: Path) -> None:
    """PTB-XL as recorded, and with faults."""
    store = open_store(folder)
    scale = MICROVOLTS_PER_UNIT / 1000
    for title, split in (("PTB-XL, folds 1-8", "train"), ("PTB-XL, fold 9", "validation")):
        rows = store.rows(split)
        said = list(said_of((store.signals[row] * np.float32(scale), 100.0) for row in rows))
        table(title, said)
    clean = [row for row, names in zip(rows, said, strict=True) if not names]
    signals = [store.signals[row] * np.float32(scale) for row in np.random.default_rng(0).permutation(clean)[:CLEAN]]
    at_500 = [resample(signal, 100.0, 500.0) for signal in signals]
    faults: dict[str, tuple[str, Callable[[np.ndarray], tuple[np.ndarray, float]], list[np.ndarray]]] = {
        "V3 at a rail": ("electrode_off", lambda x: (at_rail(x, 8), 100.0), signals),
        "II at a rail": ("electrode_off", lambda x: (at_rail(x, 1), 100.0), signals),
        "1 mV of 50 Hz, at 500 Hz": ("mains_hum", lambda x: (sine(x, 50, 1, 500), 500.0), at_500),
        "1 mV of 60 Hz, at 100 Hz": ("mains_hum", lambda x: (sine(x, 60, 1, 100), 100.0), signals),
        "3 mV of 0.15 Hz": ("baseline_wander", lambda x: (sine(x, 0.15, 3, 100), 100.0), signals),
        "each lead scaled to 1 mV": ("scaled_lead_by_lead", lambda x: (x / np.ptp(x, axis=0), 100.0), signals),
        "each lead scaled to a deviation of 0.2 mV": (
            "scaled_lead_by_lead",
            lambda x: (0.2 * (x - x.mean(axis=0)) / x.std(axis=0), 100.0),
            signals,
        ),
        "leads I, II, III times 1, 0.6, 1.5": (
            "scaled_lead_by_lead",
            lambda x: (x * np.array([1, 0.6, 1.5, *[1] * 9]), 100.0),
            signals,
        ),
        "500 Hz taken for 100 Hz": ("rate_suspected", lambda x: (x, 100.0), at_500),
        "1000 Hz taken for 500 Hz": ("rate_suspected", lambda x: (resample(x, 500.0, 1000.0), 500.0), at_500),
        "500 Hz taken for 250 Hz": ("rate_suspected", lambda x: (x, 250.0), at_500),
        "250 Hz taken for 500 Hz": ("rate_suspected", lambda x: (resample(x, 100.0, 250.0), 500.0), signals),
        "100 Hz taken for 500 Hz, 30 s": ("rate_suspected", lambda x: (np.tile(x, (3, 1)), 500.0), signals),
        "257 Hz taken for 250 Hz": ("rate_suspected", lambda x: (resample(x, 100.0, 257.0), 250.0), signals),
        **{
            f"cut off at {share:.0%}, at {rate} Hz": (
                "clipped",
                lambda x, share=share, rate=rate: (clipped(x, share), float(rate)),
                at_500 if rate == 500 else signals,
            )
            for rate in (100, 500)
            for share in (0.9, 0.8, 0.6)
        },
        "upside down": ("inverted", lambda x: (-x, 100.0), signals),
        **{
            f"reversed: {name}": (
                "limb_leads_swapped" if "A" in name else "chest_leads_swapped",
                lambda x, name=name: (with_reversal(x, name), 100.0),
                signals,
            )
            for name in REVERSALS
        },
    }
    print(f"\nFaults put into {len(signals)} recordings of fold 9 of which nothing is said")
    print(f"  {'fault':44} {'flag':22} noticed  refused  another flag")
    for title, (flag, change, given) in faults.items():
        said = list(said_of(change(signal) for signal in given))
        noticed = np.mean([flag in names for names in said])
        refused = np.mean([bool(names & {"refused", "no ECG"}) for names in said])
        another = np.mean([bool(names - {flag, "refused", "no ECG"}) for names in said])
        print(f"  {title:44} {flag:22} {noticed:7.1%} {refused:8.1%} {another:8.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="recordings and labels.csv of the challenge of 2011")
    parser.add_argument("--ludb", type=Path, metavar="DIR", help="LUDB 1.0.1 as it was unpacked")
    parser.add_argument("--challenge", type=Path, metavar="DIR", help="records of the challenge of 2021")
    parser.add_argument("--store", type=Path, metavar="STORE", help="an ingested PTB-XL")
    arguments = parser.parse_args()
    of_challenge_2011(arguments.folder)
    if arguments.ludb:
        headers = sorted((arguments.ludb / "data").glob("*.hea"))
        of_files("LUDB at 1000 per mV, its true scale", headers, 1000)
        of_files("LUDB with the gains of its headers", headers)
    if arguments.challenge:
        of_files("challenge of 2021", sorted(arguments.challenge.rglob("*.hea")))
    if arguments.store:
        of_store(arguments.store)


if __name__ == "__main__":
    main()
