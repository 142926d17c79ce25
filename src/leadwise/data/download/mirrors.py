"""One file from the first of several web servers that gives it right: retried with back-off, then from the next one."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from leadwise.contract import LeadwiseError
from leadwise.data.download.answers import Absent, Trouble, Wrong, check_status, plain_reason
from leadwise.data.download.published import LARGEST_FILE

if TYPE_CHECKING:
    import requests

TROUBLE_LIMIT = 4
"""So many files in a row given up on for trouble with a server, and it is not asked again in this call."""
WRONG_LIMIT = 50
"""The same for wrong content: a page of a hotel's network instead of the files, say."""

LONGEST_WAIT_S = 30.0
LONGEST_RETRY_AFTER_S = 60.0
"""A server that asks for a longer pause is left for the next one."""
SLOWEST_BYTES_S = 500
"""A file that comes more slowly, after the first time-out, counts as stalled."""

Check = Callable[[bytes], str | None]
"""What is wrong with the content of a file; None if nothing is."""


class NotFetched(LeadwiseError):
    """No source gave a file; ``reason`` says why, source by source."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


class AllSourcesDown(LeadwiseError):
    """No source answers any more: nothing else can be fetched."""


class Stopped(Exception):
    """The download ends: give up at once."""


@dataclass
class Source:
    """A folder on a web server, how to reach it (proxies, certificates), and how it has done so far."""

    url: str
    settings: dict[str, Any]
    failures: dict[type[Exception], int] = field(default_factory=dict)
    last: str = ""
    down: str | None = None
    not_before: float = 0.0

    @property
    def host(self) -> str:
        """How messages name it."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


class Mirrors:
    """Servers that hold the same files, in the order in which they are asked. Threads may share one.

    Connections are kept open; proxies and certificates are taken from the environment as ``requests`` does.

    Args:
        urls: folders, ``http://`` or ``https://``.
        connections: files fetched at a time.
        timeout_s: how long to wait for a connection, and for the next bytes.
        tries: of one file at one source, before the next source is asked.
        backoff_s: pause after the first failure; doubled after each further one, with a random part.
        notice: told about what takes long.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connections: int,
        timeout_s: float = 30.0,
        tries: int = 6,
        backoff_s: float = 1.0,
        notice: Callable[[str], object] = lambda text: None,
    ) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self._timeout_s, self._tries, self._backoff_s, self._notice = timeout_s, tries, backoff_s, notice
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self.sources = [Source(_checked(url), _settings(self._session, url)) for url in urls]
        if not self.sources:
            raise LeadwiseError("no source to download from; at least one address is needed")
        # The environment has been read: to do so again for each of 43,600 files takes longer than all else.
        self._session.trust_env = False
        adapter = HTTPAdapter(pool_connections=len(self.sources) + 4, pool_maxsize=connections)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def __enter__(self) -> "Mirrors":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """Let every ``fetch`` that waits or is about to ask give up with ``Stopped``."""
        self._stop.set()

    def fetch_first(self, path: str, check: Check, *, tries: int) -> bytes:
        """Fetch the file that everything else depends on; the source that gives it is asked first from then on."""
        content = self.fetch(path, check, tries=tries)
        failed = [source for source in self.sources if source.failures]
        if failed:
            self.sources = [source for source in self.sources if not source.failures] + failed
            first = self.sources[0].host
            self._notice(f"{'; '.join(f'{source.host}: {source.last}' for source in failed)}. Going on with {first}")
        return content

    def fetch(self, path: str, check: Check, *, tries: int | None = None) -> bytes:
        """The content of a file, by the first source whose content passes the check.

        Args:
            path: below the sources' folders.
            check: what is wrong with a content; None if nothing is.
            tries: at each source, if not the usual number.

        Raises:
            NotFetched: every source was asked, and none gave it.
            AllSourcesDown: no source answers any more.
            Stopped: ``stop`` was called.
        """
        reasons = []
        for source in self.sources:
            if source.down:
                reasons.append(f"{source.host}: {source.down}")
                continue
            try:
                content = self._fetch_from(source, path, check, tries or self._tries)
            except (Absent, Wrong, Trouble) as failure:
                reasons.append(f"{source.host}: {failure}")
                self._remember(source, failure)
            else:
                source.failures.clear()
                return content
        if all(source.down for source in self.sources):
            raise AllSourcesDown("; ".join(f"{source.host}: {source.down}" for source in self.sources))
        raise NotFetched(path, "; ".join(reasons))

    def _fetch_from(self, source: Source, path: str, check: Check, tries: int) -> bytes:
        """Ask one source, again after trouble, and once more after wrong content."""
        wrong_before = False
        for attempt in range(1, tries + 1):
            self._wait(source.not_before - time.monotonic())
            if source.down:
                raise Trouble(source.down)
            try:
                content = self._get(source, path, anew=wrong_before)
                if problem := check(content):
                    raise Wrong(problem)
            except Wrong as wrong:
                if wrong_before or attempt == tries:
                    raise Wrong(f"twice {wrong}" if wrong_before else str(wrong)) from None
                wrong_before = True
            except Trouble as trouble:
                if attempt == tries or (trouble.wait_s or 0) > LONGEST_RETRY_AFTER_S:
                    raise Trouble(f"{trouble} (tried {attempt} times)" if attempt > 1 else str(trouble)) from None
                self._pause(source, attempt, trouble)
            else:
                return content
        raise AssertionError(f"the last of {tries} tries returns or raises")

    def _pause(self, source: Source, attempt: int, trouble: Trouble) -> None:
        """Wait as long as the server asked for, all threads alike; otherwise exponentially, with a random part."""
        if trouble.wait_s is not None:
            if trouble.wait_s >= 5 and source.not_before < time.monotonic():
                self._notice(f"{source.host}: {trouble}; asked to wait {trouble.wait_s:.0f} s")
            source.not_before = max(source.not_before, time.monotonic() + trouble.wait_s)
        self._wait(min(self._backoff_s * 2 ** (attempt - 1), LONGEST_WAIT_S) * random.uniform(0.5, 1.0))

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(max(seconds, 0.0)):
            raise Stopped

    def _remember(self, source: Source, failure: Exception) -> None:
        """Set a source aside that has failed too often in a row."""
        kind, limits = type(failure), {Trouble: TROUBLE_LIMIT, Wrong: WRONG_LIMIT}
        with self._lock:
            source.failures[kind] = source.failures.get(kind, 0) + 1
            source.last = str(failure)
            if kind in limits and source.failures[kind] >= limits[kind] and not source.down:
                source.down = f"given up on after {limits[kind]} files in a row: {failure}"
                self._notice(f"{source.host}: {source.down}")

    def _get(self, source: Source, path: str, *, anew: bool) -> bytes:
        """One request."""
        import requests
        from urllib3.exceptions import HTTPError

        headers = {"Cache-Control": "no-cache"} if anew else {}
        url = source.url + quote(path)
        try:
            with self._session.get(url, timeout=self._timeout_s, headers=headers, **source.settings) as response:
                if source.url.startswith("https:") and not response.url.startswith("https:"):
                    raise Absent(f"sent on to {shown(response.url)}, which is not encrypted")
                check_status(response)
                return self._body(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise Trouble(plain_reason(error, self._timeout_s)) from error

    def _body(self, response: "requests.Response") -> bytes:
        """The whole body, whose length the headers tell; no more than a file of PTB-XL can have."""
        started, chunks, size = time.monotonic(), [], 0
        while chunk := response.raw.read1(2**20, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            elapsed = time.monotonic() - started
            if size > LARGEST_FILE:
                raise Wrong(f"more than {LARGEST_FILE:,} bytes")
            if elapsed > self._timeout_s and size < SLOWEST_BYTES_S * elapsed:
                raise Trouble(f"stalled: {size:,} bytes in {elapsed:.0f} s")
            if self._stop.is_set():
                raise Stopped
        return b"".join(chunks)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise LeadwiseError(
            f"source: received {shown(url)}; allowed: the http:// or https:// address of a folder with SHA256SUMS.txt"
        )
    return url.rstrip("/") + "/"


def _settings(session: "requests.Session", url: str) -> dict[str, Any]:
    """Proxies and certificates that the environment names for an address, as arguments of a request."""
    return dict(session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None))


def shown(url: str) -> str:
    """An address for a message: short, and without a password."""
    return repr(url.replace(urlsplit(url).netloc, urlsplit(url).netloc.rpartition("@")[2], 1)[:200])
