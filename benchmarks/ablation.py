"""What does each ingredient of the training give? The default with one thing changed, several seeds, fold 9 only.

    python benchmarks/ablation.py --store workspace/ptbxl/store --out workspace/ablation
    python benchmarks/ablation.py --out workspace/ablation --only default "dense head" --seeds 5

Each training has its folder below ``--out``: what is finished is not done again, what was interrupted goes on from its
last epoch, and the table is printed from whatever is there (``--table`` trains nothing). ``--set`` changes the default
that all variants start from: ``--set encoder-width=24 epochs-fusion=6 ema-epochs=1 learning-rate=0.006`` asks the
same questions of a small network, a minute each.
The table has the macro AUROC on fold 9, mean and standard deviation over the seeds, the difference from the default on
the same seeds with its standard error, and the minutes of one training. Nothing here reads
fold 10.
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
    "statements at a third of the weight": {"statement-weight": 6.5},
    "statements at three times the weight": {"statement-weight": 59},
    "without the average of the weights": {"ema-epochs": 0},
    "without decoupled decay": {"weight-decay": 0},
    "half the learning rate": {},
    "twice the learning rate": {},
    "cosine instead of one-cycle": {"schedule": "cosine"},
    "windows of 5 s": {"window-samples": 500},
    "the whole recording": {"window-samples": 1000},
    "without varying amplitudes": {"amplitude-scale": 0},
    "without feature dropout": {"feature-dropout": 0},
    "without drop-out": {"dropout-head": 0, "dropout-branch": 0},
    "dense head": {"head": "dense"},
    "without mixup": {"mixup": 0},
    "before tuning": {
        "learning-rate": 0.003,
        "weight-decay": 0.01,
        "statement-weight": 6,
        "dropout-branch": 0.3,
        "dropout-head": 0.5,
        "feature-dropout": 0.1,
        "amplitude-scale": 0.15,
        "mixup": 0,
    },
    "noise, wander, hum, dropped leads": {"model": "fusion_augmented", "mixup-augmented": 0},
    "all augmentation": {"model": "fusion_augmented"},
    "in float32": {"precision": "float32"},
    "in bfloat16": {"precision": "bfloat16"},
    "resnet1d_wang": {"encoder": "resnet1d_wang"},
    "original_cnn": {"encoder": "original_cnn"},
}
"""Name -> what differs from the default; ``model`` chooses between both fusion models."""

RATE_OF_DEFAULT: Mapping[str, float] = {"half the learning rate": 0.5, "twice the learning rate": 2}
"""Variant -> its learning rate over that of the default."""

WIDTH_OF_DEFAULT: Mapping[str, float] = {"resnet1d_wang": 2, "original_cnn": 4 / 3}
"""Encoder -> its width over that of the default: every encoder counts its channels in units of its own."""


def folder_of(out: Path, variant: str, seed: int) -> Path:
    """Where one training lies."""
    return out / re.sub(r"[^a-z0-9_]+", "-", variant.casefold()) / str(seed)


def config_of(variant: str, seed: int, base: Mapping[str, str]) -> Any:
    """How one training is done."""
    from leadwise.parameters import load_parameters
    from leadwise.training.config import training_config

    changes = {"model": "fusion", **base, **VARIANTS.get(variant, {}), "seed": seed}
    default = load_parameters(base, entry_point="train").train
    if variant in WIDTH_OF_DEFAULT:
        changes["encoder-width"] = round(WIDTH_OF_DEFAULT[variant] * default.encoder_width)
    if variant in RATE_OF_DEFAULT:
        changes["learning-rate"] = RATE_OF_DEFAULT[variant] * default.learning_rate
    parameters = load_parameters(changes, entry_point="train")
    return training_config(parameters.train.models[0], parameters)


def train(variant: str, seed: int, base: Mapping[str, str], store_folder: Path, out: Path) -> None:
    """One training, unless it is there."""
    from leadwise.datasets.store import open_store
    from leadwise.training.epochs import EpochTable
    from leadwise.training.fit import fit_model

    config = config_of(variant, seed, base)
    table = EpochTable(config, f"{variant}, seed {seed}")
    table.close(fit_model(config, open_store(store_folder), folder_of(out, variant, seed), report=table.row))


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
    for variant in VARIANTS:
        found = finished(out, variant, seeds)
        if not found:
            continue
        scores = [result["auroc"] for result in found.values()]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        common = [result["auroc"] - reference[seed]["auroc"] for seed, result in found.items() if seed in reference]
        difference = "" if variant == "default" or not common else f"{statistics.mean(common):+.4f}"
        if difference and len(common) > 1:
            difference += f" ± {statistics.stdev(common) / len(common) ** 0.5:.4f}"
        minutes = statistics.mean(result["minutes"] for result in found.values())
        lines.append(
            f"| {variant} | {len(scores)} | {statistics.mean(scores):.4f}{spread} | {difference} | {minutes:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("workspace/ptbxl/store"), help="an ingested store")
    parser.add_argument("--out", type=Path, default=Path("workspace/ablation"), help="folder of the trainings")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], metavar="VARIANT", help="these variants")
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
        for seed in seeds:
            for variant in arguments.only or VARIANTS:
                train(variant, seed, base, arguments.store, arguments.out)
    print(table(arguments.out, seeds))


if __name__ == "__main__":
    main()
