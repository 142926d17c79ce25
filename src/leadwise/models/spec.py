"""The registry of models: what each sees, how it is built, how its training differs, what tuning searches.

A new model is one file with its ``ModelSpec`` and one ``register_model``. Whoever needs all models iterates over
``MODELS``.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from leadwise.contract import EncoderName, HeadName, LeadwiseError, Precision, SignalShape

if TYPE_CHECKING:
    import keras
    import optuna

METADATA, SIGNAL = "metadata", "signal"
"""Names of a network's inputs."""

ALL = "all"
"""What stands for every model where one is asked for."""


@dataclass(frozen=True)
class Real:
    """A number from ``low`` to ``high``; with ``log``, 1 to 10 is as likely as 10 to 100."""

    low: float
    high: float
    log: bool = False

    def reaching(self, value: float) -> "Real | None":
        """The range with a value inside; ``None``: the value means off."""
        if self.log and value <= 0:
            return None
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def draw(self, trial: "optuna.Trial", name: str) -> float:
        """A value for a trial."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high`` in steps."""

    low: int
    high: int
    step: int = 1

    def reaching(self, value: int) -> "Whole":
        """The range with a value inside and on a step."""
        low, high = min(self.low, value), max(self.high, value)
        return Whole(low, high, math.gcd(self.step, self.low - low, value - low, high - low))

    def draw(self, trial: "optuna.Trial", name: str) -> int:
        """A value for a trial."""
        return trial.suggest_int(name, self.low, self.high, step=self.step)

    def __str__(self) -> str:
        return f"{self.low} to {self.high}{f' in steps of {self.step}' if self.step > 1 else ''}"


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    options: tuple[str, ...]

    def reaching(self, value: str) -> "Choice":
        """The choice with a value among its options."""
        return self if value in self.options else Choice((*self.options, value))

    def draw(self, trial: "optuna.Trial", name: str) -> str:
        """A value for a trial."""
        return trial.suggest_categorical(name, self.options)

    def __str__(self) -> str:
        return ", ".join(self.options)


Dimension = Real | Whole | Choice

COMMON_SPACE: Mapping[str, Dimension] = {
    "learning-rate": Real(5e-4, 1e-2, log=True),
    "weight-decay": Real(1e-3, 1e-1, log=True),
    "dropout-branch": Real(0.0, 0.6),
    "dropout-head": Real(0.0, 0.7),
}
"""Searched for every model that comes along. The batch size is not among them: it and the learning rate make up for
each other (Goyal et al. 2017)."""


@dataclass(frozen=True)
class Architecture:
    """What a network is made of; the defaults are the networks of the original, layer for layer.

    Attributes:
        encoder: what reads the recording.
        encoder_width: its number of channels, in the encoder's own units.
        head: ``dense``: the original's two dense layers before the logits; ``linear``: none.
        statements: whether a second output gives the 71 SCP-ECG statements.
        dropout_branch: drop-out of the metadata branch.
        dropout_head: drop-out after the encoder and in the dense head.
        precision: what layers compute in; weights, batch norm's statistics and answers are float32 in any case
            (Micikevicius et al. 2018, Mixed Precision Training; bfloat16 needs no scaling of the loss).
    """

    encoder: EncoderName = "original_cnn"
    encoder_width: int = 64
    head: HeadName = "dense"
    statements: bool = False
    dropout_branch: float = 0.3
    dropout_head: float = 0.5
    precision: Precision = "float32"


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes:
        name: its name in parameters, runs, folders and answers.
        sees: names of its inputs: ``metadata`` and, where it sees the recording, ``signal``.
        build: from the signal's shape, the columns of the metadata input and the architecture to a ``keras.Model``
            with the inputs of ``sees`` and an output ``superclasses``.
        settings: from the section ``train`` of the parameters to those fields of ``TrainingConfig`` in which this
            model differs from the parameters of the same name.
        search_space: what tuning searches, by the names of ``TrainingConfig`` in kebab case.
        widths: encoder -> the range of ``encoder-width`` that is searched beside it: every encoder counts its channels
            in units of its own.
    """

    name: str
    sees: tuple[str, ...]
    build: "Callable[[SignalShape, int, Architecture], keras.Model]"
    settings: Callable[[Any], Mapping[str, Any]]
    search_space: Mapping[str, Dimension]
    widths: Mapping[str, Whole] = field(default_factory=dict)

    @property
    def sees_signal(self) -> bool:
        """Whether it sees the recording."""
        return SIGNAL in self.sees


MODELS: dict[str, ModelSpec] = {}
"""Every model by its name, in the order in which they are trained and listed."""


def register_model(spec: ModelSpec) -> ModelSpec:
    """Make a model known to every stage.

    Raises:
        LeadwiseError: the name is taken, or the inputs are not those that the stages give.
    """
    if spec.name in MODELS or spec.name == ALL:
        raise LeadwiseError(f"model: received a second {spec.name!r}; taken: {', '.join([ALL, *MODELS])}")
    if spec.sees not in ((METADATA,), (METADATA, SIGNAL)):
        raise LeadwiseError(f"{spec.name}: sees {spec.sees}; allowed: {(METADATA,)} or {(METADATA, SIGNAL)}")
    MODELS[spec.name] = spec
    return spec


def model_spec(name: str) -> ModelSpec:
    """The model of a name.

    Raises:
        LeadwiseError: there is none; the message names those that there are.
    """
    if name not in MODELS:
        raise LeadwiseError(f"model: received {name!r}; allowed: {', '.join(MODELS)}")
    return MODELS[name]


def keras_backend() -> str:
    """The backend that ``leadwise.models.framework`` takes, without the seconds that importing Keras takes."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"
