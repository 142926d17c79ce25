"""The bodies of requests as they arrive: in time, within their size, and no more at once than one worker can hold."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from leadwise.serving.envelope import refuse_size
from leadwise.serving.errors import RequestError
from leadwise.serving.server_limits import LARGE_BODY, ServerLimits

if TYPE_CHECKING:
    from starlette.requests import Request


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
        announced = request.headers.get("content-length", "")
        refuse_size(int(announced) if announced.isdecimal() and len(announced) < 20 else 0)
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
        return b"".join(parts)
