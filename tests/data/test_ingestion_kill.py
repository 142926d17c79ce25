"""Killed at any moment the store is whole or absent, the next ingestion completes it, and nothing is left behind."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from leadwise.data.ingestion import ingest
from leadwise.data.store import open_store, verify_digest

pytestmark = pytest.mark.slow

DATABASE = "ptbxl_database.csv"
NURSERY = """
import os, sys
from pathlib import Path
import great_expectations, great_expectations.expectations, pyarrow.parquet
from leadwise.data.ingestion import ingest
import leadwise.data.validation
for line in sys.stdin:
    tree, folder, workers = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            done = ingest(Path(tree), Path(folder), max_unreadable_share=0.0, workers=int(workers))
            os._exit(10 if done.unchanged else 0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports everything once; then each line is an ingestion in a process of its own."""


class Nursery:
    """Ingestions in processes that may be killed, one at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self.program = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, tree: Path, store: Path, workers: int, when: Callable[[], bool], timeout_s: float) -> int:
        """Ingest, and kill the process as soon as ``when`` holds or the time is over; its exit status."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        print(tree, store, workers, sep="\t", file=self.program.stdin, flush=True)
        process = int(self.program.stdout.readline())
        held = os.pidfd_open(process)
        waits = 0
        while not select.select([held], [], [], 0.002)[0]:
            waits += 1
            if when() or waits * 0.002 > timeout_s:
                signal.pidfd_send_signal(held, signal.SIGKILL)
                break
        os.close(held)
        return int(self.program.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    assert nursery.program.stdin is not None
    nursery.program.stdin.close()
    nursery.program.wait()


@pytest.fixture(scope="module")
def changed_tree(simulated_tree, tmp_path_factory) -> Path:
    """Another tree than that of ``simulated_store``."""
    tree = Path(shutil.copytree(simulated_tree, tmp_path_factory.mktemp("changed") / "tree"))
    table = pd.read_csv(tree / DATABASE, dtype=str)
    table.loc[3, "age"] = "41"
    table.to_csv(tree / DATABASE, index=False)
    return tree


def being_written(store: Path, name: str) -> Callable[[], bool]:
    """Whether a file of the store is there, in the folder that is to become it."""
    return lambda: any(store.parent.glob(f".{store.name}.partial-*/{name}"))


def assert_whole_or_absent(store: Path, digests: set[str]) -> None:
    if store.exists():
        opened = open_store(store)
        verify_digest(opened)
        assert opened.manifest["digest"] in digests


MOMENTS = ("", "signals.npy", "records.parquet", "inputs.sha256", "validation", "manifest.json")


def test_killed_at_any_moment_the_store_is_whole_or_absent(nursery, changed_tree, simulated_store, tmp_path):
    reference = ingest(changed_tree, tmp_path / "reference" / "store", max_unreadable_share=0.0).manifest
    digests = {open_store(simulated_store).manifest["digest"], reference["digest"]}
    assert len(digests) == 2
    store = tmp_path / "workspace" / "store"
    store.parent.mkdir()
    killed = 0
    for number, name in enumerate(MOMENTS):
        status = nursery.run(changed_tree, store, 1 + number % 2, being_written(store, name), 300)
        killed += status == -signal.SIGKILL
        assert_whole_or_absent(store, digests)
        if number == len(MOMENTS) // 2:
            # From here on over an older store.
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(simulated_store, store)
    assert killed >= len(MOMENTS) - 2
    rng = random.Random(20)
    for number in range(6):
        duration_s = max(reference["seconds"], 0.5)
        status = nursery.run(changed_tree, store, 1 + number % 2, lambda: False, rng.uniform(0, duration_s))
        assert status in (-signal.SIGKILL, 0, 10)
        assert_whole_or_absent(store, digests)
        if status != -signal.SIGKILL:
            shutil.rmtree(store)
    assert nursery.run(changed_tree, store, 2, lambda: False, 600) in (0, 10)
    assert open_store(store).manifest["digest"] == reference["digest"]
    assert {path.name for path in store.parent.iterdir()} <= {"store", ".store.lock"}
    assert ingest(changed_tree, store, max_unreadable_share=0.0).unchanged


def test_two_at_once_into_one_folder_make_one_store(changed_tree, tmp_path):
    store = tmp_path / "workspace" / "store"
    program = (
        "import sys\nfrom pathlib import Path\nfrom leadwise.data.ingestion import ingest\n"
        "print(ingest(Path(sys.argv[1]), Path(sys.argv[2]), max_unreadable_share=0.0).unchanged)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(changed_tree), str(store)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(out.strip() for out, _ in ended) == ["False", "True"]
    verify_digest(open_store(store))
    assert [path.name for path in store.parent.iterdir()] == ["store"]
