"""The deletion test of explanations, on recordings of fold 9 that a model rightly gives a class.

What an explanation marks is removed from the recording, the strongest first; "area" is the mean probability of the
class while 0 to 40 % are gone, "gain" how much lower that is than when as much is removed at random, with its 95 %
interval over recordings. Removed stretches are replaced by a line or by the lead's median.

    PYTHONPATH=src:tests python benchmarks/explanation.py workspace/ptbxl/store workspace/ptbxl/models/clinical/fusion
"""

import argparse
from pathlib import Path
from time import perf_counter
from typing import get_args

import numpy as np
from deletion import Deletion, Removal, area, deletion_curve, random_attribution

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.store import Store, open_store
from leadwise.explain import Explainable, Patient, explain_together
from leadwise.memory import keep_freed_memory
from leadwise.training.prediction import TrainedModel, load_trained

REMOVALS: tuple[Removal, ...] = get_args(Removal)
CERTAIN = 0.5


def choose(trained: TrainedModel, store: Store, count: int, seed: int) -> list[tuple[int, str]]:
    """Rows of fold 9 and the class that each rightly has, the classes in turn."""
    rows = store.rows("validation")
    right = (trained.answers(store, rows)["superclasses"] > CERTAIN) & (store.labels()[rows] == 1)
    generator = np.random.default_rng(seed)
    of_class = [generator.permutation(rows[right[:, k]]) for k in range(len(SUPERCLASSES))]
    turns = [
        (int(row), name) for turn in zip(*of_class, strict=False) for row, name in zip(turn, SUPERCLASSES, strict=True)
    ]
    return turns[:count]


def explainable(trained: TrainedModel) -> Explainable:
    """A fusion model of the train stage, as ``leadwise.explain`` asks for it."""
    preprocessing = trained.signal
    if preprocessing is None:
        raise SystemExit(f"{trained.name}: received a model without a signal; allowed: a fusion model")

    def answers(windows_mv: np.ndarray, patient: Patient) -> np.ndarray:
        facts = np.repeat(trained.metadata.transform_one(patient), len(windows_mv), axis=0)
        inputs = {"signal": preprocessing.standardise(windows_mv), "metadata": facts}
        return np.asarray(trained.network.predict_on_batch(inputs)["superclasses"])

    return Explainable(answers, preprocessing)


def measure(
    model: Explainable, store: Store, row: int, name: str
) -> tuple[dict[tuple[str, Removal], np.ndarray], float]:
    """The curves by what was marked and how it is removed, and the seconds that the explanation took."""
    signal = store.signals[row].astype(np.float32) / 1000
    facts = store.patients().iloc[row]
    patient = {name: float(facts[name]) for name in ("age", "sex", "height_cm", "weight_kg", "pacemaker")}
    marked = {"random": random_attribution(signal, model.preprocessing.fs_hz, np.random.default_rng(row))}
    started = perf_counter()
    marked["shapley"] = explain_together(model, signal, patient, [name])[0].attribution
    seconds = perf_counter() - started
    curves = {
        (by, removal): deletion_curve(model, signal, patient, name, attribution, removal=removal)
        for by, attribution in marked.items()
        for removal in REMOVALS
    }
    return curves, seconds


def report(names: list[str], curves: dict[tuple[str, Removal], np.ndarray], seconds: np.ndarray) -> None:
    """One line per removal: all classes, then each."""
    print(f"{len(names)} recordings; median seconds: {np.median(seconds):.2f}")
    for removal in REMOVALS:
        test = Deletion(curves["shapley", removal], curves["random", removal])
        gain, interval = test.advantage()
        gains = area(test.random) - area(test.marked)
        by_class = "  ".join(f"{name} {gains[np.array(names) == name].mean():.3f}" for name in SUPERCLASSES)
        print(
            f"{removal:7s} area {area(test.marked).mean():.3f} against {area(test.random).mean():.3f}, "
            f"gain {gain:.3f} [{interval.low:.3f}, {interval.high:.3f}], wins {np.mean(gains > 0):.0%}; {by_class}",
            flush=True,
        )


def main() -> None:
    """Test the explanations of one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--records", type=int, default=150)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    keep_freed_memory()
    store, trained = open_store(arguments.store), load_trained(arguments.model)
    model = explainable(trained)
    names: list[str] = []
    measured = []
    for row, name in choose(trained, store, arguments.records, arguments.seed):
        measured.append(measure(model, store, row, name))
        names.append(name)
        if len(names) % 10 == 0 or len(names) == arguments.records:
            curves = {key: np.stack([one[0][key] for one in measured]) for key in measured[0][0]}
            report(names, curves, np.array([one[1] for one in measured]))


if __name__ == "__main__":
    main()
