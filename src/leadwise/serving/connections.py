"""Limits of connections that uvicorn does not have: time for a request to arrive, size of its headers, their number.

Without them a client that sends a header a minute, or headers without end, or does not read its answer, keeps a
connection and its memory for as long as it likes.
"""

import re
from asyncio import TimerHandle, Transport
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from leadwise.serving.admission import ServerLimits

LARGEST_HEAD = 2**16
"""Bytes in a row that bring no part of a body: the request line with all headers, or what follows a chunked body."""
GRACE_S = 2.0
_BEYOND_64_BITS = re.compile(
    rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*?content-length:[ \t]*0*(?P<length>[0-9]{20,})[ \t]*\r\n",
    re.IGNORECASE,
)
"""A request whose length the parser would call invalid, not large."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection under ``limits``: closed when what it has to do is not done in time."""

    limits: ClassVar[ServerLimits] = ServerLimits()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.timer: TimerHandle | None = None
        self.unanswered: list[RequestResponseCycle] = []
        # Since the last byte of a body, or the end of the headers or of the request.
        self.silent_bytes = 0
        # Whether the last request has arrived whole.
        self.arrived = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.close_after(self.limits.arrival_s)
        if len(self.connections) > self.limits.connections:
            self.refuse("503 Service Unavailable", "retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.rest()
        self.nobody_reads()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.silent_bytes += len(data)
        told = _BEYOND_64_BITS.match(data)
        if told is not None and int(told["length"][:25]) >= 2**64:
            self.refuse("413 Content Too Large")
            return
        super().data_received(data)
        if self.silent_bytes > LARGEST_HEAD:
            self.refuse("431 Request Header Fields Too Large")
        elif self.timer is None and not self.transport.is_closing():
            # Line ends before a request stop uvicorn's own timer, and begin nothing.
            self.close_after(self.limits.arrival_s)

    def on_message_begin(self) -> None:
        self.arrived = False
        self.close_after(self.limits.arrival_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.silent_bytes = 0
        # Whoever waits for the body has a moment to say that it did not come.
        self.close_after(self.limits.arrival_s + GRACE_S)
        super().on_headers_complete()
        if self.cycle is not None:
            self.unanswered = [*(cycle for cycle in self.unanswered if not cycle.response_complete), self.cycle]
            if self.parser.should_upgrade():
                # The parser reads nothing after a request for another protocol.
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self.silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.arrived, self.silent_bytes = True, 0
        self.close_after(self.limits.answer_s)
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            # It was refused before its body had come.
            self.rest()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.arrived and self.cycle.response_complete:
            self.rest()
        elif self.arrived:
            # The next request of this connection came with this one, and is worked on now.
            self.close_after(self.limits.answer_s)

    def close_after(self, seconds: float) -> None:
        """Give what is expected now so many seconds."""
        self.rest()
        self.timer = self.loop.call_later(seconds, self.cut_off)

    def rest(self) -> None:
        """Nothing is expected; uvicorn itself closes a connection that stays idle."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def cut_off(self) -> None:
        """Close at once."""
        self.nobody_reads()
        self.transport.abort()

    def nobody_reads(self) -> None:
        """No answer is sent any more: uvicorn itself tells only the last request of a connection that it is lost.

        The others of its pipeline would write to a connection that is closed, and end in a stack trace.
        """
        for cycle in self.unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def refuse(self, status: str, extra: str = "") -> None:
        """Answer without a body, and close."""
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{extra}\r\n"
            self.transport.write(head.encode("ascii"))
            self.transport.close()
