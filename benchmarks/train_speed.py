"""How fast is training? The default fusion network on real batches; records per second, three ways, in one run.

- bare: ``train_on_batch`` on one batch that lies ready: what the network costs
- fit: ``leadwise.training.fit`` with everything before it (shuffled windows, scaling, augmentation, mixing of metadata)
  and behind it (average of the weights): what a user waits for
- PyTorch: a step of the same network in PyTorch on a batch that lies ready, in the layout that is fastest there

    python benchmarks/train_speed.py --store workspace/ptbxl/store --trained workspace/ptbxl/models/clinical/fusion
    python benchmarks/train_speed.py --store workspace/ptbxl/store --torch-python /path/to/python/with/torch

``--trained`` adds the minutes that a finished training took to reach a macro AUROC of 0.92 and 0.93 on fold 9.
Let nothing else run: the reference is measured between our own rounds, but not at the same time.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = 24
ROUNDS = 5
WARM_UP_STEPS = 4
MARKS = (0.92, 0.93)


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_ours(folder: Path) -> dict[str, float]:
    """Records per second of the bare step and of ``fit``: medians of rounds that alternate."""
    import keras

    from leadwise.datasets.store import open_store
    from leadwise.parameters import load_parameters
    from leadwise.training.config import training_config
    from leadwise.training.fit import TrainingData, compile_network, run_epochs

    config = training_config("fusion", load_parameters({}, entry_point="train"))
    store = open_store(folder)
    data = TrainingData.prepare(config, store, store.rows("train")[: STEPS * config.batch_size])
    batches = data.batches(config)
    network = compile_network(config, data, len(batches))
    ready = batches[0]

    def bare() -> None:
        for _ in range(STEPS):
            network.train_on_batch(*ready)

    def fit() -> None:
        run_epochs(network, batches, batches.epoch + 1, [])

    bare()
    fit()
    rounds = [(seconds_of(bare), seconds_of(fit)) for _ in range(ROUNDS)]
    records = STEPS * config.batch_size
    return {
        "backend": keras.backend.backend(),
        "bare": records / statistics.median(seconds for seconds, _ in rounds),
        "fit": records / statistics.median(seconds for _, seconds in rounds),
        "batch": config.batch_size,
        "width": config.encoder_width,
        "window": config.window_samples,
        "metadata": data.metadata.width,
    }


def measure_torch(batch: int, width: int, window: int, metadata: int) -> float:
    """Records per second of a training step in PyTorch, the better of both memory layouts."""
    import torch
    from torch_se_resnet import STATEMENTS_AND_CLASSES, TorchSEResNet

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    best = 0.0
    for layout in (torch.contiguous_format, torch.channels_last):
        network = TorchSEResNet(width, metadata).to(memory_format=layout)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
        signal = torch.randn(batch, 12, 1, window).to(memory_format=layout)
        facts, labels = torch.randn(batch, metadata), (torch.rand(batch, STATEMENTS_AND_CLASSES) < 0.1).float()

        def steps(
            count: int, network: Any = network, optimizer: Any = optimizer, signal: Any = signal, facts: Any = facts,
            labels: Any = labels,
        ) -> None:  # fmt: skip
            for _ in range(count):
                optimizer.zero_grad()
                torch.nn.functional.binary_cross_entropy_with_logits(network(signal, facts), labels).backward()
                optimizer.step()

        steps(WARM_UP_STEPS)
        rounds = [seconds_of(lambda: steps(STEPS)) for _ in range(ROUNDS)]
        best = max(best, STEPS * batch / statistics.median(rounds))
    return best


def minutes_to(folder: Path) -> dict[float, float | None]:
    """Minutes of training until the macro AUROC on fold 9 reached each mark, validation included."""
    with (folder / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    reached: dict[float, float | None] = dict.fromkeys(MARKS)
    seconds = 0.0
    for row in rows:
        seconds += float(row["train/seconds"])
        for mark in MARKS:
            if reached[mark] is None and float(row["val/macro_auroc"]) >= mark:
                reached[mark] = seconds / 60
    return reached


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="an ingested store")
    parser.add_argument("--trained", type=Path, help="the folder of a finished training")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has PyTorch; default: this one")
    parser.add_argument("--torch", nargs=4, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch:
        print(json.dumps(measure_torch(*arguments.torch)))
        return
    if arguments.store is None:
        parser.error("--store is needed")
    # Not at the top: the Python with PyTorch need not have Leadwise.
    from leadwise.memory import keep_freed_memory

    keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    ours = measure_ours(arguments.store)
    print(f"{ours['backend']}, batches of {ours['batch']}, {ours['window']} samples, width {ours['width']}")
    print(f"bare step  {ours['bare']:6.0f} records/s")
    print(f"fit        {ours['fit']:6.0f} records/s  {ours['fit'] / ours['bare']:.2f} of the bare step")
    shape = [str(ours[name]) for name in ("batch", "width", "window", "metadata")]
    reference = subprocess.run(
        [arguments.torch_python, __file__, "--torch", *shape], capture_output=True, text=True, check=False
    )
    if reference.returncode:
        print(f"PyTorch    not measured: {reference.stderr.strip().splitlines()[-1]}")
    else:
        torch_speed = float(reference.stdout)
        print(f"PyTorch    {torch_speed:6.0f} records/s; fit is {ours['fit'] / torch_speed:.2f} of it")
    if arguments.trained:
        for mark, minutes in minutes_to(arguments.trained).items():
            print(f"macro AUROC {mark} on fold 9: " + ("not reached" if minutes is None else f"{minutes:.1f} minutes"))


if __name__ == "__main__":
    main()
