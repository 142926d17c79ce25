"""A PostgreSQL server for a test, where server and driver are installed."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's packages make this user for it."""


@pytest.fixture
def postgresql_address() -> Iterator[str]:
    """SQLAlchemy's address of an empty data base, reached through a socket in a folder of its own."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed (on Debian and Ubuntu: the package postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg, the driver for PostgreSQL, is not installed")
    programs = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="leadwise-postgresql-"))
    user = USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        run("initdb", "--auth=trust", f"--username={USER}", f"--pgdata={folder / 'data'}")
        run("pg_ctl", "start", "-w", f"--pgdata={folder / 'data'}", f"--options=-k {folder} -h ''")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={quote(str(folder), safe='')}"
        finally:
            run("pg_ctl", "stop", "-w", "--mode=immediate", f"--pgdata={folder / 'data'}")
    finally:
        shutil.rmtree(folder)
