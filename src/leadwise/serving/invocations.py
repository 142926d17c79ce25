"""POST /invocations of MLflow's scoring server, answered by Leadwise itself.

MLflow 3.17 puts the whole request, with the patient's recording, into the error it answers: when the JSON is broken,
when a column does not fit the signature, and when a model refuses the input; and it reads a body of any size. The
scoring server wraps its route with a function of its own module after the model is loaded, so the model can bring a
route that does none of this.
"""

import json
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from leadwise.serving.envelope import refuse_size, rows_of_json
from leadwise.serving.errors import RequestError
from leadwise.serving.limits import MOST_EXPLAINED
from leadwise.serving.parameters import read_parameters
from leadwise.serving.parquet_rows import rows_of_parquet
from leadwise.serving.scorer import Scorer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
PARQUET_TYPES = frozenset({PARQUET, "application/x-parquet"})

_logger = logging.getLogger(__name__)

Route = Callable[["Request"], Awaitable["Response"]]


def answer_in_scoring_server(scorer: Scorer) -> bool:
    """Take over POST /invocations if this process is MLflow's scoring server; tell whether it is."""
    if "mlflow.pyfunc.scoring_server.app" not in sys.modules:
        return False
    from mlflow.pyfunc import scoring_server

    scoring_server._async_catch_mlflow_exception = route_of(scorer)
    return True


def route_of(scorer: Scorer) -> Callable[[Route], Route]:
    """A decorator that puts a route in the place of MLflow's own, whose signature it keeps."""
    import asyncio
    from functools import wraps

    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    def instead_of(mlflows: Route) -> Route:
        @wraps(mlflows)
        async def route(request: "Request") -> "Response":
            try:
                body = await _body(request)
            except ClientDisconnect:
                # Nobody is left to read an answer.
                return Response(status_code=400)
            except RequestError as error:
                status, content = _refused(error)
            else:
                kind = request.headers.get("content-type")
                status, content = await asyncio.to_thread(respond, scorer, body, kind)
            return Response(json.dumps(content, allow_nan=False), status, media_type=JSON)

        return route

    return instead_of


async def _body(request: "Request") -> bytes:
    """The body, of which no more is kept than is allowed.

    Raises:
        RequestError: it is too large.
    """
    announced = request.headers.get("content-length", "")
    refuse_size(int(announced) if announced.isdecimal() and len(announced) < 20 else 0)
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        refuse_size(size)
    return b"".join(parts)


def respond(scorer: Scorer, body: bytes, content_type: str | None) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON content of the answer to one request.

    200 if a record could be answered; then the others have an ``error`` in their place. If none could, the status is
    400, and the answer is the first one's error with all of them beside it.
    """
    try:
        refuse_size(len(body))
        is_json = _is_json(content_type)
        rows, parameters = rows_of_json(body) if is_json else (rows_of_parquet(body), None)
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


def _is_json(content_type: str | None) -> bool:
    """Whether the body is JSON; else it is Parquet."""
    kind, _, parameters = (content_type or "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() not in {JSON, *PARQUET_TYPES} or charset not in {"", "utf-8"}:
        raise RequestError("content_type", "Content-Type", f"{JSON} in UTF-8 or {PARQUET} is needed")
    return kind.strip() == JSON


def _refusal(error_code: str, error: dict[str, Any]) -> dict[str, Any]:
    """MLflow's two fields, and ours."""
    return {"error_code": error_code, "message": error["message"], "error": error}
