"""The bodies of requests as they arrive: in time, within their size, and no more at once than one worker can hold."""

import asyncio
import io
import zlib
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from leadwise.serving.envelope import refuse_size
from leadwise.serving.errors import RequestError
from leadwise.serving.limits import LARGEST_BODY
from leadwise.serving.server_limits import LARGE_BODY, ServerLimits

if TYPE_CHECKING:
    from starlette.requests import Request

AT_ONCE = 2**18
"""Bytes that are unpacked, and that come of it, at a time."""


class Intake:
    """What a worker holds of requests; used from its event loop only."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._requests = 0
        self._bytes = 0
        self._large = asyncio.Semaphore(limits.large_at_once)

    @contextmanager
    def admitted(self) -> Iterator["Admitted"]:
        """The place of one request, until the end of the block.

        Raises:
            RequestError: there is none left.
        """
        if self._requests >= self._limits.requests:
            raise RequestError("busy", "body", "too many requests at once; try again in a moment")
        self._requests += 1
        admitted = Admitted(self)
        try:
            yield admitted
        finally:
            self._requests -= 1
            self._bytes -= admitted.size

    def hold(self, size: int) -> None:
        """Count ``size`` more bytes.

        Raises:
            RequestError: they would be more than one worker holds.
        """
        if self._bytes + size > self._limits.held_bytes:
            raise RequestError("busy", "body", "too many large requests at once; try again in a moment")
        self._bytes += size

    @property
    def arrival_s(self) -> float:
        """Seconds for a body to arrive."""
        return self._limits.arrival_s

    def turn(self, size: int) -> AbstractAsyncContextManager[None]:
        """What a body of ``size`` bytes waits for before it is worked on."""
        return self._large if size > LARGE_BODY else nullcontext()


class Admitted:
    """One request that has a place.

    Attributes:
        size: bytes of its body so far.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0

    async def body(self, request: "Request") -> bytes:
        """The body, of which no more is kept than is allowed.

        Raises:
            RequestError: it is too large, or does not arrive in time, or the worker holds too much already.
            ClientDisconnect: the client went away.
        """
        _refuse_upgrade(request)
        packed = _is_packed(request)
        # More digits than the limit has are beyond it, and may be more than Python makes a number of.
        announced = request.headers.get("content-length", "").lstrip("0")
        refuse_size(int(announced[: len(str(LARGEST_BODY)) + 1]) if announced.isdecimal() else 0)
        parts = []
        seconds = self._intake.arrival_s
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    refuse_size(self.size + len(part))
                    self._intake.hold(len(part))
                    self.size += len(part)
                    parts.append(part)
        except TimeoutError:
            raise RequestError("too_slow", "body", f"has not arrived within {seconds:g} s") from None
        body = b"".join(parts)
        return await self._unpacked(body) if packed else body

    async def _unpacked(self, body: bytes) -> bytes:
        """A body in gzip as it was before: measured first, so that one that is too large takes no memory."""
        size = await asyncio.to_thread(lambda: sum(map(len, _unpack(body))))
        self._intake.hold(size)
        self.size += size
        return await asyncio.to_thread(lambda: b"".join(_unpack(body)))


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
            refuse_size(size)
            yield part
    except zlib.error:
        raise RequestError("not_gzip", "body", "not in gzip, or damaged") from None
    if not packed.eof or packed.unused_data or source.read(1):
        raise RequestError("not_gzip", "body", "cut off, or more follows its end in gzip")
