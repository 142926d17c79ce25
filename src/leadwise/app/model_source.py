"""Who answers the page: a package in this process, or anything else that takes rows of a request."""

import json
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from leadwise.app.settings import Settings
from leadwise.contract import LeadwiseError
from leadwise.evaluation.decisions import POLICIES
from leadwise.registry.load import PRETRAINED, found_package
from leadwise.serving.scorer import DESCRIPTION_FILE, RegisteredVersion, Scorer, registered_version

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


TIMEOUT_S = 60


@dataclass(frozen=True)
class RestModel:
    """A server, which says no more of itself than its answers do: every package has all policies."""

    url: str
    policies: tuple[str, ...] = tuple(POLICIES)
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


def find_model(settings: Settings) -> ModelSource:
    """Whoever the settings name; else the champion of PTB-XL, what Leadwise brings along, the champion of a simulation.

    Raises:
        ModelSourceError: there is nobody.
    """
    if settings.url:
        return RestModel(settings.url.rstrip("/").removesuffix("/invocations"))
    return local_model(settings.model or None)


def local_model(name: str | None) -> LocalModel:
    """A model in this process.

    Args:
        name: as ``leadwise.registry.load.found_package`` takes it.

    Raises:
        ModelSourceError: there is none of that name.
    """
    try:
        with found_package(name) as (folder, address):
            version = registered_version(folder.parent)
            return LocalModel.load(folder, _title(address, version), version)
    except ModelSourceError:
        raise
    except LeadwiseError as error:
        raise ModelSourceError(str(error)) from None


def _title(address: str, version: RegisteredVersion | None) -> str:
    if address == PRETRAINED:
        return "the model that Leadwise brings along"
    if ":/" not in address:
        return f"the package in {address}"
    if version is None:
        return address
    return f"{version.name}, version {version.version}" + (", the champion" if address.endswith("@champion") else "")


T = TypeVar("T")
KEPT = 12
RECORDINGS_KEPT = 4
"""A recording of ten minutes takes up to 60 MB."""


def remembered(
    state: MutableMapping[Any, Any], name: str, key: Hashable, make: Callable[[], T], *, kept: int = KEPT
) -> T:
    """What ``make`` gave for a key; of each name the last ``kept``."""
    known: dict[Hashable, T] = state.setdefault(f"remembered-{name}", {})
    if key not in known:
        known[key] = make()
        while len(known) > kept:
            del known[next(iter(known))]
    return known[key]
