"""What an ingestion read: every file with its hash, and a cheap fingerprint that tells whether anything has changed."""

import ast
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from leadwise import __version__
from leadwise.data.checksums import SUMS_FILE, read_sha256sums, sha256_of
from leadwise.data.tables import Tables, is_inside

ENTRY = "leadwise.data.ingestion"
NO_PART = frozenset({"leadwise", "leadwise.atomic", "leadwise.config", "leadwise.data.processes"})
"""Modules that ingestion uses and that change nothing in a store."""
LIBRARIES = ("numpy", "pandas", "pyarrow", "great-expectations", "wfdb")


@dataclass(frozen=True)
class Inputs:
    """Every file that an ingestion has read.

    Attributes:
        files: path below the tree -> SHA-256 of its bytes.
        sums: what the tree's own ``SHA256SUMS.txt`` says; None if it has none.
    """

    files: Mapping[str, str]
    sums: Mapping[str, str] | None

    def listing(self) -> str:
        """The content of ``inputs.sha256``: ``sha256sum --check`` in the tree reads it. Sorted by path."""
        return "".join(f"{self.files[name]}  {name}\n" for name in sorted(self.files))

    def described(self, tables: Tables) -> dict[str, object]:
        """What the manifest holds: counts, the digest of the listing and of each table, and what was not as listed."""
        sums = self.sums or {}
        return {
            "files": len(self.files),
            "sha256": hashlib.sha256(self.listing().encode()).hexdigest(),
            "tables": dict(tables.files),
            "listed": self.sums is not None,
            "as_listed": sum(sums.get(name) == found for name, found in self.files.items()),
            "not_listed": sum(name not in sums for name in self.files if name != SUMS_FILE) if sums else 0,
            "not_as_listed": sorted(name for name, found in self.files.items() if sums.get(name, found) != found),
        }


def tree_sums(tree: Path) -> dict[str, str] | None:
    """What the tree's ``SHA256SUMS.txt`` says; None where there is none.

    Raises:
        ChecksumError: it is no such list.
    """
    file = tree / SUMS_FILE
    return read_sha256sums(file) if file.exists() else None


def tables_not_as_listed(tables: Tables, sums: Mapping[str, str] | None) -> list[str] | None:
    """Names of the tables whose bytes are not those that ``SHA256SUMS.txt`` lists; None where nothing is listed."""
    if sums is None:
        return None
    return [name for name, found in tables.files.items() if sums.get(name, found) != found]


def fingerprint(tables: Tables, configuration: Mapping[str, object], file_format: int) -> str:
    """SHA-256 over the tables, the state of each waveform file, the configuration, our code and the libraries.

    The state of a file is its size, its time of change and the kernel's own time of change (ctime), which no program
    can put back. It tells in half a second whether to ingest again; what was ingested is told by the digests.
    """
    sums_file = tables.tree / SUMS_FILE
    content = {
        "format": file_format,
        "tree": str(tables.tree),
        "configuration": dict(configuration),
        "tables": dict(tables.files),
        "sums": sha256_of(sums_file) if sums_file.is_file() else None,
        "code": dict(code_digests()),
        "resources": _resources(),
        "versions": versions(),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    folders = {name.rpartition("/")[0] for name in tables.filenames if isinstance(name, str)}
    for folder in sorted(filter(is_inside, folders)):
        digest.update(_folder_state(tables.tree / folder, folder).encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, Leadwise and the libraries that had a part in a store."""
    return {"python": platform.python_version(), "leadwise": __version__} | {name: version(name) for name in LIBRARIES}


@cache
def code_digests() -> Mapping[str, str]:
    """SHA-256 of the code of every module that has a part in a store; a comment or docstring changes nothing.

    Looked up once in a process, which goes on with the code that it has loaded.
    """
    digests: dict[str, str] = {}
    waiting = [ENTRY]
    while waiting:
        module = waiting.pop()
        file = _file_of(module)
        if file is None or module in digests or module in NO_PART:
            continue
        tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "leadwise":
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
                del node.body[0]
        digests[module] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digests


def _file_of(module: str) -> Path | None:
    """The file of a module of ours; None for a package, and for a name that is no module."""
    file = Path(__file__).parents[1].joinpath(*module.split(".")[1:]).with_suffix(".py")
    return file if file.is_file() else None


def _resources() -> dict[str, str]:
    """SHA-256 of every file beside the modules that is no module: suites, fitted numbers."""
    package = Path(__file__).parents[1]
    files = [file for part in ("data", "signals") for file in (package / part).rglob("*") if file.is_file()]
    return {
        file.relative_to(package).as_posix(): sha256_of(file) for file in files if file.suffix not in (".py", ".pyc")
    }


def _folder_state(folder: Path, name: str) -> str:
    """Name, size and times of change of every file in a folder."""
    if not folder.is_dir():
        return f"{name} is absent;"
    with os.scandir(folder) as entries:
        states = sorted((entry.name, entry.stat()) for entry in entries)
    return f"{name}:" + "".join(f"{file} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns};" for file, s in states)
