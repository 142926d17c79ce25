"""What the client of the scoring server raises."""

from leadwise.contract import LeadwiseError


class ClientError(LeadwiseError):
    """The server gave no answers."""


class ServerUnreachable(ClientError):
    """No server answers at the address, or it answered 502, 503 or 504 until the retries were used up."""


class ServerTimeout(ClientError):
    """The server sent nothing for longer than ``timeout_s``. Not tried again: it may still be at work on it."""


class RequestRefused(ClientError):
    """The server refused the request as a whole, such as for an unknown policy.

    Attributes:
        status: of HTTP, 400 to 499.
        code: as ``docs/serving.md`` lists them; empty where the answer is not Leadwise's.
        field: the part of the request that is wrong.
    """

    def __init__(self, message: str, status: int, code: str, field: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class ServerFailed(ClientError):
    """The server has a defect, or what answers is no scoring server of Leadwise."""
