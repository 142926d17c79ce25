"""What a study searches: the parameters of each model's recipe, and between which values.

The names are those of params.yaml. What is configured is always inside: a range grows to reach it, and a parameter that
is switched off there (0 where the range is logarithmic, such as ``weight-decay`` or ``statement-weight``) stays off.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from leadwise.contract import EncoderName, ModelName
from leadwise.training.recipe import Recipe

if TYPE_CHECKING:
    import optuna


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

EVERY_MODEL: Mapping[str, Dimension] = {
    "learning-rate": Real(5e-4, 1e-2, log=True),
    "weight-decay": Real(1e-3, 1e-1, log=True),
    "dropout-branch": Real(0.0, 0.6),
    "dropout-head": Real(0.0, 0.7),
}
"""The batch size is not among them: it and the learning rate make up for each other (Goyal et al. 2017)."""

WITH_A_RECORDING: Mapping[str, Dimension] = {
    "encoder": Choice(("se_resnet", "resnet1d_wang", "convnext")),
    "window-samples": Whole(150, 500, step=50),
    "statement-weight": Real(1.0, 20.0, log=True),
    "metadata-dropout": Real(0.0, 0.4),
    "gain": Real(0.0, 0.4),
    "mixup": Real(0.0, 0.6),
}

DISTURBED: Mapping[str, Dimension] = {
    "white-noise-mv": Real(0.0, 0.05),
    "disturbed-share": Real(0.0, 0.8),
    "noise-mv": Real(0.0, 0.3),
    "wander-mv": Real(0.0, 2.0),
    "hum-mv": Real(0.0, 1.0),
    "silent-leads": Whole(0, 8),
}

SPACES: Mapping[ModelName, Mapping[str, Dimension]] = {
    "metadata": EVERY_MODEL,
    "fusion": {**EVERY_MODEL, **WITH_A_RECORDING},
    "fusion_augmented": {**EVERY_MODEL, **WITH_A_RECORDING, **DISTURBED},
}

WIDTHS: Mapping[EncoderName, Whole] = {
    "se_resnet": Whole(24, 64, step=8),
    "resnet1d_wang": Whole(48, 112, step=16),
    "convnext": Whole(32, 96, step=16),
    "original_cnn": Whole(32, 96, step=16),
}
"""``encoder-width`` of each encoder: every one counts its channels in units of its own, so each has its own range."""


@dataclass(frozen=True)
class SearchSpace:
    """The space of one study.

    Attributes:
        dimensions: parameter of the recipe -> its range.
        widths: encoder -> the range of ``encoder-width`` beside it; empty without a recording.
    """

    dimensions: Mapping[str, Dimension]
    widths: Mapping[str, Whole]

    def draw(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Values of a trial by the names of the recipe."""
        drawn: dict[str, Any] = {name: dimension.draw(trial, name) for name, dimension in self.dimensions.items()}
        if self.widths:
            encoder = drawn["encoder"]
            drawn[_width_of(encoder)] = self.widths[encoder].draw(trial, _width_of(encoder))
        return self.recipe_values(drawn)

    def recipe_values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial has drawn, by the names of the recipe."""
        values = {name: value for name, value in drawn.items() if name in self.dimensions}
        if self.widths and "encoder" in drawn and _width_of(drawn["encoder"]) in drawn:
            values["encoder-width"] = drawn[_width_of(drawn["encoder"])]
        return values

    def drawn_from(self, recipe: Recipe) -> dict[str, Any]:
        """What a trial would have drawn that has the recipe's own values."""
        parameters = recipe.parameters()
        drawn = {name: parameters[name] for name in self.dimensions}
        return drawn | ({_width_of(recipe.encoder): recipe.encoder_width} if self.widths else {})

    def described(self) -> dict[str, str]:
        """Parameter of the recipe -> its range in words."""
        described = {name: str(dimension) for name, dimension in self.dimensions.items()}
        if self.widths:
            described["encoder-width"] = "; ".join(f"{encoder} {width}" for encoder, width in self.widths.items())
        return described


def space_of(recipe: Recipe) -> SearchSpace:
    """The space around a recipe, which holds the recipe itself."""
    parameters = recipe.parameters()
    dimensions: dict[str, Dimension] = {}
    for name, dimension in SPACES[recipe.model].items():
        if name == "metadata-dropout" and recipe.feature_set == "original":
            # Its features carry no masks: a hidden one would look like a patient.
            continue
        if (reaching := dimension.reaching(parameters[name])) is not None:
            dimensions[name] = reaching
    encoders = dimensions.get("encoder")
    widths: dict[str, Whole] = {}
    if isinstance(encoders, Choice):
        widths = {encoder: width for encoder, width in WIDTHS.items() if encoder in encoders.options}
        widths[recipe.encoder] = widths[recipe.encoder].reaching(recipe.encoder_width)
    return SearchSpace(dimensions, widths)


def _width_of(encoder: str) -> str:
    return f"{encoder}-width"
