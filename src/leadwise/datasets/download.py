"""PTB-XL from PhysioNet or its mirror: what is needed and not there yet, each file checked.

A file appears under its name only when its content has the sum that ``SHA256SUMS.txt`` lists, however the call ends:
the next one goes on where this one stopped.
"""

import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from leadwise.contract import LeadwiseError
from leadwise.datasets import releases
from leadwise.datasets.completion import LARGEST_FILE, Arrived, FileError, complete, require_free_or_ptbxl
from leadwise.datasets.releases import RELEASES, SUMS_FILE

JOBS, MOST_JOBS = 16, 64
FAILURES_IN_A_ROW = 4
"""So many files given up on for trouble or wrong content, and a source is not asked again in this call."""
LONGEST_WAIT = 30
"""Between two tries, whatever the server asks for, in units of the first pause."""
SLOWEST_BYTES_S = 500
"""A file that comes more slowly, after the first time-out, counts as stalled."""

_NOT_THERE = (401, 403, 404, 410)
"""No use in asking again. S3 says 403 of what it does not list."""
_PASSING = (408, 425, 429, 500, 502, 503, 504)


def download(
    dest: Path,
    *,
    release: str = next(iter(RELEASES)),
    rate_hz: int = 100,
    sources: Sequence[str] = releases.SOURCES,
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
        LeadwiseError: the tree could not be completed; the message names what is missing and why.
        LeadwiseError: an argument is out of range.
    """
    if release not in RELEASES or rate_hz not in releases.RATES_HZ or not 1 <= jobs <= MOST_JOBS:
        raise LeadwiseError(
            f"received release {release}, {rate_hz} Hz, {jobs} jobs; allowed: release {' or '.join(RELEASES)}, "
            f"{' or '.join(map(str, releases.RATES_HZ))} Hz, 1 to {MOST_JOBS} jobs"
        )
    urls = [_checked(url.replace("{release}", release)) for url in sources]
    web = _Web(urls, jobs, timeout_s, tries, backoff_s)

    def no_list(content: bytes) -> str | None:
        try:
            return releases.listing_problem(releases.parse_sha256sums(content, SUMS_FILE), rate_hz, release)
        except LeadwiseError as error:
            return str(error)

    require_free_or_ptbxl(dest)
    try:
        raw_sums = web.fetch(SUMS_FILE, no_list)
    except FileError as error:
        raise LeadwiseError(f"nothing could be fetched, not even {SUMS_FILE}: {error}") from error

    def get(name: str, digest: str) -> bytes:
        return web.fetch(name, lambda content: releases.content_problem(content, digest))

    return complete(dest, raw_sums, rate_hz, get, releases.expected_size, jobs, "The same command goes on from here")


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
            LeadwiseError: no source answers any more.
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
            raise LeadwiseError("; ".join(reasons.values()) or "no source answers any more")
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
