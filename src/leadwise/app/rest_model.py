"""A scoring server as who answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leadwise.app.model_source import ModelSourceError, Rates

POLICIES: tuple[str, ...] = ("best_f1", "target_sensitivity", "youden")
"""Those of every package; a server does not tell its own."""
TIMEOUT_S = 60


@dataclass(frozen=True)
class RestModel:
    """A server, which says no more of itself than its answers do."""

    url: str
    policies: tuple[str, ...] = POLICIES
    preferred: str = ""
    simulated: bool | None = None
    rates: Mapping[str, Rates] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"the server at {self.url}"

    def ask(self, row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        import requests

        params = {"explain": list(explain)} | ({"policy": policy} if policy else {})
        try:
            # A redirection would send a patient's recording to someone whom nobody named.
            reply = requests.post(
                f"{self.url}/invocations",
                json={"inputs": [dict(row)], "params": params},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
            content = reply.json()
        except requests.exceptions.JSONDecodeError:
            raise ModelSourceError(
                f"{self.url}: answered {reply.status_code} and no JSON; is it `make serve`?"
            ) from None
        except requests.RequestException as error:
            raise ModelSourceError(
                f"{self.url}: does not answer ({type(error).__name__}); start one with `make serve`"
            ) from None
        try:
            answer = content["predictions"][0]
            answer.get("error")
        except (AttributeError, IndexError, KeyError, TypeError):
            told = content.get("message") if isinstance(content, dict) else None
            raise ModelSourceError(f"{self.url}: {str(told or 'sent no prediction')[:300]}") from None
        return dict(answer)
