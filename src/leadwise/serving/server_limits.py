"""What one worker of the scoring server takes on at a time; a deployment may say otherwise in its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from leadwise.contract import LeadwiseError

PREFIX = "LEADWISE_"


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
