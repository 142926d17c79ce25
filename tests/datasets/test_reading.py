"""A whole tree: the same result for any number of processes, gaps closed, hashes compared, memory flat."""

import os
import resource
import select
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, LeadwiseError
from leadwise.datasets.reading import BLOCK_RECORDS, MISSING, READ, UNREADABLE, Reading, read_signals, run_in_processes
from leadwise.datasets.store import SignalsFileError, record_hash
from leadwise.datasets.waveforms import read_record


def names_of(tree: Path) -> tuple[list[int], list[str]]:
    table = pd.read_csv(tree / "ptbxl_database.csv")
    return table["ecg_id"].tolist(), table["filename_lr"].tolist()


def read(tree: Path, folder: Path, **arguments) -> tuple[Reading, np.ndarray]:
    ids, names = names_of(tree)
    folder.mkdir()
    reading = read_signals(tree, ids, names, folder / "signals.npy", **arguments)
    return reading, np.load(folder / "signals.npy", mmap_mode="r")


@pytest.fixture
def damaged(simulated_tree, tmp_path) -> Path:
    """A tree with records missing and unreadable at the start, at the borders of blocks, in runs, and at the end."""
    tree = Path(shutil.copytree(simulated_tree, tmp_path / "tree"))
    _, names = names_of(tree)
    step = BLOCK_RECORDS[100]
    for row in (0, 1, step - 1, step, 200, 201, 202, len(names) - 1):
        (tree / f"{names[row]}.dat").write_bytes(b"short")
    (tree / f"{names[77]}.dat").unlink()
    return tree


def test_the_result_is_the_same_for_any_number_of_processes(damaged, tmp_path):
    alone, signals = read(damaged, tmp_path / "1", workers=1)
    _, names = names_of(damaged)
    kept = [name for name, status in zip(names, alone.summary["status"], strict=True) if status == READ]
    assert len(kept) == len(names) - 9 == len(signals) == len(alone.hashes)
    for row in (0, 1, 75, 76, 122, 123, 124, len(kept) - 1):
        np.testing.assert_array_equal(signals[row], read_record(damaged / kept[row]))
    assert [record_hash(signal) for signal in signals] == list(alone.hashes)
    assert alone.summary.loc[77, "status"] == MISSING
    assert alone.summary.loc[alone.is_read].notna()["largest_mv"].all()
    several, _ = read(damaged, tmp_path / "3", workers=3)
    pd.testing.assert_frame_equal(several.summary, alone.summary)
    assert (several.hashes, several.files) == (alone.hashes, alone.files)
    assert (tmp_path / "3" / "signals.npy").read_bytes() == (tmp_path / "1" / "signals.npy").read_bytes()


def test_a_file_that_is_not_the_listed_one_makes_its_record_unreadable(simulated_tree, tmp_path):
    ids, names = names_of(simulated_tree)
    sums = {f"{names[5]}.dat": "0" * 64, f"{names[9]}.hea": "1" * 64, f"{names[9]}.dat": "2" * 64}
    reading, signals = read(simulated_tree, tmp_path / "out", sums=sums)
    listed = {row["ecg_id"]: row["reason"] for row in reading.listed(UNREADABLE)}
    short = names[9].rpartition("/")[2]
    assert listed == {
        ids[5]: f"{names[5].rpartition('/')[2]}.dat differs from SHA256SUMS.txt",
        ids[9]: f"{short}.hea and {short}.dat differ from SHA256SUMS.txt",
    }
    assert len(signals) == len(names) - 2
    np.testing.assert_array_equal(signals[5], read_record(simulated_tree / names[6]))
    np.testing.assert_array_equal(signals[-1], read_record(simulated_tree / names[-1]))


def test_a_tree_without_one_readable_record_gives_an_empty_file(tmp_path):
    (tmp_path / "tree").mkdir()
    file = tmp_path / "signals.npy"
    reading = read_signals(tmp_path / "tree", [7], ["records100/00000/00007_lr"], file)
    assert np.load(file).shape == (0, 1000, 12)
    assert reading.listed(MISSING)[0]["reason"] == "00007_lr.hea does not exist"


def test_the_same_samples_twice_are_named(simulated_tree, tmp_path):
    _, names = names_of(simulated_tree)
    reading = read_signals(simulated_tree, [1, 2, 3], [names[0], names[1], names[0]], tmp_path / "signals.npy")
    assert reading.summary["same_as"].tolist() == pytest.approx([np.nan, np.nan, 1], nan_ok=True)


def test_a_full_disk_says_so(simulated_tree, tmp_path):
    ids, names = names_of(simulated_tree)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))
    try:
        with pytest.raises(SignalsFileError, match=r"signals\.npy: cannot be written: File too large"):
            read_signals(simulated_tree, ids, names, tmp_path / "signals.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def die(task: int) -> int:
    """Killed in the middle of the work, as the kernel does when memory is short."""
    if task == 3:
        os.kill(os.getpid(), 9)
    return task


def test_a_process_that_is_killed_is_an_error_and_no_hang():
    with pytest.raises(LeadwiseError, match="one of 2 processes ended before its work was done"):
        run_in_processes(die, range(6), 2, sizes=[1] * 6)


ORPHAN = """
import os, sys
from leadwise.datasets.reading import run_in_processes
sys.path.insert(0, sys.argv[1])
from waiter import wait_for_ever
run_in_processes(wait_for_ever, [sys.argv[1]] * 4, 2, sizes=[1] * 4)
"""
WAITER = """
import os, select
from pathlib import Path

def wait_for_ever(folder):
    (Path(folder) / f"pid-{os.getpid()}").touch()
    select.select([], [], [], 300)
"""


def test_the_processes_end_with_the_one_that_started_them_even_if_it_is_killed(tmp_path):
    (tmp_path / "waiter.py").write_text(WAITER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT / "src"), str(tmp_path)])}
    program = subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], env=environment)
    while len(working := sorted(tmp_path.glob("pid-*"))) < 2:
        assert program.poll() is None
    held = [os.pidfd_open(int(file.name.removeprefix("pid-"))) for file in working]
    program.kill()
    program.wait()
    for process in held:
        ended, _, _ = select.select([process], [], [], 30)
        os.close(process)
        assert ended


MEASURE = """
import resource, sys
from pathlib import Path
from leadwise.datasets.reading import read_signals
tree, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
peaks = []
for records in (50, 400):
    read_signals(tree, range(records), [name] * records, out, rate=500)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks, out.stat().st_size // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_records(tmp_path):
    signal = np.random.default_rng(0).integers(-900, 900, (5000, 12)).astype("<i2")
    sums = signal.astype(np.int64).sum(axis=0) % 65536
    columns = zip(LEADS, signal[0], sums, strict=True)
    lines = [f"r.dat 16 1000/mV 16 0 {first} {total} 0 {lead}" for lead, first, total in columns]
    (tmp_path / "r.hea").write_text("\n".join(["r 12 500 5000", *lines, ""]))
    (tmp_path / "r.dat").write_bytes(signal.tobytes())
    command = [sys.executable, "-c", MEASURE, str(tmp_path), "r", str(tmp_path / "signals.npy")]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    few, many, file_kib = map(int, done.stdout.split())
    # Eight times the records, 41 MB more of signals.
    assert file_kib > 46_000
    assert many - few < 8_000
