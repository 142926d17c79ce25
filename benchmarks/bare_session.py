"""The bare ONNX Runtime session that benchmarks/batch.py compares with: one process, the windows ready in memory.

    python benchmarks/bare_session.py PACKAGE WINDOWS.npz SECONDS

prints how many records a second went through. The windows go through in the batches in which Leadwise sends them.
"""

import sys
import time
from pathlib import Path

import numpy as np

from leadwise.serving.batch import READ_TOGETHER
from leadwise.serving.scorer import Scorer


def main() -> None:
    """Warm up for a second, then count."""
    package, file, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    network = Scorer.load(package).fusion
    with np.load(file) as content:
        windows, facts, of_a_record = content["windows"], content["facts"], int(content["of_a_record"])
    size = READ_TOGETHER * of_a_record
    parts = [slice(first, first + size) for first in range(0, len(windows) - size + 1, size)]

    def run(limit_s: float) -> float:
        started, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < limit_s:
            part = parts[done % len(parts)]
            network.ask(windows[part], facts[part])
            done += 1
        return done * READ_TOGETHER / passed

    run(min(1.0, seconds))
    print(run(seconds))


if __name__ == "__main__":
    main()
