"""A PTB-XL tree on its way into its folder: each file whole or not at all, whatever ends the process."""

import errno
import hashlib
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from leadwise.atomic import staging_folder
from leadwise.contract import FS_HZ, LeadwiseError
from leadwise.datasets.checksums import SUMS_FILE, check_files, parse_sha256sums
from leadwise.datasets.releases import CITATIONS, LICENCE, PAPERS, RELEASES, SIMULATION_FILE, needed_files

_OF_ONE_FILE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG)
"""Something stands where one file belongs; after any other error, a full disk say, no other can be written either."""
_TREE = ("SHA256SUMS.txt", "ptbxl_database.csv", "scp_statements.csv", "records100", "records500")


class DownloadError(LeadwiseError):
    """The tree cannot be completed; the message says what is wrong, with which file, and how to go on."""


class FileError(LeadwiseError):
    """One file cannot be had or written; others can."""


@dataclass(frozen=True)
class Arrived:
    """A tree that is complete.

    Attributes:
        dest: its folder.
        rate_hz: of its records.
        records: how many it has.
        simulated: it says so of itself.
        files: how many files are needed, every one checked against its sum (the list of sums itself left aside).
        fetched: how many of them came in this call.
        replaced: how many of those took the place of a file with another content.
        fetched_bytes: size of what came in this call.
        seconds: that the call took, all checks included.
    """

    dest: Path
    rate_hz: int
    records: int
    simulated: bool
    files: int
    fetched: int
    replaced: int
    fetched_bytes: int
    seconds: float

    def report(self) -> str:
        """What came, that all of it was checked, the licence, and what to type next."""
        release = next((name for name, records in RELEASES.items() if records == self.records), None)
        what = "a simulated PTB-XL" if self.simulated else f"PTB-XL {release or '(no known release)'}"
        rate = f", {self.fetched_bytes / 1e6 / max(self.seconds, 1e-3):.1f} MB/s" if self.fetched else ""
        replaced = f" {self.replaced:,} with another content were replaced." if self.replaced else ""
        lines = [
            f"{self.dest}: {what}, {self.rate_hz} Hz: {self.records:,} records, complete: "
            f"all {self.files:,} files are there and match {SUMS_FILE}.",
            f"{self.fetched:,} files ({_megabytes(self.fetched_bytes)}) came in {self.seconds:.1f} s{rate}; "
            f"{self.files - self.fetched:,} were there already.{replaced}",
        ]
        if not self.simulated:
            lines += [f"Licence: {LICENCE}. Whoever uses it cites:"]
            lines += [f"- {line}" for line in (CITATIONS[release or next(iter(RELEASES))], *PAPERS)]
        tree = shlex.quote(str(self.dest))
        lines.append(
            f"Next: make run DATA={tree}"
            if self.rate_hz == FS_HZ
            else f"Next: mlflow run . --env-manager local -e ingest -P source={tree} -P rate={self.rate_hz} "
            f"-P workspace=workspace/ptbxl-{self.rate_hz} (the models train on the {FS_HZ:g} Hz records)"
        )
        return "\n".join(lines)


@dataclass
class Tree:
    """A tree on its way into its folder; see ``tree_written_to``.

    Attributes:
        sums: needed file -> SHA-256.
        missing: the needed files that are not there with this sum, tables first.
    """

    dest: Path
    staging: Path
    go_on: str
    sums: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    rate_hz: int = 0
    replaced: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def begin(self, raw_sums: bytes, rate_hz: int, size_of: Callable[[str], int]) -> None:
        """Look what is there, whether the rest will fit, and put the list of sums into the tree.

        Args:
            raw_sums: the content of the list of sums.
            rate_hz: of the records that are wanted.
            size_of: bytes that a file will take, as far as that is known beforehand.

        Raises:
            DownloadError: the folder holds another kind of tree, or the files will not fit.
        """
        listed = parse_sha256sums(raw_sums, SUMS_FILE)
        self.rate_hz, self.sums = rate_hz, {name: listed[name] for name in needed_files(listed, rate_hz)}
        if SIMULATION_FILE not in self.sums and (self.dest / SIMULATION_FILE).exists():
            raise DownloadError(f"{self.dest}: holds a simulated tree; real records are never mixed with it")
        with _bar("checking what is there", len(self.sums)) as bar:
            states = check_files(self.dest, self.sums, progress=bar.update)
        self.missing = [name for name, state in states.items() if state != "whole"]
        self.replaced = sum(states[name] == "damaged" for name in self.missing)
        needed, free = sum(map(size_of, self.missing)), shutil.disk_usage(self.dest).free
        if needed > free:
            raise DownloadError(
                f"{self.dest}: about {_megabytes(needed)} are needed and {_megabytes(free)} are free on its disk; "
                "nothing was fetched. Free some space, or name a folder on another disk"
            )
        if check_files(self.dest, {SUMS_FILE: hashlib.sha256(raw_sums).hexdigest()})[SUMS_FILE] != "whole":
            try:
                self.place(SUMS_FILE, raw_sums)
            except FileError as error:
                raise DownloadError(f"{self.dest / SUMS_FILE}: {error}") from error

    def fill(self, had: Iterable[tuple[str, int | LeadwiseError]], doing: str) -> None:
        """Count the files that were placed, by size: a ``FileError`` is one file's own, and any other ends it at once.

        Raises:
            DownloadError: nothing more can be had or written; what has come is whole.
        """
        with _bar(doing, len(self.missing)) as bar:
            for name, size in had:
                if isinstance(size, FileError):
                    self.failures[name] = str(size)
                elif isinstance(size, LeadwiseError):
                    there = len(self.sums) - len(self.missing) + len(self.sizes)
                    raise DownloadError(
                        f"{size}. Stopped: {there:,} of {len(self.sums):,} files are there and whole. {self.go_on}"
                    ) from size
                else:
                    self.sizes[name] = size
                if elapsed := bar.format_dict["elapsed"]:
                    bar.set_postfix_str(f"{sum(self.sizes.values()) / 1e6 / elapsed:.1f} MB/s", refresh=False)
                bar.update()

    def finish(self, started: float) -> Arrived:
        """Read back what came, and compare it with its sums.

        Raises:
            DownloadError: a needed file is not there; the message names the first ones and why.
        """
        for name, state in check_files(self.dest, {name: self.sums[name] for name in self.sizes}).items():
            if state != "whole":
                self.failures[name] = f"{state} after it was written"
        if self.failures:
            first = [f"\n  {name}: {reason}" for name, reason in list(self.failures.items())[:5]]
            more = len(self.failures) - len(first)
            raise DownloadError(
                f"{self.dest}: {len(self.failures):,} of {len(self.sums):,} files could not be had; "
                f"the others are there and whole. {self.go_on}.{''.join(first)}"
                + (f"\n  and {more:,} more" if more else "")
            )
        return Arrived(
            dest=self.dest,
            rate_hz=self.rate_hz,
            records=sum(name.endswith(".hea") for name in self.sums),
            simulated=SIMULATION_FILE in self.sums,
            files=len(self.sums),
            fetched=len(self.sizes),
            replaced=self.replaced,
            fetched_bytes=sum(self.sizes.values()),
            seconds=time.perf_counter() - started,
        )

    def place(self, name: str, content: bytes) -> int:
        """Write a file whose content was checked beside, then rename it; returns its size.

        There is no wait for the disk: after a power failure the next call finds by its sum what did not get there.

        Raises:
            FileError: something stands in this file's way.
            DownloadError: nothing can be written any more: the disk is full, say. Nothing of the file is left.
        """
        beside, target = self.staging / str(next(self.numbers)), self.dest / name
        try:
            beside.write_bytes(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.replace(target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            if error.errno in _OF_ONE_FILE:
                raise FileError(f"cannot be written: {error.strerror}") from error
            raise DownloadError(f"{target}: cannot be written: {error.strerror or error}") from error
        return len(content)


@contextmanager
def tree_written_to(dest: Path, go_on: str = "The same command goes on from here") -> Iterator[Tree]:
    """Yield a tree that files are put into; the folder is new, empty or a PTB-XL tree.

    Args:
        dest: its folder; removed again where nothing came.
        go_on: what to do if it cannot be completed.

    Raises:
        DownloadError: the folder holds something else, or cannot be written.
    """
    with ExitStack() as stack:
        try:
            present = sorted(entry.name for entry in dest.iterdir()) if dest.exists() else []
            others = [name for name in present if not name.startswith(".") and not name.endswith(".zip")]
            if not set(others) & set(_TREE) and set(others) - {"lost+found"}:
                raise DownloadError(
                    f"{dest}: holds other files ({others[0]}) and no PTB-XL; name a folder that is empty or does not "
                    "exist"
                )
            if not dest.exists():
                stack.callback(_remove_if_empty, dest)
            dest.mkdir(parents=True, exist_ok=True)
            staging = stack.enter_context(staging_folder(dest, "download"))
        except OSError as error:
            raise DownloadError(f"{dest}: cannot be written: {error.strerror or error}") from error
        yield Tree(dest, staging, go_on)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _bar(doing: str, files: int) -> Any:
    """A progress bar on a terminal; quiet elsewhere."""
    from tqdm import tqdm

    return tqdm(total=files, desc=doing, unit="file", disable=None, smoothing=0.1)


def _megabytes(size: float) -> str:
    """A number of bytes as people read it (1 MB = 1,000,000 bytes)."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
