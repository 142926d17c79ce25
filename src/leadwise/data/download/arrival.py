"""How a tree arrives, from servers or out of an archive: what is there, what came, what could not be had."""

import hashlib
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from leadwise.contract import FS_HZ
from leadwise.data.checksums import SUMS_FILE, check_files
from leadwise.data.download.landing import DownloadError, Landing, NotPlaced, megabytes
from leadwise.data.download.progress import Progress
from leadwise.data.download.published import CITATIONS, LICENCE, PAPERS, RELEASES, SIMULATION_FILE, needed_files

NAMED = 5
"""So many of the files that could not be had are named in a message."""
GO_ON = "The same command goes on from here"


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
        release = next((name for name, count in RELEASES.items() if count == self.records), None)
        what = "a simulated PTB-XL" if self.simulated else f"PTB-XL {release or '(no known release)'}"
        rate = f", {self.fetched_bytes / 1e6 / max(self.seconds, 1e-3):.1f} MB/s" if self.fetched else ""
        replaced = f" {self.replaced:,} with another content were replaced." if self.replaced else ""
        lines = [
            f"{self.dest}: {what}, {self.rate_hz} Hz: {self.records:,} records, complete: "
            f"all {self.files:,} files are there and match {SUMS_FILE}.",
            f"{self.fetched:,} files ({megabytes(self.fetched_bytes)}) came in {self.seconds:.1f} s{rate}; "
            f"{self.files - self.fetched:,} were there already.{replaced}",
        ]
        if not self.simulated:
            lines += [f"Licence: {LICENCE}. Whoever uses it cites:"]
            lines += [f"- {line}" for line in (CITATIONS[release or next(iter(RELEASES))], *PAPERS)]
        lines.append(f"Next: {self._next()}")
        return "\n".join(lines)

    def _next(self) -> str:
        tree = shlex.quote(str(self.dest))
        if self.rate_hz == FS_HZ:
            return f"make run DATA={tree}"
        return (
            f"mlflow run . --env-manager local -e ingest -P source={tree} -P rate={self.rate_hz} "
            f"-P workspace=workspace/ptbxl-{self.rate_hz} (the models train on the {FS_HZ:g} Hz records)"
        )


@dataclass
class Arrival:
    """A tree on its way into its folder.

    Attributes:
        sums: needed file -> SHA-256.
        missing: the needed files that are not there with this sum, tables first.
    """

    landing: Landing
    rate_hz: int
    sums: dict[str, str]
    missing: list[str]
    replaced: int
    started: float
    go_on: str
    _sizes: dict[str, int] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        landing: Landing,
        raw_sums: bytes,
        listed: dict[str, str],
        rate_hz: int,
        size_of: Callable[[str], int],
        started: float,
        go_on: str = GO_ON,
    ) -> "Arrival":
        """Look what is there, whether the rest will fit, and put the list of sums into the tree.

        Args:
            landing: the folder.
            raw_sums: the content of the list of sums.
            listed: that list, read.
            rate_hz: of the records that are wanted.
            size_of: bytes that a file will take, as far as that is known beforehand.
            started: when the call started, by ``time.perf_counter``.
            go_on: what to do if it cannot be completed.

        Raises:
            DownloadError: the folder holds another kind of tree, or the files will not fit.
        """
        sums = {name: listed[name] for name in needed_files(listed, rate_hz)}
        landing.require_same_kind(sums)
        with Progress("checking what is there", len(sums)) as progress:
            states = check_files(landing.dest, sums, progress=progress.update)
        missing = [name for name, state in states.items() if state != "whole"]
        landing.require_space(size_of(name) for name in missing)
        if check_files(landing.dest, {SUMS_FILE: hashlib.sha256(raw_sums).hexdigest()})[SUMS_FILE] != "whole":
            _place_list(landing, raw_sums)
        replaced = sum(states[name] == "damaged" for name in missing)
        return cls(landing, rate_hz, sums, missing, replaced, started, go_on)

    def place(self, name: str, content: bytes) -> int:
        """Put a file whose content has been checked into the tree; returns its size. See ``Landing.place``."""
        self.landing.place(name, content)
        self._sizes[name] = len(content)
        return len(content)

    def failed(self, name: str, reason: str) -> None:
        """Remember a file that could not be had; the others go on."""
        self._failures[name] = reason

    def finish(self) -> Arrived:
        """Read back what came, and compare it with its sums.

        Raises:
            DownloadError: a needed file is not there; the message names the first ones and why.
        """
        came = {name: self.sums[name] for name in self._sizes}
        for name, state in check_files(self.landing.dest, came).items():
            if state != "whole":
                self.failed(name, f"{state} after it was written")
        if self._failures:
            first = [f"\n  {name}: {reason}" for name, reason in list(self._failures.items())[:NAMED]]
            more = len(self._failures) - len(first)
            raise DownloadError(
                f"{self.landing.dest}: {len(self._failures):,} of {len(self.sums):,} files could not be had; "
                f"the others are there and whole. {self.go_on}.{''.join(first)}"
                + (f"\n  and {more:,} more" if more else "")
            )
        return Arrived(
            dest=self.landing.dest,
            rate_hz=self.rate_hz,
            records=sum(name.endswith(".hea") for name in self.sums),
            simulated=SIMULATION_FILE in self.sums,
            files=len(self.sums),
            fetched=len(came),
            replaced=self.replaced,
            fetched_bytes=sum(self._sizes.values()),
            seconds=time.perf_counter() - self.started,
        )

    def ended_early(self, reason: object) -> DownloadError:
        """The error for a cause that concerns every file that is still missing."""
        there = len(self.sums) - len(self.missing) + len(self._sizes)
        return DownloadError(
            f"{reason}. Stopped: {there:,} of {len(self.sums):,} files are there and whole. {self.go_on}"
        )


def _place_list(landing: Landing, raw_sums: bytes) -> None:
    try:
        landing.place(SUMS_FILE, raw_sums)
    except NotPlaced as error:
        raise DownloadError(f"{landing.dest / SUMS_FILE}: {error.reason}") from error
