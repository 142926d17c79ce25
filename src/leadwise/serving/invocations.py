"""POST /invocations of MLflow's scoring server, answered by Leadwise itself.

MLflow 3.17 puts the whole request, with the patient's recording, into the error it answers: when the JSON is broken,
when a column does not fit the signature, and when a model refuses the input. The scoring server looks its handler up
in its own module at each request, so the model can bring one that does not.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

from leadwise.contract import LeadwiseError
from leadwise.serving.envelope import rows_of_json, rows_of_parquet
from leadwise.serving.payload import PayloadError
from leadwise.serving.scorer import Scorer

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
PARQUET_TYPES = frozenset({PARQUET, "application/x-parquet"})

_logger = logging.getLogger(__name__)


def answer_in_scoring_server(scorer: Scorer) -> bool:
    """Take over POST /invocations if this process is MLflow's scoring server; tell whether it is."""
    if "mlflow.pyfunc.scoring_server.app" not in sys.modules:
        return False
    from mlflow.pyfunc import scoring_server

    scoring_server.invocations = invocations_of(scorer)
    return True


def invocations_of(scorer: Scorer) -> Callable[..., Any]:
    """A handler with the signature of ``mlflow.pyfunc.scoring_server.invocations``."""
    from mlflow.pyfunc.scoring_server import InvocationsResponse

    def invocations(data: bytes, content_type: str | None, model: Any, input_schema: Any) -> Any:
        status, content = respond(scorer, data, content_type)
        return InvocationsResponse(json.dumps(content, allow_nan=False), status, JSON)

    return invocations


def respond(scorer: Scorer, body: bytes, content_type: str | None) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON content of the answer to one request."""
    kind, _, parameters = (content_type or "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() not in {JSON, *PARQUET_TYPES} or charset not in {"", "utf-8"}:
        return 415, _error("INVALID_PARAMETER_VALUE", f"Content-Type: {JSON} in UTF-8 or {PARQUET} is needed")
    try:
        rows, asked = rows_of_json(body) if kind.strip() == JSON else (rows_of_parquet(body), {})
        return 200, {"predictions": scorer.score(rows, **asked)}
    except PayloadError as error:
        return 400, _error("INVALID_PARAMETER_VALUE", str(error), row=error.row, field=error.field)
    except LeadwiseError as error:
        return 400, _error("INVALID_PARAMETER_VALUE", str(error))
    except Exception as error:
        # A defect. Its message may hold values of the request, so only where it happened is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        _logger.error("%s while answering a request\n%s", type(error).__name__, where)
        return 500, _error("INTERNAL_ERROR", "the request could not be answered; the server's log says where")


def _error(code: str, message: str, **details: Any) -> dict[str, Any]:
    return {"error_code": code, "message": message, **details}
