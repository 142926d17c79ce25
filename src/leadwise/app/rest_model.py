"""A scoring server as who answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leadwise.app.model_source import ModelSourceError, Rates
from leadwise.evaluation.decisions import POLICIES

TIMEOUT_S = 60


@dataclass(frozen=True)
class RestModel:
    """A server, which says no more of itself than its answers do: every package has all policies."""

    url: str
    policies: tuple[str, ...] = POLICIES
    preferred: str = ""
    simulated: bool | None = None
    rates: Mapping[str, Rates] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"the server at {self.url}"

    def ask(self, row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        from leadwise.serving.client import Client, ClientError

        try:
            with Client(self.url, timeout_s=TIMEOUT_S, retries=1) as client:
                (answer,) = client.score([row], policy=policy, explain=list(explain) or None)
        except ClientError as error:
            raise ModelSourceError(f"{error}; `make serve` starts a server that answers the page") from None
        return answer
