"""What can be wrong with a request as a whole; what can be wrong with one record is in ``leadwise.signals.leads``."""

from typing import Literal

from leadwise.contract import LeadwiseError

RequestCode = Literal[
    "not_json",
    "repeated_key",
    "not_parquet",
    "not_an_envelope",
    "no_records",
    "too_large",
    "too_many_records",
    "too_many_values",
    "content_type",
    "content_encoding",
    "not_gzip",
    "upgrade",
    "too_slow",
    "busy",
    "unknown_parameter",
    "wrong_type",
    "not_allowed",
]
STATUS: dict[RequestCode, int] = {
    "too_large": 413,
    "too_many_records": 413,
    "too_many_values": 413,
    "content_type": 415,
    "content_encoding": 415,
    "too_slow": 408,
    "busy": 503,
}
"""HTTP status by code; 400 for the others."""


class RequestError(LeadwiseError):
    """A request cannot be answered at all; the message never repeats the body.

    Attributes:
        code: the kind of problem.
        field: the part of the request that is wrong.
        problem: what is wrong and what is allowed.
    """

    def __init__(self, code: RequestCode, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.code: RequestCode = code
        self.field = field
        self.problem = problem

    @property
    def status(self) -> int:
        """Of the HTTP answer."""
        return STATUS.get(self.code, 400)
