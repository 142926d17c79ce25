"""Admission control: what a worker of the server holds of requests, and how their bodies come in."""

import asyncio
import io
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from leadwise.contract import LeadwiseError
from leadwise.serving.request_parsing import LARGEST_BODY, RequestError

if TYPE_CHECKING:
    from starlette.requests import Request

PREFIX = "LEADWISE_"
LARGE_BODY = 2**20
"""Bytes of a body from which on it counts as large: some dozen records, which take memory while they are read."""
AT_ONCE = 2**18
"""Bytes that are unpacked, and that come of it, at a time."""


@dataclass(frozen=True)
class ServerLimits:
    """Limits of one worker; each can be set by an environment variable, ``LEADWISE_`` and its name in capitals.

    Attributes:
        arrival_s: seconds until the headers of a request have arrived, from its first byte or the opening of the
            connection; and from then on until its body has arrived.
        answer_s: seconds from then until its answer has been read by the client; MLflow gives the work itself 60.
        connections: open at a time.
        requests: being received, waiting or worked on at a time.
        held_bytes: of their bodies together.
        large_at_once: requests of more than ``LARGE_BODY`` bytes that are worked on at a time.
    """

    arrival_s: float = 30.0
    answer_s: float = 120.0
    connections: int = 256
    requests: int = 64
    held_bytes: int = 4 * 64 * 2**20
    large_at_once: int = 2

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "ServerLimits":
        """Read the variables that are set.

        Raises:
            LeadwiseError: one is not a number above 0.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            name = f"{PREFIX}{field.name.upper()}"
            if not (text := environment.get(name)):
                continue
            kind: type[float] = float if isinstance(field.default, float) else int
            try:
                given[field.name] = kind(text)
            except ValueError:
                given[field.name] = 0
            if not 0 < given[field.name] < 2**40:
                what = "a whole number" if kind is int else "a number"
                raise LeadwiseError(f"{name}: received {text!r}; {what} above 0 is needed")
        return cls(**given)


class AdmissionControl:
    """What a worker holds of requests; used from its event loop only."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._requests = self._held = 0
        self._large = asyncio.Semaphore(limits.large_at_once)

    @asynccontextmanager
    async def body_of(self, request: "Request") -> AsyncIterator[bytes]:
        """The body, unpacked, when it is its turn to be worked on; the request has its place until the block ends.

        Raises:
            RequestError: it is too large, or does not arrive in time, or the worker holds too much already.
            ClientDisconnect: the client went away.
        """
        if self._requests >= self._limits.requests:
            raise RequestError("busy", "body", "too many requests at once; try again in a moment")
        self._requests += 1
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > self._limits.held_bytes:
                raise RequestError("busy", "body", "too many large requests at once; try again in a moment")
            self._held += size
            held += size

        try:
            _refuse_upgrade(request)
            packed = _is_packed(request)
            body = await _arrived(request, self._limits.arrival_s, hold)
            if packed:
                # Measured first, so that one that is too large takes no memory.
                hold(await asyncio.to_thread(lambda: sum(map(len, _unpack(body)))))
                body = await asyncio.to_thread(lambda: b"".join(_unpack(body)))
            async with self.turn(len(body)):
                yield body
        finally:
            self._requests -= 1
            self._held -= held

    def turn(self, size: int) -> AbstractAsyncContextManager[None]:
        """What a body of ``size`` bytes waits for before it is worked on."""
        return self._large if size > LARGE_BODY else nullcontext()


async def _arrived(request: "Request", seconds: float, hold: Callable[[int], None]) -> bytes:
    # More digits than the limit has are beyond it, and may be more than Python makes a number of.
    announced = request.headers.get("content-length", "").lstrip("0")
    _refuse_size(int(announced[: len(str(LARGEST_BODY)) + 1]) if announced.isdecimal() else 0)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                _refuse_size(size)
                hold(len(part))
                parts.append(part)
    except TimeoutError:
        raise RequestError("too_slow", "body", f"has not arrived within {seconds:g} s") from None
    return b"".join(parts)


def _refuse_size(size: int) -> None:
    if size > LARGEST_BODY:
        raise RequestError("too_large", "body", f"more than {LARGEST_BODY // 2**20} MiB; send fewer records at a time")


def _refuse_upgrade(request: "Request") -> None:
    """Refuse what asks for another protocol: uvicorn's parser leaves out what follows the headers of such a request."""
    connection = ",".join(request.headers.getlist("connection")).lower().split(",")
    if "upgrade" in request.headers and "upgrade" in map(str.strip, connection):
        raise RequestError("upgrade", "Upgrade", "the body was not read; send the request without this header")


def _is_packed(request: "Request") -> bool:
    """Whether a body is in gzip, of all content codings (RFC 9110, section 8.4).

    Raises:
        RequestError: it is in another one.
    """
    coding = ",".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        raise RequestError("content_encoding", "Content-Encoding", "gzip is allowed, or none")
    return "gzip" in coding


def _unpack(body: bytes) -> Iterator[bytes]:
    """Parts of what a body in gzip holds.

    Raises:
        RequestError: it holds more than is allowed, or is not one whole member of gzip.
    """
    packed, source, size = zlib.decompressobj(16 + zlib.MAX_WBITS), io.BytesIO(body), 0
    try:
        while not packed.eof:
            given = packed.unconsumed_tail or source.read(AT_ONCE)
            part = packed.decompress(given, AT_ONCE)
            if not given and not part:
                break
            size += len(part)
            _refuse_size(size)
            yield part
    except zlib.error:
        raise RequestError("not_gzip", "body", "not in gzip, or damaged") from None
    if not packed.eof or packed.unused_data or source.read(1):
        raise RequestError("not_gzip", "body", "cut off, or more follows its end in gzip")
