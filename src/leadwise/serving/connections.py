"""Limits of connections that uvicorn does not have: time for a request to arrive, size of its headers, their number.

Without them a client that sends a header a minute, or headers without end, or does not read its answer, keeps a
connection and its memory for as long as it likes. uvicorn has taken its protocol class already when it loads the
application, so the class itself is extended, once per process.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from leadwise.contract import LeadwiseError

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

PREFIX = "LEADWISE_"


_BEYOND_64_BITS = re.compile(
    rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*?content-length:[ \t]*0*(?P<length>[0-9]{20,})[ \t]*\r\n",
    re.IGNORECASE,
)
"""A request whose length the parser would call invalid, not large."""


class ServerLimitError(LeadwiseError):
    """A limit in the environment is not a number above 0; the message names the variable."""


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
            ServerLimitError: one is not a number above 0.
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
                raise ServerLimitError(f"{name}: received {text!r}; {what} above 0 is needed")
        return cls(**given)


LARGE_BODY = 2**20
"""Bytes of a body from which on it counts as large: some dozen records, which take memory while they are read."""
LARGEST_HEAD = 2**16
"""Bytes in a row that bring no part of a body: the request line with all headers, or what follows a chunked body."""


_logger = logging.getLogger(__name__)

_MARK = "leadwise_watch"
_GRACE_S = 2.0
_EMPTY = "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{extra}\r\n"


class Watch:
    """One connection: when it is closed, and how many bytes have come without any part of a body.

    Attributes:
        silent_bytes: since the last byte of a body, or the end of the headers or of the request.
        arrived: whether the last request has arrived whole.
    """

    def __init__(self, protocol: Any, limits: ServerLimits) -> None:
        self._protocol, self._limits = protocol, limits
        self._timer: TimerHandle | None = None
        self._unanswered: list[Any] = []
        self.silent_bytes = 0
        self.arrived = False

    @property
    def waits(self) -> bool:
        """Whether the connection will be closed in time as it stands."""
        return self._timer is not None

    def request_begins(self) -> None:
        """From now on it has to arrive."""
        self.arrived = False
        self._close_after(self._limits.arrival_s)

    def headers_arrived(self) -> None:
        """From now on the body has to arrive; whoever waits for it has a moment to say that it did not."""
        self.silent_bytes = 0
        self._close_after(self._limits.arrival_s + _GRACE_S)

    def answers_with(self, cycle: Any) -> None:
        """uvicorn's ``cycle`` will answer the request whose headers have arrived."""
        self._unanswered = [*(other for other in self._unanswered if not other.response_complete), cycle]

    def nobody_reads(self) -> None:
        """No answer is sent any more: uvicorn itself tells only the last request of a connection that it is lost.

        The others of its pipeline would write to a connection that is closed, and end in a stack trace.
        """
        for cycle in self._unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def request_arrived(self) -> None:
        """From now on it has to be answered, and the answer to be read."""
        self.arrived, self.silent_bytes = True, 0
        self._close_after(self._limits.answer_s)

    def rest(self) -> None:
        """Nothing is expected; uvicorn itself closes a connection that stays idle."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_after(self, seconds: float) -> None:
        self.rest()
        self._timer = self._protocol.loop.call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        self.nobody_reads()
        self._protocol.transport.abort()


def limit_connections(limits: ServerLimits) -> bool:
    """Put uvicorn's connections under limits; tell whether that could be done."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        _logger.warning("httptools is not installed: connections are under no limits")
        return False
    if not all(hasattr(HttpToolsProtocol, name) for name in _EXTENDED):
        _logger.warning("this uvicorn is not the one that Leadwise knows: connections are under no limits")
        return False
    if not hasattr(HttpToolsProtocol, _MARK):
        setattr(HttpToolsProtocol, _MARK, None)
        for name, extended in _EXTENDED.items():
            setattr(HttpToolsProtocol, name, extended(getattr(HttpToolsProtocol, name), limits))
    return True


Method = Callable[..., None]


def _connection_made(original: Method, limits: ServerLimits) -> Method:
    def connection_made(self: Any, transport: "Transport") -> None:
        original(self, transport)
        watch = Watch(self, limits)
        setattr(self, _MARK, watch)
        watch.request_begins()
        if len(self.connections) > limits.connections:
            _refuse(self, "503 Service Unavailable", "retry-after: 1\r\n")

    return connection_made


def _connection_lost(original: Method, limits: ServerLimits) -> Method:
    def connection_lost(self: Any, exc: Exception | None) -> None:
        watch: Watch = getattr(self, _MARK)
        watch.rest()
        watch.nobody_reads()
        original(self, exc)

    return connection_lost


def _data_received(original: Method, limits: ServerLimits) -> Method:
    def data_received(self: Any, data: bytes) -> None:
        if self.transport.is_closing():
            return
        watch: Watch = getattr(self, _MARK)
        watch.silent_bytes += len(data)
        told = _BEYOND_64_BITS.match(data)
        if told is not None and int(told["length"][:25]) >= 2**64:
            _refuse(self, "413 Content Too Large")
            return
        original(self, data)
        if watch.silent_bytes > LARGEST_HEAD:
            _refuse(self, "431 Request Header Fields Too Large")
        elif not watch.waits and not self.transport.is_closing():
            # Line ends before a request stop uvicorn's own timer, and begin nothing.
            watch.request_begins()

    return data_received


def _on_message_begin(original: Method, limits: ServerLimits) -> Method:
    def on_message_begin(self: Any) -> None:
        getattr(self, _MARK).request_begins()
        original(self)

    return on_message_begin


def _on_headers_complete(original: Method, limits: ServerLimits) -> Method:
    def on_headers_complete(self: Any) -> None:
        watch: Watch = getattr(self, _MARK)
        watch.headers_arrived()
        original(self)
        if self.cycle is not None:
            watch.answers_with(self.cycle)

    return on_headers_complete


def _on_body(original: Method, limits: ServerLimits) -> Method:
    def on_body(self: Any, body: bytes) -> None:
        getattr(self, _MARK).silent_bytes = 0
        original(self, body)

    return on_body


def _on_message_complete(original: Method, limits: ServerLimits) -> Method:
    def on_message_complete(self: Any) -> None:
        watch: Watch = getattr(self, _MARK)
        watch.request_arrived()
        original(self)
        if self.cycle is not None and self.cycle.response_complete:
            # It was refused before its body had come.
            watch.rest()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    return on_message_complete


def _on_response_complete(original: Method, limits: ServerLimits) -> Method:
    def on_response_complete(self: Any) -> None:
        original(self)
        watch: Watch = getattr(self, _MARK)
        if self.cycle.response_complete:
            if watch.arrived:
                watch.rest()
        elif watch.arrived:
            # The next request of this connection came with this one, and is worked on now.
            watch.request_arrived()

    return on_response_complete


_EXTENDED: dict[str, Callable[[Method, ServerLimits], Method]] = {
    "connection_made": _connection_made,
    "connection_lost": _connection_lost,
    "data_received": _data_received,
    "on_message_begin": _on_message_begin,
    "on_headers_complete": _on_headers_complete,
    "on_body": _on_body,
    "on_message_complete": _on_message_complete,
    "on_response_complete": _on_response_complete,
}


def _refuse(protocol: Any, status: str, extra: str = "") -> None:
    if not protocol.transport.is_closing():
        protocol.transport.write(_EMPTY.format(status=status, extra=extra).encode("ascii"))
        protocol.transport.close()
