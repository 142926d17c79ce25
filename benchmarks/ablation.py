"""What does each ingredient of the recipe give? The default with one thing changed, several seeds, fold 9 only.

    python benchmarks/ablation.py --store workspace/ptbxl/store --out workspace/ablation
    python benchmarks/ablation.py --store workspace/ptbxl/store --out workspace/ablation --only default mixup --seeds 5

Each training has its folder below ``--out``: what is finished is not done again, what was interrupted goes on from its
last epoch, and the table is printed from whatever is there (``--table`` trains nothing). ``--set`` changes the default
that all variants start from: ``--set encoder-width=24 epochs-fusion=6 ema-epochs=1 learning-rate=0.006`` asks the
same questions of a small network, a minute each.
The table has the macro AUROC on fold 9, mean and standard deviation over the seeds, the difference from the default on
the same seeds with its standard error, and the minutes of one training. Two rows are made of the default's networks:
the mean of their answers, and a network that learns from it. Nothing here reads fold 10.
"""

import argparse
import json
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VARIANTS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "without the 71 statements": {"statement-weight": 0},
    "statements at a third of the weight": {"statement-weight": 2},
    "statements at three times the weight": {"statement-weight": 18},
    "privileged targets": {"privileged-weight": 4},
    "without the average of the weights": {"ema-epochs": 0},
    "without decoupled decay": {"weight-decay": 0},
    "half the learning rate": {},
    "twice the learning rate": {},
    "cosine instead of one-cycle": {"schedule": "cosine"},
    "windows of 5 s": {"window-samples": 500},
    "the whole recording": {"window-samples": 1000},
    "without varying amplitudes": {"gain": 0},
    "without hiding metadata": {"metadata-dropout": 0},
    "without drop-out": {"dropout-head": 0, "dropout-branch": 0},
    "time stretched by up to 5 %": {"time-stretch": 0.05},
    "dense head": {"head": "dense"},
    "mixup": {"mixup": 0.2},
    "the tuned values": {
        "learning-rate": 0.008,
        "weight-decay": 0.016,
        "statement-weight": 19.6,
        "dropout-branch": 0.32,
        "dropout-head": 0.023,
        "metadata-dropout": 0.061,
        "gain": 0.089,
        "mixup": 0.11,
    },
    "noise, wander, hum, silent leads": {"model": "fusion_augmented", "mixup-augmented": 0},
    "all augmentation": {"model": "fusion_augmented"},
    "in float32": {"precision": "float32"},
    "in bfloat16": {"precision": "bfloat16"},
    "resnet1d_wang": {"encoder": "resnet1d_wang"},
    "convnext": {"encoder": "convnext"},
    "original_cnn": {"encoder": "original_cnn"},
}
"""Name -> what differs from the default; ``model`` chooses between both fusion recipes."""

RATE_OF_DEFAULT: Mapping[str, float] = {"half the learning rate": 0.5, "twice the learning rate": 2}
"""Variant -> its learning rate over that of the default."""

WIDTH_OF_DEFAULT: Mapping[str, float] = {"resnet1d_wang": 2, "convnext": 1, "original_cnn": 4 / 3}
"""Encoder -> its width over that of the default: every encoder counts its channels in units of its own."""

MEAN, DISTILLED = "mean of the default's networks", "learning from that mean"
"""What is made of the default's trainings with all seeds: an ensemble, and a network that learns from it."""


def folder_of(out: Path, variant: str, seed: int) -> Path:
    """Where one training lies."""
    return out / re.sub(r"[^a-z0-9_]+", "-", variant.casefold()) / str(seed)


def recipe_of(variant: str, seed: int, base: Mapping[str, str]) -> Any:
    """The recipe of one training."""
    from leadwise.config import load_parameters
    from leadwise.training.recipe import recipe_for

    changes = {"model": "fusion", **base, **VARIANTS.get(variant, {}), "seed": seed}
    default = load_parameters(base, entry_point="train").train
    if variant in WIDTH_OF_DEFAULT:
        changes["encoder-width"] = round(WIDTH_OF_DEFAULT[variant] * default.encoder_width)
    if variant in RATE_OF_DEFAULT:
        changes["learning-rate"] = RATE_OF_DEFAULT[variant] * default.learning_rate
    parameters = load_parameters(changes, entry_point="train")
    return recipe_for(parameters.train.models[0], parameters)


def train(
    variant: str, seed: int, seeds: Sequence[int], base: Mapping[str, str], store_folder: Path, out: Path
) -> None:
    """One training, unless it is there."""
    from dataclasses import replace

    from leadwise.datasets.store import open_store
    from leadwise.training.fit import fit_model
    from leadwise.training.progress_table import EpochTable
    from leadwise.training.teachers import teach

    recipe, store, targets = recipe_of(variant, seed, base), open_store(store_folder), None
    if variant == DISTILLED:
        targets = teach([folder_of(out, "default", one) for one in seeds], store)
        recipe = replace(recipe, teachers=len(seeds), distillation=0.5)
    table = EpochTable(recipe, f"{variant}, seed {seed}")
    folder = folder_of(out, variant, seed)
    table.close(fit_model(recipe, store, folder, report=table.row, targets=targets))


def average(seeds: Sequence[int], store_folder: Path, out: Path) -> None:
    """Macro AUROC on fold 9 of the mean of the default's networks, as a ``training.json`` of its own."""
    import numpy as np

    from leadwise.datasets.store import open_store
    from leadwise.training.callbacks import validation_metrics
    from leadwise.training.prediction import load_trained

    store = open_store(store_folder)
    rows = store.rows("validation")
    networks = [load_trained(folder_of(out, "default", seed)) for seed in seeds]
    answers = np.mean([network.predict(store, rows) for network in networks], axis=0)
    seconds = sum(network.training["seconds"] for network in networks)
    content = {"validation": validation_metrics(store.labels()[rows], answers), "seconds": seconds}
    file = folder_of(out, MEAN, len(seeds)) / "training.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def finished(out: Path, variant: str, seeds: Sequence[int]) -> dict[int, dict[str, float]]:
    """Seed -> macro AUROC on fold 9 and minutes of the trainings that are there."""
    found = {}
    for seed in seeds:
        file = folder_of(out, variant, seed) / "training.json"
        if file.is_file():
            training = json.loads(file.read_text(encoding="utf-8"))
            found[seed] = {"auroc": training["validation"]["val/macro_auroc"], "minutes": training["seconds"] / 60}
    return found


def table(out: Path, seeds: Sequence[int]) -> str:
    """The Markdown table of all that is finished."""
    reference = finished(out, "default", seeds)
    lines = ["| variant | seeds | macro AUROC, fold 9 | against the default | minutes |", "|---|--:|--:|--:|--:|"]
    for variant in (*VARIANTS, MEAN, DISTILLED):
        # An ensemble of all seeds has none of its own.
        found = finished(out, variant, seeds[-1:] if variant == MEAN else seeds)
        if not found:
            continue
        scores = [result["auroc"] for result in found.values()]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        common = [result["auroc"] - reference[seed]["auroc"] for seed, result in found.items() if seed in reference]
        if variant == MEAN:
            common = [scores[0] - statistics.mean(result["auroc"] for result in reference.values())]
        difference = "" if variant == "default" or not common else f"{statistics.mean(common):+.4f}"
        if difference and len(common) > 1:
            difference += f" ± {statistics.stdev(common) / len(common) ** 0.5:.4f}"
        minutes = statistics.mean(result["minutes"] for result in found.values())
        count = len(seeds) if variant == MEAN else len(scores)
        lines.append(f"| {variant} | {count} | {statistics.mean(scores):.4f}{spread} | {difference} | {minutes:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("workspace/ptbxl/store"), help="an ingested store")
    parser.add_argument("--out", type=Path, default=Path("workspace/ablation"), help="folder of the trainings")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS, DISTILLED], metavar="VARIANT", help="these variants")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="the default that all start from")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    arguments = parser.parse_args()
    seeds = range(1, arguments.seeds + 1)
    if not arguments.table:
        # Before TensorFlow is imported; see leadwise.memory.
        from leadwise.memory import keep_freed_memory

        keep_freed_memory()
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        base = dict(pair.split("=", 1) for pair in arguments.set)
        chosen = arguments.only or [*VARIANTS, DISTILLED]
        # What learns from the default's networks comes after all of them.
        for variant, seed in [(one, seed) for seed in seeds for one in chosen if one != DISTILLED]:
            train(variant, seed, seeds, base, arguments.store, arguments.out)
        if finished(arguments.out, "default", seeds).keys() == set(seeds):
            average(seeds, arguments.store, arguments.out)
            for seed in seeds if DISTILLED in chosen else ():
                train(DISTILLED, seed, seeds, base, arguments.store, arguments.out)
    print(table(arguments.out, seeds))


if __name__ == "__main__":
    main()
