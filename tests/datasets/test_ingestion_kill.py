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

from leadwise.config import PROJECT_ROOT
from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import content_digest, open_store, record_hash

pytestmark = pytest.mark.slow

DATABASE = "ptbxl_database.csv"
NURSERY = """
import os, sys
from pathlib import Path
import great_expectations.expectations
from leadwise.datasets.ingest import ingest
ingest(Path(sys.argv[1]), Path(sys.argv[2]), max_unreadable_share=0.0, workers=1)
print("ready", flush=True)
for line in sys.stdin:
    tree, folder, workers, times = line.rstrip("\\n").split("\\t")
    children = []
    for _ in range(int(times)):
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
        children.append(child)
    print(*children, flush=True)
    print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
"""
"""Ingests once, so that everything is imported; then each line is one ingestion or several, each in its own process."""

UNCHANGED = 10
LOOK_EVERY_S = 0.005


class Nursery:
    """Ingestions in processes that may be killed.

    Args:
        tree: is ingested at the start.
        folder: the store that becomes of it.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
        self.program = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(tree), str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.program.stdout is not None
        assert self.program.stdout.readline() == "ready\n"

    def start(self, tree: Path, store: Path, workers: int, times: int = 1) -> list[int]:
        """Ingest, so many times at once; the ids of the processes."""
        assert self.program.stdin is not None
        print(tree, store, workers, times, sep="\t", file=self.program.stdin, flush=True)
        return self._numbers()

    def _numbers(self) -> list[int]:
        assert self.program.stdout is not None
        return [int(word) for word in self.program.stdout.readline().split()]

    def statuses(self) -> list[int]:
        """The exit statuses of what was started last, once all have ended."""
        return self._numbers()

    def run(self, tree: Path, store: Path, workers: int, when: Callable[[], bool], timeout_s: float) -> int:
        """Ingest, and kill the process as soon as ``when`` holds or the time is over; its exit status."""
        (process,) = self.start(tree, store, workers)
        held = os.pidfd_open(process)
        waits = 0
        while not select.select([held], [], [], LOOK_EVERY_S)[0]:
            waits += 1
            if when() or waits * LOOK_EVERY_S > timeout_s:
                signal.pidfd_send_signal(held, signal.SIGKILL)
                break
        os.close(held)
        (status,) = self.statuses()
        return status


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The store of ``changed_tree`` that the nursery writes undisturbed. Read only."""
    return tmp_path_factory.mktemp("reference") / "store"


@pytest.fixture(scope="module")
def nursery(changed_tree, reference) -> Iterator[Nursery]:
    nursery = Nursery(changed_tree, reference)
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
        assert content_digest(opened.records, map(record_hash, opened.signals)) == opened.manifest["digest"]
        assert opened.manifest["digest"] in digests


MOMENTS = ("", "signals.npy", "records.parquet", "inputs.sha256", "validation", "manifest.json")


def test_killed_at_any_moment_the_store_is_whole_or_absent(nursery, reference, changed_tree, simulated_store, tmp_path):
    expected = open_store(reference).manifest
    digests = {open_store(simulated_store).manifest["digest"], expected["digest"]}
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
    for number in range(2):
        duration_s = max(expected["seconds"], 0.5)
        status = nursery.run(changed_tree, store, 1 + number % 2, lambda: False, rng.uniform(0, duration_s))
        assert status in (-signal.SIGKILL, 0, UNCHANGED)
        assert_whole_or_absent(store, digests)
        if status != -signal.SIGKILL:
            shutil.rmtree(store)
    assert nursery.run(changed_tree, store, 2, lambda: False, 600) in (0, UNCHANGED)
    assert open_store(store).manifest["digest"] == expected["digest"]
    assert {path.name for path in store.parent.iterdir()} <= {"store", ".store.lock"}
    assert ingest(changed_tree, store, max_unreadable_share=0.0).unchanged


def test_two_at_once_into_one_folder_make_one_store(nursery, changed_tree, tmp_path):
    store = tmp_path / "workspace" / "store"
    nursery.start(changed_tree, store, workers=0, times=2)
    assert sorted(nursery.statuses()) == [0, UNCHANGED]
    whole = open_store(store)
    assert content_digest(whole.records, map(record_hash, whole.signals)) == whole.manifest["digest"]
    assert [path.name for path in store.parent.iterdir()] == ["store"]
