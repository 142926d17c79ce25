"""POST /invocations of MLflow's scoring server, answered by Leadwise itself.

MLflow 3.17 puts the whole request, with the patient's recording, into the error it answers: when the JSON is broken,
when a column does not fit the signature, and when a model refuses the input; and it reads a body of any size. The
scoring server wraps its route with a function of its own module after the model is loaded, so the model can bring a
route that does none of this.
"""

import asyncio
import inspect
import json
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import wraps
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from leadwise import __version__
from leadwise.memory import return_freed_memory
from leadwise.serving.admission import AdmissionControl, ServerLimits
from leadwise.serving.request_parsing import MOST_EXPLAINED, RequestError, read_parameters, rows_of_json
from leadwise.serving.scorer import Scorer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T")
JSON = "application/json"
PATHS = frozenset({"/invocations", "/ping", "/health", "/version"})

_logger = logging.getLogger(__name__)

Route = Callable[["Request"], Awaitable["Response"]]


def answer_in_scoring_server(scorer: Scorer) -> bool:
    """Take over POST /invocations if this process is MLflow's scoring server; tell whether it is.

    Raises:
        LeadwiseError: a limit in the environment is not a number above 0.
    """
    if "mlflow.pyfunc.scoring_server.app" not in sys.modules:
        return False
    from mlflow.pyfunc import scoring_server

    limits = ServerLimits.of_environment(os.environ)
    scoring_server._async_catch_mlflow_exception = route_of(scorer, limits)
    _limit_connections(limits)
    return_freed_memory()
    logging.getLogger("uvicorn.access").addFilter(hide_what_clients_write)
    return True


def callers() -> Iterator[FrameType]:
    """The calls that are under way, from the one that asks outwards."""
    frame = inspect.currentframe()
    while frame := frame and frame.f_back:
        yield frame


def _in_callers(kind: type[T]) -> T | None:
    """The innermost variable of a type: neither uvicorn nor MLflow has a hook for an application in the making."""
    values = (value for frame in callers() for value in frame.f_locals.values())
    return next((value for value in values if isinstance(value, kind)), None)


def _limit_connections(limits: ServerLimits) -> None:
    from uvicorn import Config

    config = _in_callers(Config)
    try:
        from leadwise.serving.connections import LimitedProtocol
    except ImportError:
        config = None
    if config is None:
        _logger.warning("no uvicorn that loads this model, or no httptools: connections are under no limits")
    else:
        LimitedProtocol.limits = limits
        # uvicorn takes the first from the second before it loads the application, or after that.
        config.http_protocol_class = config.http = LimitedProtocol


def route_of(scorer: Scorer, limits: ServerLimits) -> Callable[[Route], Route]:
    """A decorator that puts a route in the place of MLflow's own, whose signature it keeps."""
    from fastapi import FastAPI
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route as StarletteRoute

    admission = AdmissionControl(limits)

    async def version(request: "Request") -> "Response":
        return Response(__version__, media_type="text/plain")

    def instead_of(mlflows: Route) -> Route:
        if app := _in_callers(FastAPI):
            # To an address that ends with a slash it would answer with a redirection to whatever host a client names.
            app.router.redirect_slashes = False
            # The first route of a path answers: this code's version, not MLflow's.
            app.router.routes.insert(0, StarletteRoute("/version", version))
        else:
            _logger.warning("this MLflow is not the one that Leadwise knows: its addresses redirect")

        @wraps(mlflows)
        async def route(request: "Request") -> "Response":
            try:
                async with admission.body_of(request) as body:
                    kind = ", ".join(request.headers.getlist("content-type"))
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


_HEADERS: Mapping[str, Mapping[str, str]] = {
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
