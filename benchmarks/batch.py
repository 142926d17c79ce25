"""How fast is batch scoring? Files on disk to a table of answers, against the bare ONNX Runtime session.

The same network on the same two cores: `score_batch` with two processes, of WFDB files; and two processes that do
nothing but send the windows of the same recordings, ready in memory, through the session. The network is the one that
ships; that of a configuration, untrained, reports half of all statements, which takes longer to word.
Speed is what a record more costs, from the smallest to the largest batch, so that the start of the processes does not
count; the table has the whole times as well. Memory is that of all processes, pages that they share counted once.

    python benchmarks/batch.py                                                   # 1,000 to 8,000 records: a minute
    python benchmarks/batch.py --network demo --sizes 1000 10000 50000 200000    # the long one
    python benchmarks/batch.py --quick                                           # says nothing about speed
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from process_memory import memory_mib
from serving_models import build_package

from leadwise.registry.load import PRETRAINED
from leadwise.registry.package import unpack_bundled

SIZES = (1000, 8000)
PATIENTS = 500
BARE_S = 20.0
ROOT = Path(__file__).resolve().parent
SCORE = """
import json, sys, time
from pathlib import Path
from leadwise.serving.batch import score_batch

source, output, package, workers = *map(Path, sys.argv[1:4]), int(sys.argv[4])
started = time.perf_counter()
done = score_batch(source, output, package, workers=workers)
print(json.dumps({"records": done.records, "errors": done.errors, "seconds": time.perf_counter() - started}))
"""


def simulate(folder: Path, patients: int) -> list[Path]:
    """The headers of simulated recordings in WFDB."""
    from leadwise.datasets.synthetic import write_simulated_tree

    write_simulated_tree(folder, patients=patients, seed=1)
    return sorted(folder.rglob("*.hea"))


def list_of(headers: Sequence[Path], count: int, file: Path) -> Path:
    """A table of ``count`` recordings: the files again and again."""
    lines = [f"{headers[k % len(headers)]},{20 + k % 70}" for k in range(count)]
    file.write_text("\n".join(["file,age", *lines]) + "\n", encoding="utf-8")
    return file


def score(source: Path, output: Path, package: Path, workers: int) -> dict[str, Any]:
    """Seconds and most memory of one batch in a process of its own."""
    command = [sys.executable, "-c", SCORE, str(source), str(output), str(package), str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    most = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(1.0):
            most = max(most, sum(memory_mib(process.pid).values()))

    watching = threading.Thread(target=watch)
    watching.start()
    printed, _ = process.communicate()
    over.set()
    watching.join()
    if process.returncode != 0:
        raise SystemExit("score_batch failed")
    found: dict[str, Any] = json.loads(printed)
    return found | {"memory_mib": round(most)}


def windows_of(headers: Sequence[Path], package: Path, file: Path) -> Path:
    """What the network sees of the recordings."""
    from leadwise.ecg.formats import read_ecg
    from leadwise.serving.request import parse_row
    from leadwise.serving.scorer import Scorer

    network = Scorer.load(package).fusion
    assert network.signal
    windows, facts = [], []
    for header in headers:
        request = parse_row(read_ecg(header).array_row() | {"age": 50})
        assert request.recording
        windows.append(network.signal.windows(network.signal.standardise(request.recording.record.signal_mv)))
        facts.append(np.repeat(network.metadata.transform_one(request.patient), len(windows[-1]), axis=0))
    np.savez(file, windows=np.concatenate(windows), facts=np.concatenate(facts), of_a_record=len(windows[0]))
    return file


def bare(package: Path, windows: Path, workers: int, seconds: float) -> float:
    """Records a second of some bare sessions at once, one process each."""
    command = [sys.executable, str(ROOT / "bare_session.py"), str(package), str(windows), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--network", default=PRETRAINED, help="pretrained, or an untrained one of a configuration: default, demo, ..."
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="records of the batches, two or more")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="as few as possible")
    options = parser.parse_args()
    sizes, patients, bare_s = sorted(options.sizes), PATIENTS, BARE_S
    if options.quick:
        sizes, patients, bare_s = [20, 40], 100, 1.0
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="leadwise-bench-") as temporary:
        folder = Path(temporary)
        if options.network == PRETRAINED:
            unpack_bundled(folder / "package")
        else:
            build_package(folder / "package", configuration=options.network)
        headers = simulate(folder / "tree", patients)
        windows = windows_of(headers[:256], folder / "package", folder / "windows.npz")
        sessions = [bare(folder / "package", windows, len(cores), bare_s)]
        batches = []
        for size in sizes:
            source = list_of(headers, size, folder / "list.csv")
            batches.append(score(source, folder / f"{size}.parquet", folder / "package", len(cores)))
        # Again at the end: the machine may have become slower or faster meanwhile.
        sessions.append(bare(folder / "package", windows, len(cores), bare_s))
    first, last = batches[0], batches[-1]
    speed = (last["records"] - first["records"]) / (last["seconds"] - first["seconds"])
    session = float(np.mean(sessions))
    result = {"bare session, records/s": [round(rate, 1) for rate in sessions], "batches": batches}
    result |= {"score, records/s": round(speed, 1), "ratio": round(speed / session, 3), "quick": options.quick}
    print("| records | seconds | records/s | memory MiB |\n|---|---|---|---|")
    for batch in batches:
        rate = batch["records"] / batch["seconds"]
        print(f"| {batch['records']:,} | {batch['seconds']:.1f} | {rate:.0f} | {batch['memory_mib']} |")
    print(f"\nbare session, {len(cores)} processes: {sessions[0]:.0f} and {sessions[1]:.0f} records/s")
    print(f"score, a record more: {speed:.0f} records/s, {speed / session:.2f} of the bare session")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
