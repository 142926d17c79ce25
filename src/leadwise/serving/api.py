"""POST /invocations of MLflow's scoring server, answered by Leadwise itself.

MLflow 3.17 puts the whole request, with the patient's recording, into the error it answers: when the JSON is broken,
when a column does not fit the signature, and when a model refuses the input; and it reads a body of any size. The
scoring server wraps its route with a function of its own module after the model is loaded, so the model can bring a
route that does none of this.
"""

import asyncio
import inspect
import io
import json
import logging
import os
import sys
import traceback
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from leadwise.memory import return_freed_memory
from leadwise.serving.connections import LARGE_BODY, ServerLimits, limit_connections
from leadwise.serving.envelope import read_parameters, refuse_size, rows_of_json
from leadwise.serving.scorer import Scorer
from leadwise.serving.values import LARGEST_BODY, MOST_EXPLAINED, RequestCode, RequestError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def application_being_made() -> "FastAPI | None":
    """The application that a calling function is about to give its routes; ``None`` where none does.

    MLflow makes it after the model is loaded, keeps it to itself until it is whole, and has no hook for it.
    """
    from fastapi import FastAPI

    frame = inspect.currentframe()
    try:
        while frame is not None:
            for value in frame.f_locals.values():
                if isinstance(value, FastAPI):
                    return value
            frame = frame.f_back
        return None
    finally:
        del frame


def complete(app: "FastAPI") -> None:
    """Let the application redirect nobody, and end what uvicorn cannot go on with."""
    # To an address that ends with a slash it would answer with a redirection to whatever host the client names.
    app.router.redirect_slashes = False
    app.add_middleware(EndUpgrades)


class EndUpgrades:
    """Close the connection after a request that asks for another protocol: uvicorn's parser reads nothing after it."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""

        async def send_and_close(message: "Message") -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        ends = scope["type"] == "http" and (
            scope["method"] == "CONNECT" or any(name == b"upgrade" for name, _ in scope["headers"])
        )
        await self._app(scope, receive, send_and_close if ends else send)


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


JSON = "application/json"
PATHS = frozenset({"/invocations", "/ping", "/health", "/version"})

_logger = logging.getLogger(__name__)

Route = Callable[["Request"], Awaitable["Response"]]


def answer_in_scoring_server(scorer: Scorer) -> bool:
    """Take over POST /invocations if this process is MLflow's scoring server; tell whether it is.

    Raises:
        ServerLimitError: a limit in the environment is not a number above 0.
    """
    if "mlflow.pyfunc.scoring_server.app" not in sys.modules:
        return False
    from mlflow.pyfunc import scoring_server

    limits = ServerLimits.of_environment(os.environ)
    scoring_server._async_catch_mlflow_exception = route_of(scorer, limits)
    limit_connections(limits)
    return_freed_memory()
    logging.getLogger("uvicorn.access").addFilter(hide_what_clients_write)
    return True


def route_of(scorer: Scorer, limits: ServerLimits) -> Callable[[Route], Route]:
    """A decorator that puts a route in the place of MLflow's own, whose signature it keeps."""
    import asyncio
    from functools import wraps

    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    intake = Intake(limits)

    def instead_of(mlflows: Route) -> Route:
        if app := application_being_made():
            complete(app)
        else:
            _logger.warning("this MLflow is not the one that Leadwise knows: its addresses redirect")

        @wraps(mlflows)
        async def route(request: "Request") -> "Response":
            try:
                with intake.admitted() as admitted:
                    body = await admitted.body(request)
                    kind = ", ".join(request.headers.getlist("content-type"))
                    async with intake.turn(len(body)):
                        status, content = await asyncio.to_thread(respond, scorer, body, kind)
            except ClientDisconnect:
                # Nobody is left to read an answer.
                return Response(status_code=400)
            except RequestError as error:
                status, content = _refused(error)
            text = json.dumps(content, allow_nan=False)
            headers = _HEADERS.get(content.get("error", {}).get("code"))
            return Response(text, status, headers, media_type=JSON)

        return route

    return instead_of


_HEADERS: Mapping[RequestCode, Mapping[str, str]] = {
    "too_slow": {"Connection": "close"},
    "busy": {"Retry-After": "1"},
    "content_encoding": {"Accept-Encoding": "gzip"},
}


def hide_what_clients_write(record: logging.LogRecord) -> bool:
    """Leave in a line of uvicorn's access log nothing of an address that a client made up."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, address, *rest = record.args
        path = str(address).partition("?")[0]
        record.args = (client, method, path if path in PATHS else "/...", *rest)
    return True


def respond(scorer: Scorer, body: bytes, content_type: str | None) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON content of the answer to one request.

    200 if a record could be answered; then the others have an ``error`` in their place. If none could, the status is
    400, and the answer is the first one's error with all of them beside it.
    """
    try:
        refuse_size(len(body))
        _require_json(content_type)
        rows, parameters = rows_of_json(body)
        asked = read_parameters(parameters, scorer.policies)
        if asked.explain and len(rows) > MOST_EXPLAINED:
            raise RequestError(
                "too_many_records", "params.explain", f"received {len(rows)} rows; {MOST_EXPLAINED} can be explained"
            )
        answers = list(scorer.answers(rows, asked))
    except RequestError as error:
        return _refused(error)
    except Exception as error:
        # A defect. Its message may hold values of the request, so only where it happened is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        _logger.error("%s while answering a request\n%s", type(error).__name__, where)
        message = "the request could not be answered; the server's log says where"
        return 500, _refusal("INTERNAL_ERROR", {"code": "internal", "field": "body", "message": message})
    if all("error" in answer for answer in answers):
        return 400, _refusal("INVALID_PARAMETER_VALUE", answers[0]["error"]) | {"predictions": answers}
    return 200, {"predictions": answers}


def _refused(error: RequestError) -> tuple[int, dict[str, Any]]:
    told = {"code": error.code, "field": error.field, "message": str(error)}
    return error.status, _refusal("INVALID_PARAMETER_VALUE", told)


def _require_json(content_type: str | None) -> None:
    kind, _, parameters = (content_type or "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() != JSON or charset not in {"", "utf-8"}:
        raise RequestError("content_type", "Content-Type", f"{JSON} in UTF-8 is needed")


def _refusal(error_code: str, error: dict[str, Any]) -> dict[str, Any]:
    """MLflow's two fields, and ours."""
    return {"error_code": error_code, "message": error["message"], "error": error}
