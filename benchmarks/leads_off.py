"""What the served network loses where leads are silent: which classes are then uncertain.

Each lead, and each pair of leads, is set to 0 mV in recordings of fold 9 of an ingested PTB-XL. A class becomes
uncertain where more than 5 % of the decisions change or the AUROC falls by more than 0.01. With ``--write``,
``serving/leads_off.json`` is made anew; what is printed is a table for docs/signal-quality.md.

    PYTHONPATH=src python benchmarks/leads_off.py workspace/ptbxl/store [--records 600] [--write]
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from leadwise.contract import FS_HZ, LEADS, MICROVOLTS_PER_UNIT, SUPERCLASSES, ECGRecord
from leadwise.datasets.store import Store, open_store
from leadwise.features import asked_names
from leadwise.registry.load import BUNDLED
from leadwise.serving.answer import TABLE_FILE
from leadwise.serving.network import SUPERCLASS_OUTPUT, ModelInput, Network
from leadwise.serving.scorer import Scorer

MOST_CHANGED, MOST_FALL = 0.05, 0.01
TOGETHER = 25


def answers(network: Network, questions: Sequence[ModelInput]) -> np.ndarray:
    """Calibrated ``(record, class)``."""

    def some(start: int) -> list[np.ndarray]:
        found = network.answers_of_many(questions[start : start + TOGETHER])
        return [network.calibration.apply(one[SUPERCLASS_OUTPUT].mean(axis=0)) for one in found]

    with ThreadPoolExecutor(2) as threads:
        parts = list(threads.map(some, range(0, len(questions), TOGETHER)))
    return np.concatenate([np.stack(part) for part in parts])


def questions(store: Store, rows: np.ndarray) -> list[ModelInput]:
    """The recordings with what is known of the patients."""
    known = store.patients().iloc[rows][list(asked_names())].to_dict("records")
    patients = [{name: float(value) for name, value in one.items() if not np.isnan(value)} for one in known]
    signals = store.signals[rows].astype(np.float32) * np.float32(MICROVOLTS_PER_UNIT / 1000)
    return [(patient, ECGRecord(signal, FS_HZ, patient)) for patient, signal in zip(patients, signals, strict=True)]


def silenced(asked: Sequence[ModelInput], leads: Sequence[str]) -> list[ModelInput]:
    """The same with some leads at 0 mV."""
    columns = [LEADS.index(name) for name in leads]
    changed = []
    for patient, record in asked:
        assert record is not None
        signal = record.signal_mv.copy()
        signal[:, columns] = 0
        changed.append((patient, replace(record, signal_mv=signal)))
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("store", type=Path, help="an ingested PTB-XL")
    parser.add_argument("--records", type=int, default=600, help="of fold 9; of each pair of leads half as many")
    parser.add_argument("--write", action="store_true", help="write serving/leads_off.json")
    arguments = parser.parse_args()
    store = open_store(arguments.store)
    of_fold = store.rows("validation")
    rows = np.random.default_rng(0).permutation(of_fold)[: arguments.records]
    labels = store.labels()[rows]
    network = Scorer.load(BUNDLED).fusion
    asked = questions(store, rows)
    limits = network.policies[network.policy].limits()
    whole = answers(network, asked)

    table = []
    print(f"{len(rows)} records of fold 9\n")
    print("| silent | " + " | ".join(f"{name}: AUROC falls, decisions change" for name in SUPERCLASSES) + " |")
    for leads in [(name,) for name in LEADS] + list(combinations(LEADS, 2)):
        count = len(rows) if len(leads) == 1 else len(rows) // 2
        found = answers(network, silenced(asked[:count], leads))
        changed = ((found >= limits) != (whole[:count] >= limits)).mean(axis=0)
        fall = np.array(
            [
                roc_auc_score(labels[:count, k], whole[:count, k]) - roc_auc_score(labels[:count, k], found[:, k])
                for k in range(len(SUPERCLASSES))
            ]
        )
        uncertain = (changed > MOST_CHANGED) | (fall > MOST_FALL)
        cells = [f"{f:+.3f}, {c:.1%}{' *' if u else ''}" for f, c, u in zip(fall, changed, uncertain, strict=True)]
        print(f"| {', '.join(leads)} | " + " | ".join(cells) + " |", flush=True)
        table.append({"leads": leads, "uncertain": [n for n, u in zip(SUPERCLASSES, uncertain, strict=True) if u]})
    if arguments.write:
        write(table, f"{len(rows)} records of fold 9 of PTB-XL {store.manifest['release']}, pairs on half of them")


def write(table: list[dict[str, object]], source: str) -> None:
    """Write the table beside ``leadwise.serving.answer``."""
    content = {"measured_on": source, "most_changed": MOST_CHANGED, "most_fall": MOST_FALL}
    lines = ",\n  ".join(json.dumps(entry) for entry in table)
    text = json.dumps(content, indent=1).removesuffix("\n}") + f',\n "silent": [\n  {lines}\n ]\n}}\n'
    TABLE_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
