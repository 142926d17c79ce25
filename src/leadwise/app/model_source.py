"""What is asked: a recording and facts of the patient; and who answers: a package in this process, or a server."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import streamlit as st

from leadwise.contract import ECGRecord, LeadwiseError
from leadwise.evaluation.decisions import POLICIES
from leadwise.features import asked_names
from leadwise.registry.load import PRETRAINED, LoadedPackage
from leadwise.serving.scorer import RegisteredVersion

Facts = Mapping[str, float | None]
TruthFrom = Literal["simulated", "cardiologists"]


@dataclass(frozen=True)
class ShownRecording:
    """A recording, ready to be drawn and asked about.

    Attributes:
        key: differs between any two recordings.
        title: headline of figure and report.
        record: what is drawn; ``None`` where there is no recording.
        signal: the fields of a request row that describe the recording.
        facts: what is known of the patient before anybody fills in the form.
        truth: the classes that it is known to have; ``None`` where nobody has said.
        truth_from: who says so.
        about: of an example, where it comes from and what it shows, in a sentence.
    """

    key: str
    title: str
    record: ECGRecord | None = None
    signal: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    truth: tuple[str, ...] | None = None
    truth_from: TruthFrom = "cardiologists"
    about: str = ""

    def row(self, facts: Facts) -> dict[str, Any]:
        """The row of a request: recording and facts."""
        return {**self.signal, **facts_row(facts)}

    def drawn(self, facts: Facts) -> ECGRecord | None:
        """The recording with the facts that the form holds now."""
        return None if self.record is None else replace(self.record, patient=dict(facts))


def facts_row(facts: Facts) -> dict[str, Any]:
    """The facts that are known, as fields of a request row."""
    return {name: value for name in asked_names() if (value := facts.get(name)) is not None}


TIMEOUT_S = 60
USUAL_URL = "http://127.0.0.1:5001"
"""Where `make serve` answers."""
Rates = Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]]
"""policy -> measure -> class -> value, lower and upper bound."""

Bands = Mapping[str, tuple[float, float]]
"""class -> from and to of "uncertain"."""


class ModelSourceError(LeadwiseError):
    """Nothing can answer; the message says what was tried and what to do."""


@dataclass(frozen=True)
class ModelSource:
    """Answers rows of a request, as ``docs/serving.md`` describes them; safe to use from several sessions at once.

    Attributes:
        title: who answers, in words.
        ask: row, policy or ``None``, classes to explain -> the answer, or ``{"error": ...}``; raises
            ``ModelSourceError`` where nobody answers.
        url: where the same can be asked over REST.
        policies: what ``policy`` may be.
        preferred: the policy that answers unless another is asked for; empty where it is not known.
        simulated: whether the networks were trained on simulated data; ``None`` where it is not known.
        rates: sensitivity, specificity and predictive value on fold 10 of each network, by its name; empty where they
            are not known.
        bands: of each network, by its name, and of each policy; empty where they are not known.
        test_records: how many recordings the rates were measured on; ``None`` where it is not known.
        card: the model card, in Markdown; empty where there is none.
        package: which answers in this process; ``None`` where a server does.
    """

    title: str
    ask: Callable[..., dict[str, Any]]
    url: str = USUAL_URL
    policies: tuple[str, ...] = tuple(POLICIES)
    preferred: str = ""
    simulated: bool | None = None
    rates: Mapping[str, Rates] = field(default_factory=dict)
    bands: Mapping[str, Mapping[str, Bands]] = field(default_factory=dict)
    test_records: int | None = None
    card: str = ""
    package: LoadedPackage | None = None

    def bands_of(self, answer: Mapping[str, Any]) -> Bands:
        """The bands of "uncertain" that an answer was decided by; empty where they are not known."""
        return self.bands.get(answer["model"], {}).get(answer["policy"], {})


def rest_model(url: str) -> ModelSource:
    """A server, which says no more of itself than its answers do: every package has all policies."""

    def ask(row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        from leadwise.serving.client import Client, ClientError

        try:
            with Client(url, timeout_s=TIMEOUT_S, retries=1) as client:
                return client.score([row], policy=policy, explain=list(explain) or None)[0]
        except ClientError as error:
            raise ModelSourceError(f"{error}; `make serve` starts a server that answers the page") from None

    return ModelSource(f"the server at {url}", ask, url)


def find_model(url: str, model: str) -> ModelSource:
    """Whoever is named; else the champion of PTB-XL, the model that ships, the champion of a simulation.

    Raises:
        ModelSourceError: there is nobody.
    """
    return rest_model(url.rstrip("/").removesuffix("/invocations")) if url else local_model(model or None)


def local_model(name: str | None) -> ModelSource:
    """A package in this process.

    Args:
        name: as ``leadwise.registry.load.found_package`` takes it.

    Raises:
        ModelSourceError: there is none of that name, or it is damaged, or of another version of Leadwise.
    """
    try:
        package = LoadedPackage.found(name)
    except LeadwiseError as error:
        raise ModelSourceError(str(error)) from None
    except Exception as error:
        raise ModelSourceError(f"{name}: no package that can be read ({type(error).__name__})") from None
    scorer, description = package.scorer, package.description

    def ask(row: Mapping[str, Any], policy: str | None, explain: Sequence[str] = ()) -> dict[str, Any]:
        return scorer.score([row], policy=policy, explain=explain)[0]

    return ModelSource(
        title=_title(package.name, package.registered),
        ask=ask,
        policies=scorer.policies,
        preferred=scorer.fusion.policy,
        simulated=scorer.simulated,
        rates={entry["name"]: entry.get("policy_rates", {}) for entry in description["networks"].values()},
        bands={
            network.name: {name: policy.uncertain for name, policy in network.policies.items()}
            for network in (scorer.fusion, scorer.metadata)
        },
        test_records=description.get("test_records"),
        card=package.card,
        package=package,
    )


def _title(address: str, version: RegisteredVersion | None) -> str:
    if address == PRETRAINED:
        return "the model that ships"
    if ":/" not in address:
        return f"the package in {address}"
    if version is None:
        return address
    return f"{version.name}, version {version.version}" + (", the champion" if address.endswith("@champion") else "")


T = TypeVar("T")
KEPT = 12
RECORDINGS_KEPT = 4
"""A recording of ten minutes takes up to 60 MB."""


def remembered(name: str, key: Hashable, make: Callable[[], T], *, kept: int = KEPT) -> T:
    """What ``make`` gave for a key in this session; of each name the last ``kept``."""
    known: dict[Hashable, T] = st.session_state.setdefault(f"remembered-{name}", {})
    if key not in known:
        known[key] = make()
        while len(known) > kept:
            del known[next(iter(known))]
    return known[key]
