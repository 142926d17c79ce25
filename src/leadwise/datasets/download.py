"""PTB-XL from PhysioNet or its mirror: what is needed and not there yet, each file checked.

A file appears under its name only when its content has the sum that ``SHA256SUMS.txt`` lists, however the call ends:
the next one goes on where this one stopped.
"""

import errno
import math
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from leadwise.atomic import temporary_folder
from leadwise.contract import FS_HZ, LeadwiseError
from leadwise.datasets.checksums import SUMS_FILE, ChecksumError, check_files, content_problem, parse_sha256sums
from leadwise.datasets.releases import (
    CITATIONS,
    LICENCE,
    PAPERS,
    RATES_HZ,
    RELEASES,
    REQUIRED_TABLES,
    SIMULATION_FILE,
    SOURCES,
    expected_size,
    listing_problem,
    needed_files,
)

JOBS, MOST_JOBS = 16, 64
LARGEST_FILE = 64 * 2**20
"""Bytes that no file of PTB-XL comes near: the largest, the table of records, has 7 MB."""
FAILURES_IN_A_ROW = 4
"""So many files given up on for trouble or wrong content, and a source is not asked again in this call."""
LONGEST_WAIT = 30
"""Between two tries, whatever the server asks for, in units of the first pause."""
SLOWEST_BYTES_S = 500
"""A file that comes more slowly, after the first time-out, counts as stalled."""

_NOT_THERE = (401, 403, 404, 410)
"""No use in asking again. S3 says 403 of what it does not list."""
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_OF_ONE_FILE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG)
"""Something stands where one file belongs; after any other error, a full disk say, no other can be written either."""
_TREE = (SUMS_FILE, *REQUIRED_TABLES, "records100", "records500")


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
        lines = [
            f"{self.dest}: {what}, {self.rate_hz} Hz: {self.records:,} records, complete: "
            f"all {self.files:,} files are there and match {SUMS_FILE}.",
            f"{self.fetched:,} files ({_megabytes(self.fetched_bytes)}) came in {self.seconds:.1f} s; "
            f"{self.files - self.fetched:,} were there already; {self.replaced:,} with another content were replaced.",
        ]
        if not self.simulated:
            lines.append(f"Licence: {LICENCE}. Whoever uses it cites:")
            lines += [f"- {line}" for line in (CITATIONS[release or next(iter(RELEASES))], *PAPERS)]
        tree = shlex.quote(str(self.dest))
        lines.append(
            f"Next: make run DATA={tree}"
            if self.rate_hz == FS_HZ
            else f"Next: mlflow run . --env-manager local -e ingest -P source={tree} -P rate={self.rate_hz} "
            f"-P workspace=workspace/ptbxl-{self.rate_hz} (the models train on the {FS_HZ:g} Hz records)"
        )
        return "\n".join(lines)


def download(
    dest: Path,
    *,
    release: str = next(iter(RELEASES)),
    rate_hz: int = 100,
    sources: Sequence[str] = SOURCES,
    jobs: int = JOBS,
    timeout_s: float = 30.0,
    tries: int = 4,
    backoff_s: float = 1.0,
) -> Arrived:
    """Bring a release of PTB-XL into a folder, or what of it is not there yet.

    Args:
        dest: the tree's folder: new, empty or a PTB-XL tree.
        release: one of ``RELEASES``.
        rate_hz: 100 or 500; the records of the other rate are left out (and left alone).
        sources: folders on web servers in the order in which they are asked; ``{release}`` in them is replaced.
        jobs: files fetched at a time.
        timeout_s: how long to wait for a connection, and for the next bytes.
        tries: of each file at each source, before the next source is asked.
        backoff_s: pause after a failure; doubled after each further one.

    Raises:
        DownloadError: the tree could not be completed; the message names what is missing and why.
        LeadwiseError: an argument is out of range.
    """
    if release not in RELEASES or rate_hz not in RATES_HZ or not 1 <= jobs <= MOST_JOBS:
        raise LeadwiseError(
            f"received release {release}, {rate_hz} Hz, {jobs} jobs; allowed: release {' or '.join(RELEASES)}, "
            f"{' or '.join(map(str, RATES_HZ))} Hz, 1 to {MOST_JOBS} jobs"
        )
    urls = [_checked(url.replace("{release}", release)) for url in sources]
    web = _Web(urls, jobs, timeout_s, tries, backoff_s)

    def no_list(content: bytes) -> str | None:
        try:
            return listing_problem(parse_sha256sums(content, SUMS_FILE), rate_hz, release)
        except ChecksumError as error:
            return str(error)

    require_free_or_ptbxl(dest)
    try:
        raw_sums = web.fetch(SUMS_FILE, no_list)
    except FileError as error:
        raise DownloadError(f"nothing could be fetched, not even {SUMS_FILE}: {error}") from error

    def get(name: str, digest: str) -> bytes:
        return web.fetch(name, lambda content: content_problem(content, digest))

    return complete(dest, raw_sums, rate_hz, get, expected_size, jobs, "The same command goes on from here")


def require_free_or_ptbxl(dest: Path) -> None:
    """Stop where a folder holds something else."""
    try:
        present = {entry.name for entry in dest.iterdir()} if dest.exists() else set()
    except OSError as error:
        raise DownloadError(f"{dest}: cannot be written: {error.strerror or error}") from error
    others = sorted(name for name in present - {"lost+found"} if not name.startswith(".") and not name.endswith(".zip"))
    if others and not present & set(_TREE):
        raise DownloadError(
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
    """Put what is not there yet into the tree, several files at a time.

    Args:
        dest: the tree's folder.
        raw_sums: the content of the list of sums.
        rate_hz: of the records that are wanted.
        get: path and sum -> content that has this sum; ``FileError`` where there is none.
        size_of: bytes that a file will take, as far as that is known beforehand.
        jobs: files at a time.
        go_on: what to do if it cannot be completed.
    """
    from tqdm import tqdm

    started = time.perf_counter()
    listed = parse_sha256sums(raw_sums, SUMS_FILE)
    sums = {name: listed[name] for name in needed_files(listed, rate_hz)}
    if SIMULATION_FILE not in sums and (dest / SIMULATION_FILE).exists():
        raise DownloadError(f"{dest}: holds a simulated tree; real records are never mixed with it")
    with tqdm(total=len(sums), desc="checking what is there", unit="file", disable=None) as bar:
        states = check_files(dest, sums, progress=bar.update)
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
                raise DownloadError(f"{size}. Stopped: {there}. {go_on}") from size
    if failures:
        shown = [f"\n  {name}: {reason}" for name, reason in list(failures.items())[:5]]
        more = f"\n  and {len(failures) - 5:,} more" if len(failures) > 5 else ""
        raise DownloadError(
            f"{dest}: {len(failures):,} of {len(sums):,} files could not be had; the others are there and whole. "
            f"{go_on}.{''.join(shown)}{more}"
        )
    return Arrived(
        dest=dest,
        rate_hz=rate_hz,
        records=sum(name.endswith(".hea") for name in sums),
        simulated=SIMULATION_FILE in sums,
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
            raise DownloadError(
                f"{dest}: about {_megabytes(needed)} are needed and {_megabytes(free)} are free on its disk; nothing "
                "was fetched. Free some space, or name a folder on another disk"
            )
        with temporary_folder("download", dest) as staging:
            yield staging
    except OSError as error:
        raise DownloadError(f"{dest}: cannot be written: {error.strerror or error}") from error
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
        raise DownloadError(f"{target}: cannot be written: {error.strerror or error}") from error
    return len(content)


class _AbsentError(Exception):
    """This source does not have the file: no use in asking again."""


class _BrokenError(Exception):
    """No answer, or a broken one."""


class _WrongBodyError(_BrokenError):
    """An answer that ended early, or with a wrong content."""


class _Web:
    """Servers that hold the same files, in the order in which they are asked. Threads share one.

    urllib3 asks again after trouble, with back-off, or when the server says (RFC 9110, 10.2.3).
    """

    def __init__(self, urls: list[str], connections: int, timeout_s: float, tries: int, backoff_s: float) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        if not urls:
            raise LeadwiseError("no source to download from; at least one address is needed")
        self._failures = dict.fromkeys(urls, 0)
        self._urls, self._timeout_s = urls, timeout_s
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._settings: dict[str, dict[str, Any]] = {
            url: dict(self._session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None))
            for url in urls
        }
        # Proxies and certificates have been read: to do so for each of 43,600 files takes longer than all else.
        self._session.trust_env = False
        retry = Retry(
            tries - 1,
            status_forcelist=_PASSING,
            raise_on_status=False,
            backoff_factor=backoff_s,
            backoff_jitter=backoff_s,
            backoff_max=LONGEST_WAIT * backoff_s,
            retry_after_max=math.ceil(LONGEST_WAIT * backoff_s),
        )
        adapter = HTTPAdapter(pool_connections=len(urls) + 4, pool_maxsize=connections, max_retries=retry)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def fetch(self, path: str, problem: Callable[[bytes], str | None]) -> bytes:
        """The content of a file, by the first source whose content has no problem.

        The source that gives the list of sums is asked first from then on.

        Raises:
            FileError: every source was asked, and none gave it; the message says why, source by source.
            DownloadError: no source answers any more.
        """
        reasons: dict[str, str] = {}
        for url in list(self._urls):
            if self._failures[url] >= FAILURES_IN_A_ROW:
                continue
            try:
                try:
                    content = self._get(url, path, problem, {})
                except _WrongBodyError:
                    content = self._get(url, path, problem, {"Cache-Control": "no-cache"})
            except (_AbsentError, _BrokenError) as error:
                reasons[url] = f"{_host(url)}: {error}"
                self._failures[url] += isinstance(error, _BrokenError)
                if self._failures[url] == FAILURES_IN_A_ROW:
                    _note(f"{reasons[url]}. Given up on after {FAILURES_IN_A_ROW} files in a row")
            else:
                self._failures[url] = 0
                if reasons and path == SUMS_FILE:
                    _note(f"{'; '.join(reasons.values())}. Going on with {_host(url)}")
                    self._urls.sort(key=reasons.__contains__)
                return content
        if all(failures >= FAILURES_IN_A_ROW for failures in self._failures.values()):
            raise DownloadError("; ".join(reasons.values()) or "no source answers any more")
        raise FileError("; ".join(reasons.values()))

    def _get(self, url: str, path: str, problem: Callable[[bytes], str | None], headers: Mapping[str, str]) -> bytes:
        """The whole body, whose length the headers tell; no more than a file of PTB-XL can have."""
        import requests
        from urllib3.exceptions import HTTPError

        started, body = time.monotonic(), bytearray()
        kind: type[Exception] = _BrokenError
        try:
            address = url + quote(path)
            with self._session.get(address, timeout=self._timeout_s, headers=headers, **self._settings[url]) as answer:
                if url.startswith("https:") and not answer.url.startswith("https:"):
                    raise _AbsentError(f"sent on to {_shown(answer.url)}, which is not encrypted")
                if answer.status_code != 200:
                    kind = _AbsentError if answer.status_code in _NOT_THERE else _BrokenError
                    raise kind(f"{answer.status_code} {answer.reason}".strip())
                kind = _WrongBodyError
                while chunk := answer.raw.read1(2**20, decode_content=True):
                    body += chunk
                    elapsed = time.monotonic() - started
                    if len(body) > LARGEST_FILE:
                        raise kind(f"wrong content: more than {LARGEST_FILE:,} bytes")
                    if elapsed > self._timeout_s and len(body) < SLOWEST_BYTES_S * elapsed:
                        raise kind(f"stalled: it came more slowly than {SLOWEST_BYTES_S} bytes a second")
        except (requests.RequestException, HTTPError, OSError) as error:
            raise kind(_plain_reason(error, self._timeout_s)) from error
        if reason := problem(bytes(body)):
            raise _WrongBodyError(reason)
        return bytes(body)


def _plain_reason(error: Exception, timeout_s: float) -> str:
    """What a failed request means, without the libraries' nesting."""
    if "timed out" in str(error):
        return f"stalled: nothing came for {timeout_s:g} s"
    told = re.search(r"\[(?:Errno -?\d+|SSL[^]]*)\] ([^'\"()]+)", str(error))
    return f"no connection: {told[1].strip()}" if told else f"the connection was cut ({type(error).__name__})"


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise LeadwiseError(
            f"source: received {_shown(url)}; allowed: the http:// or https:// address of a folder with {SUMS_FILE}"
        )
    return url.rstrip("/") + "/"


def _shown(url: str) -> str:
    """An address for a message: short, and without a password."""
    return repr(url.replace(urlsplit(url).netloc, _host(url), 1)[:200])


def _host(url: str) -> str:
    """How messages name a source: without a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _note(text: str) -> None:
    """Say something on standard error beside whatever bar is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def _megabytes(size: float) -> str:
    """A number of bytes as people read it (1 MB = 1,000,000 bytes)."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
