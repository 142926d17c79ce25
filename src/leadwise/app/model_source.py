"""Who answers the page: a package in this process, or anything else that takes rows of a request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from leadwise.contract import LeadwiseError
from leadwise.serving.scorer import DESCRIPTION_FILE, RegisteredVersion, Scorer

USUAL_URL = "http://127.0.0.1:5001"
"""Where `make serve` answers."""
Rates = Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]]
"""policy -> measure -> class -> value, lower and upper bound."""


class ModelSourceError(LeadwiseError):
    """Nothing can answer; the message says what was tried and what to do."""


class ModelSource(Protocol):
    """Answers rows of a request, as ``docs/serving.md`` describes them.

    Attributes:
        title: who answers, in words.
        url: where the same can be asked over REST.
        policies: what ``policy`` may be.
        preferred: the policy that answers unless another is asked for; empty where it is not known.
        simulated: whether the networks were trained on simulated data; ``None`` where it is not known.
        rates: sensitivity and specificity on fold 10 of each network, by its name; empty where they are not known.
    """

    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def policies(self) -> tuple[str, ...]: ...
    @property
    def preferred(self) -> str: ...
    @property
    def simulated(self) -> bool | None: ...
    @property
    def rates(self) -> Mapping[str, Rates]: ...

    def ask(self, row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        """The answer to one row, or ``{"error": ...}``.

        Raises:
            ModelSourceError: nobody answers.
        """
        ...


@dataclass(frozen=True)
class LocalModel:
    """A package in this process; safe to use from several sessions at once."""

    scorer: Scorer
    title: str
    rates: Mapping[str, Rates] = field(default_factory=dict)
    url: str = USUAL_URL

    @property
    def policies(self) -> tuple[str, ...]:
        return self.scorer.policies

    @property
    def preferred(self) -> str:
        return self.scorer.fusion.policy

    @property
    def simulated(self) -> bool | None:
        return self.scorer.simulated

    def ask(self, row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        (answer,) = self.scorer.score([row], policy=policy, explain=explain)
        return answer

    @classmethod
    def load(cls, folder: Path, title: str, registered: RegisteredVersion | None = None) -> "LocalModel":
        """Open a package folder.

        Raises:
            ModelSourceError: it is absent, damaged, or of another version of Leadwise.
        """
        try:
            scorer = Scorer.load(folder, registered)
            networks = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))["networks"]
            rates = {entry["name"]: entry.get("policy_rates", {}) for entry in networks.values()}
        except LeadwiseError as error:
            raise ModelSourceError(f"{folder}: {error}") from None
        except Exception as error:
            raise ModelSourceError(f"{folder}: no package that can be read ({type(error).__name__})") from None
        return cls(scorer, title, rates)
