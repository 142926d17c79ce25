"""Data that many tests share: a simulated PTB-XL tree, the store ingested from it, and a part of the real one."""

import ctypes
import gc
import importlib.util
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import psutil
import pytest
from small_package import transformer_of, weights_of, write_package

from leadwise import memory
from leadwise.atomic import folder_written_atomically
from leadwise.datasets.ingest import ingest
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.synthetic import write_simulated_tree

REPOSITORY = Path(__file__).resolve().parents[1]
PTBXL = REPOSITORY.parent / "shared" / "ptbxl"
EXTERNAL = REPOSITORY.parent / "shared" / "external"
PATIENTS = 300
SEED = 20
POSTGRESQL_USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's packages make this user for it."""

# A training keeps what it frees, for its next batch; here hundreds of other tests come after it in the same process.
memory.keep_freed_memory = memory.return_freed_memory

MAY_BE_LEFT_OUT = (
    "the real PTB-XL is not beside",  # nobody has to have it
    "other hospitals' recordings are not beside",
    "a comma cannot be both",  # one of all combinations, and it is none
    "uvicorn's own command takes the connection for a WebSocket",  # Leadwise's own server is asked the same
    "pyspark is not installed",  # `make test-spark` brings it
    "could not import 'jax'",  # another backend, for whoever has a GPU
    "no disk can be mounted here",  # a sandbox may forbid these three
    "a disk of its own needs unshare",
    "no network namespace of one's own",
    "the file system takes no such names",
)
"""Reasons for which a test may be skipped on any machine; with ``LEADWISE_SKIP=listed`` any other fails the run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests first: at the end no worker waits for another one's."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_configure() -> None:
    """Imports make hardly any garbage, and the collector takes a third of their time to find out."""
    gc.disable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A case of a megabyte has a short name: each worker keeps every name and sends it with every report."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 100 else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What is imported stays: the collector, which Streamlit calls after every run of a page, need not look at it."""
    gc.enable()
    gc.collect()
    gc.freeze()


def _left_out(config: pytest.Config) -> Counter[str]:
    """Reason -> how many tests, or files of tests, were skipped for it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return Counter(str(one.longrepr[2]).removeprefix("Skipped: ") for one in reports)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that leaves out more than it may has failed."""
    if os.environ.get("LEADWISE_SKIP") != "listed" or hasattr(session.config, "workerinput"):
        return
    if any(not reason.startswith(MAY_BE_LEFT_OUT) for reason in _left_out(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in a sentence what was left out, and how to have it."""
    if found := _left_out(config):
        reasons = "; ".join(f"{reason} ({count})" for reason, count in found.most_common())
        terminalreporter.write_line(f"Left out: {reasons}.")


@pytest.fixture(autouse=True)
def no_run_stays_open() -> Iterator[None]:
    """A run that a test leaves active would take what the next one logs."""
    yield
    mlflow = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow is not None and hasattr(mlflow, "active_run") else None
    if run is not None:
        mlflow.end_run()
        pytest.fail(f"the run {run.data.tags.get('mlflow.runName')} is still active after the test")


KEPT_BYTES = 2**24
"""By so much a worker may grow before what is left of its tests is collected, which takes half a second."""
_this_process = psutil.Process()
_resident_bytes = 0


@pytest.fixture(autouse=True)
def memory_is_given_back() -> Iterator[None]:
    """A network that was trained is a circle of references, and its garbage lies between what stays."""
    global _resident_bytes
    yield
    if _this_process.memory_info().rss > _resident_bytes + KEPT_BYTES:
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        _resident_bytes = _this_process.memory_info().rss


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One temporary folder for the session, the same in every worker of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that one worker makes while the others wait."""
    fcntl = pytest.importorskip("fcntl")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(folder)
    return folder


@pytest.fixture(scope="session")
def simulated_tree(shared_folder: Path) -> Path:
    """A simulated PTB-XL tree of 300 patients. Read only: copy it before changing anything."""
    return made_once(
        shared_folder / "simulated-tree", lambda folder: write_simulated_tree(folder, patients=PATIENTS, seed=SEED)
    )


@pytest.fixture(scope="session")
def simulated_store(shared_folder: Path, simulated_tree: Path) -> Path:
    """A store ingested from ``simulated_tree``. Read only."""
    return made_once(
        shared_folder / "simulated" / "store", lambda folder: ingest(simulated_tree, folder, max_unreadable_share=0.0)
    )


@pytest.fixture(scope="session")
def transformer() -> MetadataTransformer:
    """Of the small package."""
    return transformer_of(np.random.default_rng(0))


@pytest.fixture(scope="session")
def weights(transformer: MetadataTransformer) -> dict[str, np.ndarray]:
    """Of its networks."""
    return weights_of(transformer)


@pytest.fixture(scope="session")
def package_folder(
    tmp_path_factory: pytest.TempPathFactory, transformer: MetadataTransformer, weights: dict[str, np.ndarray]
) -> Path:
    """sigmoid(mean over time @ of_signal + metadata @ of_metadata), and the same without the signal.

    With the signal also the statements: sigmoid(mean over time @ to_statements).
    """
    return write_package(tmp_path_factory.mktemp("small") / "package", transformer, weights)


def of_ptbxl(name: str) -> Path:
    """A file of the real PTB-XL; without it the test is skipped."""
    file = PTBXL / name
    if not file.is_file():
        pytest.skip(f"the real PTB-XL is not beside the repository ({file} does not exist)")
    return file


@pytest.fixture(scope="session")
def ptbxl_tree(shared_folder: Path) -> Path:
    """440 records of the real PTB-XL 1.0.3, out of 5 of its 22 folders. Read only; skips where the data are absent."""
    unpack = of_ptbxl("unpack.py")

    def make(folder: Path) -> None:
        # The script unpacks whatever lies beside it, and a folder as a whole or not at all, which takes a second each.
        few = folder.with_name(f"{folder.name}-packed")
        few.mkdir()
        for file in sorted(PTBXL.iterdir()):
            if not re.fullmatch(r"\d{5}\.xz", file.name):
                shutil.copy(file, few)
        for archive in sorted(PTBXL.glob("[0-9]*.xz"))[::5]:
            (few / archive.name).symlink_to(archive)
        command = [sys.executable, str(few / unpack.name), str(folder), "--records", "88"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return made_once(shared_folder / "ptbxl-tree", make)


@pytest.fixture(scope="session")
def whole_ptbxl(shared_folder: Path) -> Path:
    """All of the real PTB-XL 1.0.3 at 100 Hz, half a gigabyte. Read only; skips where the data are absent."""
    unpack = of_ptbxl("unpack.py")

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, str(unpack), str(folder)], check=True, stdout=subprocess.DEVNULL)

    return made_once(shared_folder / "ptbxl-whole", make)


def unpacked(archive: str, folder: Path) -> Path:
    """The one folder of an archive of another hospital's recordings; without it the test is skipped."""
    file = EXTERNAL / archive
    if not file.is_file():
        pytest.skip(f"other hospitals' recordings are not beside the repository ({file} does not exist)")

    def make(folder: Path) -> None:
        with folder_written_atomically(folder) as beside, tarfile.open(file) as packed:
            packed.extractall(beside, filter="data")

    return next(made_once(folder, make).iterdir())


@pytest.fixture(scope="session")
def ludb_tree(shared_folder: Path) -> Path:
    """The 200 recordings of LUDB 1.0.1. Read only; skips where they are absent."""
    return unpacked("ludb-1.0.1.tar.xz", shared_folder / "ludb")


@pytest.fixture(scope="session")
def challenge_tree(shared_folder: Path) -> Path:
    """119 recordings of the PhysioNet Challenge 2021. Read only; skips where they are absent."""
    return unpacked("challenge2021.tar.xz", shared_folder / "challenge2021")


@pytest.fixture(scope="session")
def ptbxl_store(shared_folder: Path, ptbxl_tree: Path) -> Path:
    """A store ingested from ``ptbxl_tree``. Read only."""
    return made_once(
        shared_folder / "ptbxl" / "store", lambda folder: ingest(ptbxl_tree, folder, max_unreadable_share=0.0)
    )


@pytest.fixture(scope="session")
def ptbxl_tables(shared_folder: Path) -> Callable[[str], Path]:
    """The tables of a release, all rows, without waveforms; skips where the data are absent."""

    def of_release(release: str) -> Path:
        packed = of_ptbxl(f"ptbxl_database_{release}.csv.xz")

        def make(folder: Path) -> None:
            with folder_written_atomically(folder) as beside:
                (beside / "ptbxl_database.csv").write_bytes(lzma.decompress(packed.read_bytes()))
                shutil.copy(PTBXL / "scp_statements.csv", beside)

        return made_once(shared_folder / f"ptbxl-tables-{release}", make)

    return of_release


@pytest.fixture(scope="session")
def postgresql_folder() -> Iterator[Path]:
    """A PostgreSQL server that is reached through a socket in this folder; skips where it or its driver is absent."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed (on Debian and Ubuntu: the package postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg, the driver for PostgreSQL, is not installed")
    programs = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="leadwise-postgresql-"))
    user = POSTGRESQL_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        run("initdb", "--auth=trust", f"--username={POSTGRESQL_USER}", f"--pgdata={folder / 'data'}")
        # Nothing of a test has to survive the machine.
        run("pg_ctl", "start", "-w", f"--pgdata={folder / 'data'}", f"--options=-k {folder} -h '' -F")
        try:
            yield folder
        finally:
            run("pg_ctl", "stop", "-w", "--mode=immediate", f"--pgdata={folder / 'data'}")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_address(postgresql_folder: Path) -> str:
    """SQLAlchemy's address of an empty data base."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(host=str(postgresql_folder), user=POSTGRESQL_USER, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://{POSTGRESQL_USER}@/{name}?host={quote(str(postgresql_folder), safe='')}"
