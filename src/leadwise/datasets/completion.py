"""A tree of PTB-XL on disk, completed: what is needed and not there yet comes from whoever gives it, each file checked.

Out of PhysioNet's zip archive here, from the web in ``download``. An archive is somebody else's: nothing in it decides
where a file goes or how much is written. Its members are looked up by the names in the list of sums.
"""

import errno
import re
import shlex
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from leadwise.atomic import temporary_folder
from leadwise.contract import FS_HZ, LeadwiseError
from leadwise.datasets import releases
from leadwise.datasets.releases import RELEASES, SUMS_FILE
from leadwise.ecg.formats.read import BAD_ZIP

LARGEST_FILE = 64 * 2**20
"""Bytes that no file of PTB-XL comes near: the largest, the table of records, has 7 MB."""
_OF_ONE_FILE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG)
"""Something stands where one file belongs; after any other error, a full disk say, no other can be written either."""
_TREE = (SUMS_FILE, *releases.REQUIRED_TABLES, "records100", "records500")


class FileError(LeadwiseError):
    """One file cannot be had or written; others can."""


@dataclass(frozen=True)
class Arrived:
    """A tree that is complete.

    All its ``files`` match their sums (the list of sums itself is left aside); ``fetched`` of them came in this call,
    and ``replaced`` of these took the place of another content.
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
        release = next((name for name, counts in RELEASES.items() if counts["rows"] == self.records), None)
        what = "a simulated PTB-XL" if self.simulated else f"PTB-XL {release or '(no known release)'}"
        lines = [
            f"{self.dest}: {what}, {self.rate_hz} Hz: {self.records:,} records, complete: "
            f"all {self.files:,} files are there and match {SUMS_FILE}.",
            f"{self.fetched:,} files ({_megabytes(self.fetched_bytes)}) came in {self.seconds:.1f} s; "
            f"{self.files - self.fetched:,} were there already; {self.replaced:,} with another content were replaced.",
        ]
        if not self.simulated:
            lines.append(f"Licence: {releases.LICENCE}. Whoever uses it cites:")
            lines += [f"- {line}" for line in (releases.CITATIONS[release or next(iter(RELEASES))], *releases.PAPERS)]
        tree = shlex.quote(str(self.dest))
        lines.append(
            f"Next: make run DATA={tree}"
            if self.rate_hz == FS_HZ
            else f"Next: mlflow run . --env-manager local -e ingest -P source={tree} -P rate={self.rate_hz} "
            f"-P workspace=workspace/ptbxl-{self.rate_hz} (the models train on the {FS_HZ:g} Hz records)"
        )
        return "\n".join(lines)


def require_free_or_ptbxl(dest: Path) -> None:
    """Stop where a folder holds something else."""
    try:
        present = {entry.name for entry in dest.iterdir()} if dest.exists() else set()
    except OSError as error:
        raise LeadwiseError(f"{dest}: cannot be written: {error.strerror or error}") from error
    others = sorted(name for name in present - {"lost+found"} if not name.startswith(".") and not name.endswith(".zip"))
    if others and not present & set(_TREE):
        raise LeadwiseError(
            f"{dest}: holds other files ({others[0]}) and no PTB-XL; name a folder that is empty or does not exist"
        )


def complete(
    dest: Path,
    raw_sums: bytes,
    rate_hz: int,
    get: Callable[[str, str], bytes],
    size_of: Callable[[str], int],
    jobs: int,
    go_on: str,
) -> Arrived:
    """Put what is not there yet into the tree, as many files at a time as there are ``jobs``.

    ``get(path, sum)`` gives a content that has this sum, or raises ``FileError``; ``size_of(path)`` says how many bytes
    it will take, as far as that is known beforehand; ``go_on`` tells what to do if the tree cannot be completed.
    """
    from tqdm import tqdm

    started = time.perf_counter()
    listed = releases.parse_sha256sums(raw_sums, SUMS_FILE)
    sums = {name: listed[name] for name in releases.needed_files(listed, rate_hz)}
    if releases.SIMULATION_FILE not in sums and (dest / releases.SIMULATION_FILE).exists():
        raise LeadwiseError(f"{dest}: holds a simulated tree; real records are never mixed with it")
    with tqdm(total=len(sums), desc="checking what is there", unit="file", disable=None) as bar:
        states = releases.check_files(dest, sums, progress=bar.update)
    missing = [name for name, state in states.items() if state != "whole"]
    sizes: dict[str, int] = {}
    failures: dict[str, str] = {}
    with _room_in(dest, sum(map(size_of, missing))) as staging, ThreadPool(jobs) as pool:
        # Threads of a pool are daemons: one that hangs in a connection does not delay Ctrl-C.
        if not (dest / SUMS_FILE).is_file() or (dest / SUMS_FILE).read_bytes() != raw_sums:
            _place(dest, SUMS_FILE, raw_sums, staging)

        def fetch(name: str) -> tuple[str, int | LeadwiseError]:
            try:
                return name, _place(dest, name, get(name, sums[name]), staging)
            except LeadwiseError as error:
                return name, error

        arriving = pool.imap_unordered(fetch, missing)
        for name, size in tqdm(arriving, "fetching", len(missing), unit="file", disable=None):
            if isinstance(size, int):
                sizes[name] = size
            elif isinstance(size, FileError):
                failures[name] = str(size)
            else:
                there = f"{len(sums) - len(missing) + len(sizes):,} of {len(sums):,} files are there and whole"
                raise LeadwiseError(f"{size}. Stopped: {there}. {go_on}") from size
    if failures:
        shown = [f"\n  {name}: {reason}" for name, reason in list(failures.items())[:5]]
        more = f"\n  and {len(failures) - 5:,} more" if len(failures) > 5 else ""
        raise LeadwiseError(
            f"{dest}: {len(failures):,} of {len(sums):,} files could not be had; the others are there and whole. "
            f"{go_on}.{''.join(shown)}{more}"
        )
    return Arrived(
        dest=dest,
        rate_hz=rate_hz,
        records=sum(name.endswith(".hea") for name in sums),
        simulated=releases.SIMULATION_FILE in sums,
        files=len(sums),
        fetched=len(sizes),
        replaced=list(states.values()).count("damaged"),
        fetched_bytes=sum(sizes.values()),
        seconds=time.perf_counter() - started,
    )


@contextmanager
def _room_in(dest: Path, needed: int) -> Iterator[Path]:
    """Make the folder, which goes again if nothing comes, and yield one in it for files that are not whole yet."""
    is_new = not dest.exists()
    try:
        dest.mkdir(parents=True, exist_ok=True)
        if needed > (free := shutil.disk_usage(dest).free):
            raise LeadwiseError(
                f"{dest}: about {_megabytes(needed)} are needed and {_megabytes(free)} are free on its disk; nothing "
                "was fetched. Free some space, or name a folder on another disk"
            )
        with temporary_folder("download", dest) as staging:
            yield staging
    except OSError as error:
        raise LeadwiseError(f"{dest}: cannot be written: {error.strerror or error}") from error
    finally:
        if is_new:
            with suppress(OSError):
                dest.rmdir()


def _place(dest: Path, name: str, content: bytes, staging: Path) -> int:
    """Write a file beside, then rename it; returns its size.

    There is no wait for the disk: after a power failure the next call finds by its sum what did not get there.
    """
    beside, target = staging / name.replace("/", "_"), dest / name
    try:
        beside.write_bytes(content)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        if error.errno in _OF_ONE_FILE and name != SUMS_FILE:
            raise FileError(f"cannot be written: {error.strerror}") from error
        raise LeadwiseError(f"{target}: cannot be written: {error.strerror or error}") from error
    return len(content)


def _megabytes(size: float) -> str:
    """A number of bytes as people read it (1 MB = 1,000,000 bytes)."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def unpack_zip(archive: Path, dest: Path, *, release: str | None = None, rate_hz: int = 100) -> Arrived:
    """Bring PTB-XL out of a zip archive into a folder, or what of it is not there yet.

    Files are compared with the archive's ``SHA256SUMS.txt``; where it has none, with the one that was put into ``dest``
    before.

    Args:
        archive: the zip file; the tree may lie in its one top folder, whatever its name, or at its top.
        dest: the tree's folder: new, empty or a PTB-XL tree.
        release: the release that it should be; None: any.
        rate_hz: 100 or 500.

    Raises:
        LeadwiseError: the archive cannot be read, one of its names leaves the folder (nothing was written then), or the
            tree could not be completed; the message names what is missing and why.
    """
    if rate_hz not in releases.RATES_HZ:
        raise LeadwiseError(f"received {rate_hz} Hz; allowed: {' or '.join(map(str, releases.RATES_HZ))} Hz")
    with _opened(archive) as opened:
        members = _members(opened, archive)
        require_free_or_ptbxl(dest)
        if SUMS_FILE in members:
            raw_sums = _read(opened, members[SUMS_FILE])
        elif (dest / SUMS_FILE).is_file():
            raw_sums = (dest / SUMS_FILE).read_bytes()
        else:
            raise LeadwiseError(
                f"{archive}: holds no {SUMS_FILE}, so nothing in it can be checked, and nothing was unpacked. Put "
                f"PhysioNet's (https://physionet.org/files/ptb-xl/1.0.3/{SUMS_FILE}) into {dest} and give the same "
                "command again"
            )
        if problem := releases.listing_problem(
            releases.parse_sha256sums(raw_sums, f"{archive}: {SUMS_FILE}"), rate_hz, release
        ):
            raise LeadwiseError(f"{archive}: its {SUMS_FILE} {problem}; PTB-XL's is expected")

        def get(name: str, digest: str) -> bytes:
            if name not in members:
                raise FileError("not in the archive")
            content = _read(opened, members[name])
            if problem := releases.content_problem(content, digest):
                raise FileError(problem)
            return content

        def size_of(name: str) -> int:
            """In whole blocks, if the archive tells the truth."""
            return -(-min(members[name].file_size, LARGEST_FILE) // 4096) * 4096 if name in members else 0

        go_on = "A whole archive, or the same command without --from-zip, goes on from here"
        return complete(dest, raw_sums, rate_hz, get, size_of, 1, go_on)


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError as error:
        raise LeadwiseError(f"{archive}: cannot be read: {error.strerror or error}") from error
    except BAD_ZIP as error:
        raise LeadwiseError(
            f"{archive}: is no whole zip archive ({archive.stat().st_size:,} bytes; {error}). If its download was cut "
            "short, fetch it again; PhysioNet's has about 1.7 GB"
        ) from error


def _members(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Path in the tree -> its entry in the archive."""
    found = {}
    for entry in opened.infolist():
        # ZipFile cuts a name at a zero byte and turns separators round; what was stored is what is judged.
        name = entry.orig_filename.removesuffix("/")
        if problem := releases.path_problem(name):
            raise LeadwiseError(f"{archive}: the name {releases.shortened(name)} {problem}; nothing was unpacked")
        found[name] = entry
    table = releases.REQUIRED_TABLES[0]
    tops = {name.removesuffix(table) for name in found if name == table or re.fullmatch(rf"[^/]+/{table}", name)}
    if len(tops) != 1 and "" not in tops:
        what = f"several trees ({', '.join(top[:-1] for top in sorted(tops)[:3])})" if tops else f"no {table}"
        raise LeadwiseError(f"{archive}: holds {what}; PhysioNet's archive of PTB-XL has one, in its one top folder")
    top = "" if "" in tops else tops.pop()
    return {name.removeprefix(top): entry for name, entry in found.items() if name.startswith(top)}


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member; no more than a file of PTB-XL can have."""
    try:
        if member.file_size > LARGEST_FILE:
            raise ValueError(f"{member.file_size:,} bytes; no file of PTB-XL has more than {LARGEST_FILE:,}")
        # ZipFile gives no more than the declared size, and compares the CRC at its end.
        return opened.read(member)
    except (*BAD_ZIP, OSError) as error:
        raise FileError(f"cannot be read from the archive: {type(error).__name__}: {error}"[:250]) from error
