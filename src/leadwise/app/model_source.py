"""Who answers: the champion of the registry, the package that Leadwise brings along, a folder, or a REST server."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from leadwise.app.settings import Settings
from leadwise.contract import LeadwiseError
from leadwise.serving.registered import RegisteredVersion
from leadwise.serving.scorer import DESCRIPTION_FILE, Scorer

REGISTERED_NAME, DEMO_NAME = "leadwise", "leadwise-demo"
POLICIES: tuple[str, ...] = ("best_f1", "target_sensitivity", "youden")
"""Those of every package; a REST server does not tell its own."""
USUAL_URL = "http://127.0.0.1:5001"
TIMEOUT_S = 60
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
        rates: sensitivity and specificity on fold 10; empty where they are not known.
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
    def rates(self) -> Rates: ...

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
    rates: Rates = field(default_factory=dict)
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
            description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        except LeadwiseError as error:
            raise ModelSourceError(f"{folder}: {error}") from None
        except Exception as error:
            raise ModelSourceError(f"{folder}: no package that can be read ({type(error).__name__})") from None
        return cls(scorer, title, description["networks"]["fusion"].get("policy_rates", {}))


@dataclass(frozen=True)
class RestModel:
    """A scoring server, which says no more of itself than its answers do."""

    url: str
    policies: tuple[str, ...] = POLICIES
    preferred: str = ""
    simulated: bool | None = None
    rates: Rates = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"the server at {self.url}"

    def ask(self, row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        import requests

        params = {"explain": list(explain)} | ({"policy": policy} if policy else {})
        try:
            reply = requests.post(
                f"{self.url}/invocations", json={"inputs": [dict(row)], "params": params}, timeout=TIMEOUT_S
            )
            content = reply.json()
            predictions = content.get("predictions")
        except requests.exceptions.JSONDecodeError:
            raise ModelSourceError(
                f"{self.url}: answered {reply.status_code} and no JSON; is it `make serve`?"
            ) from None
        except requests.RequestException as error:
            raise ModelSourceError(
                f"{self.url}: does not answer ({type(error).__name__}); start one with `make serve`"
            ) from None
        if not predictions:
            raise ModelSourceError(f"{self.url}: {str(content.get('message', 'no prediction'))[:300]}")
        answer: dict[str, Any] = predictions[0]
        return answer


def open_model(settings: Settings) -> ModelSource:
    """Whoever the settings name; else the champion of PTB-XL, what Leadwise brings along, the champion of a simulation.

    Raises:
        ModelSourceError: there is nobody.
    """
    if settings.url:
        return RestModel(settings.url.rstrip("/").removesuffix("/invocations"))
    if settings.package:
        return LocalModel.load(Path(settings.package), f"package {Path(settings.package).name}")
    if settings.model:
        return champion(settings.model)
    tried = []
    for attempt in (lambda: champion(REGISTERED_NAME), shipped_model, lambda: champion(DEMO_NAME)):
        try:
            return attempt()
        except LeadwiseError as error:
            tried.append(str(error))
    raise ModelSourceError("\n".join(tried))


def champion(name: str) -> LocalModel:
    """The champion of a registered model.

    Raises:
        ModelSourceError: there is no such model, or no registry.
    """
    from leadwise.stage import DEFAULT_TRACKING_URI

    uri = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI
    # MLflow would make an empty database where there is none.
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///").partition("?")[0]).is_file():
        raise ModelSourceError(f"registry {uri}: does not exist")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.exceptions import MlflowException

    from leadwise.registry.promotion import champion_of

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(uri)
    try:
        version = champion_of(name)
        if version is None:
            raise ModelSourceError(f"registry {uri}: {name} has no champion")
        with tempfile.TemporaryDirectory() as folder:
            files = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder))
            description = next(files.glob(f"*/{DESCRIPTION_FILE}"), files / DESCRIPTION_FILE)
            return LocalModel.load(
                description.parent,
                f"{name}, version {version}, champion of the registry",
                RegisteredVersion(name, version),
            )
    except MlflowException as error:
        raise ModelSourceError(f"registry {uri}: {name}: {str(error).splitlines()[0][:200]}") from None


def shipped_model() -> LocalModel:
    """The package that Leadwise brings along.

    Raises:
        ModelSourceError: it cannot be read.
        ShippedError: it is absent or damaged.
    """
    from leadwise.registry.shipped import unpack_shipped

    with tempfile.TemporaryDirectory() as folder:
        package = unpack_shipped(Path(folder) / "package")
        return LocalModel.load(package.folder, "the model that Leadwise brings along")
