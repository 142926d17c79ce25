"""What the answer of a web server, or its silence, means for a file: absent, wrong, or worth asking again."""

from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

ABSENT = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
"""This server does not have the file: no use in asking again. S3 says 403 of what it does not list."""

PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""With every 5xx: worth asking again later."""


class Absent(Exception):
    """The server does not have this file."""


class Wrong(Exception):
    """The server gave something else."""


class Trouble(Exception):
    """The server could not be reached, broke off, or asked to come back later."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(reason)


def check_status(response: "requests.Response") -> None:
    """Return if the body is the file.

    Raises:
        Trouble: asking again later may help.
        Absent: it will not.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    reason = f"{status} {response.reason}".strip()
    if status in PASSING or status >= 500:
        raise Trouble(reason, _retry_after(response))
    if status in ABSENT:
        raise Absent(reason)
    raise Absent(f"unexpected answer {reason}")


def _retry_after(response: "requests.Response") -> float | None:
    """Seconds that the server asks to wait; it may give seconds or a date (RFC 9110, 10.2.3)."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        value = response.headers.get("Retry-After")
        return None if value is None else Retry().parse_retry_after(value)
    except InvalidHeader:
        return None


def plain_reason(error: BaseException, timeout_s: float) -> str:
    """What a failed request means, without the libraries' nesting."""
    import requests
    from urllib3 import exceptions

    innermost, seen = error, set[int]()
    while id(innermost) not in seen:
        seen.add(id(innermost))
        inside = [getattr(innermost, "reason", None), *innermost.args, innermost.__cause__]
        innermost = next((one for one in inside if isinstance(one, BaseException)), innermost)
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeout_s:g} s"
    if isinstance(error, (requests.ReadTimeout, exceptions.ReadTimeoutError, TimeoutError)):
        return f"stalled: nothing came for {timeout_s:g} s"
    if isinstance(innermost, (ConnectionResetError, BrokenPipeError, HTTPException, exceptions.ProtocolError)):
        return "the connection was cut"
    if isinstance(innermost, OSError) and innermost.strerror:
        return f"no connection: {innermost.strerror}"
    return f"{type(innermost).__name__}: {str(innermost)[:200]}"
