"""PTB-XL from PhysioNet or its mirror: what is needed and not there yet, in parallel, each file checked."""

import time
from collections.abc import Sequence
from pathlib import Path

from leadwise.contract import LeadwiseError
from leadwise.data.checksums import SUMS_FILE, ChecksumError, content_problem, parse_sha256sums
from leadwise.data.download.arrival import Arrival, Arrived
from leadwise.data.download.landing import DownloadError, Landing, NotPlaced
from leadwise.data.download.mirrors import AllSourcesDown, Mirrors, NotFetched
from leadwise.data.download.progress import Progress, note
from leadwise.data.download.published import RATES_HZ, RELEASES, SOURCES, expected_size, listing_problem
from leadwise.data.download.workers import Workers

JOBS = 16
MOST_JOBS = 64
FIRST_TRIES = 3
"""For the first file: who has no network wants to know soon."""


def download(
    dest: Path,
    *,
    release: str = next(iter(RELEASES)),
    rate_hz: int = 100,
    sources: Sequence[str] = SOURCES,
    jobs: int = JOBS,
    timeout_s: float = 30.0,
    tries: int = 6,
    backoff_s: float = 1.0,
) -> Arrived:
    """Bring a release of PTB-XL into a folder, or what of it is not there yet.

    ``SHA256SUMS.txt`` comes first and says what is whole. Any other file appears under its name only when its content
    has the sum that is listed there, whenever the call ends: the next one goes on where this one stopped.

    Args:
        dest: the tree's folder: new, empty or a PTB-XL tree.
        release: one of ``RELEASES``.
        rate_hz: 100 or 500; the records of the other rate are left out (and left alone).
        sources: folders on web servers in the order in which they are asked; ``{release}`` in them is replaced.
        jobs: files fetched at a time.
        timeout_s: how long to wait for a connection, and for the next bytes.
        tries: of each file at each source, before the next source is asked.
        backoff_s: pause after the first failure; doubled after each further one.

    Raises:
        DownloadError: the tree could not be completed; the message names what is missing and why.
        LeadwiseError: an argument is out of range.
    """
    started = time.perf_counter()
    if release not in RELEASES or rate_hz not in RATES_HZ or not 1 <= jobs <= MOST_JOBS:
        raise LeadwiseError(
            f"received release {release}, {rate_hz} Hz, {jobs} jobs; allowed: release {' or '.join(RELEASES)}, "
            f"{' or '.join(map(str, RATES_HZ))} Hz, 1 to {MOST_JOBS} jobs"
        )
    urls = [url.replace("{release}", release) for url in sources]
    with (
        Landing(dest) as landing,
        Mirrors(urls, connections=jobs, timeout_s=timeout_s, tries=tries, backoff_s=backoff_s, notice=note) as mirrors,
    ):
        raw, listed = _fetch_list(mirrors, release, rate_hz)
        arrival = Arrival.begin(landing, raw, listed, rate_hz, expected_size, started)
        if arrival.missing:
            _fetch_missing(arrival, mirrors, jobs)
        return arrival.finish()


def _fetch_list(mirrors: Mirrors, release: str, rate_hz: int) -> tuple[bytes, dict[str, str]]:
    """``SHA256SUMS.txt``, as it is and read, from the first source whose list is that of this release."""

    def problem(content: bytes) -> str | None:
        try:
            return listing_problem(parse_sha256sums(content, SUMS_FILE), rate_hz, release)
        except ChecksumError as error:
            return str(error)

    try:
        raw = mirrors.fetch_first(SUMS_FILE, problem, tries=FIRST_TRIES)
    except (NotFetched, AllSourcesDown) as error:
        raise DownloadError(f"nothing could be fetched, not even the list of files: {error}") from error
    return raw, parse_sha256sums(raw, SUMS_FILE)


def _fetch_missing(arrival: Arrival, mirrors: Mirrors, jobs: int) -> None:
    """Fetch what is missing: one file's trouble is its own, and what concerns all files ends it at once."""

    def fetch(name: str) -> int:
        content = mirrors.fetch(name, lambda content: content_problem(content, arrival.sums[name]))
        return arrival.place(name, content)

    missing = arrival.missing
    with Progress("fetching", len(missing)) as progress, Workers(missing, fetch, jobs, stop=mirrors.stop) as workers:
        for name, result in workers.results():
            if isinstance(result, int):
                progress.update(1, result)
            elif isinstance(result, (NotFetched, NotPlaced)):
                arrival.failed(name, result.reason)
                progress.update(1)
            elif isinstance(result, (AllSourcesDown, DownloadError)):
                raise arrival.ended_early(result) from result
            else:
                raise result
