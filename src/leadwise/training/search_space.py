"""What a study searches: the parameters of each model's recipe, and between which values.

The names are those of params.yaml. What is configured is always inside: a range grows to reach it, and a parameter that
is switched off there (0 where the range is logarithmic, such as ``weight-decay`` or ``statement-weight``) stays off.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from leadwise.contract import EncoderName, ModelName
from leadwise.training.recipe import Recipe

EVERY_MODEL: Mapping[str, BaseDistribution] = {
    "learning-rate": FloatDistribution(5e-4, 1e-2, log=True),
    "weight-decay": FloatDistribution(1e-3, 1e-1, log=True),
    "dropout-branch": FloatDistribution(0.0, 0.6),
    "dropout-head": FloatDistribution(0.0, 0.7),
}
"""The batch size is not among them: it and the learning rate make up for each other (Goyal et al. 2017)."""

WITH_A_RECORDING: Mapping[str, BaseDistribution] = {
    "encoder": CategoricalDistribution(("se_resnet", "resnet1d_wang", "convnext")),
    "window-samples": IntDistribution(150, 500, step=50),
    "statement-weight": FloatDistribution(1.0, 20.0, log=True),
    "metadata-dropout": FloatDistribution(0.0, 0.4),
    "gain": FloatDistribution(0.0, 0.4),
    "mixup": FloatDistribution(0.0, 0.6),
}

DISTURBED: Mapping[str, BaseDistribution] = {
    "white-noise-mv": FloatDistribution(0.0, 0.05),
    "disturbed-share": FloatDistribution(0.0, 0.8),
    "noise-mv": FloatDistribution(0.0, 0.3),
    "wander-mv": FloatDistribution(0.0, 2.0),
    "hum-mv": FloatDistribution(0.0, 1.0),
    "silent-leads": IntDistribution(0, 8),
}

SPACES: Mapping[ModelName, Mapping[str, BaseDistribution]] = {
    "metadata": EVERY_MODEL,
    "fusion": {**EVERY_MODEL, **WITH_A_RECORDING},
    "fusion_augmented": {**EVERY_MODEL, **WITH_A_RECORDING, **DISTURBED},
}

WIDTHS: Mapping[EncoderName, IntDistribution] = {
    "se_resnet": IntDistribution(24, 64, step=8),
    "resnet1d_wang": IntDistribution(48, 112, step=16),
    "convnext": IntDistribution(32, 96, step=16),
    "original_cnn": IntDistribution(32, 96, step=16),
}
"""``encoder-width`` of each encoder: every one counts its channels in units of its own, so each has its own range."""


@dataclass(frozen=True)
class SearchSpace:
    """The space of one study.

    Attributes:
        dimensions: parameter of the recipe -> its distribution.
        widths: encoder -> the distribution of ``encoder-width`` beside it; empty without a recording.
    """

    dimensions: Mapping[str, BaseDistribution]
    widths: Mapping[str, BaseDistribution]

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Values of a trial by the names of the recipe."""
        drawn = {name: _suggest(trial, name, dimension) for name, dimension in self.dimensions.items()}
        if self.widths:
            name = _width_of(drawn["encoder"])
            drawn[name] = _suggest(trial, name, self.widths[drawn["encoder"]])
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
        described = {name: _said(dimension) for name, dimension in self.dimensions.items()}
        if self.widths:
            described["encoder-width"] = "; ".join(
                f"{encoder} {_said(width)}" for encoder, width in self.widths.items()
            )
        return described


def space_of(recipe: Recipe) -> SearchSpace:
    """The space around a recipe, which holds the recipe itself."""
    parameters = recipe.parameters()
    dimensions: dict[str, BaseDistribution] = {}
    for name, dimension in SPACES[recipe.model].items():
        if name == "metadata-dropout" and recipe.feature_set == "original":
            # Its features carry no masks: a hidden one would look like a patient.
            continue
        if (extended := reaching(dimension, parameters[name])) is not None:
            dimensions[name] = extended
    widths: dict[str, BaseDistribution] = {}
    if "encoder" in dimensions:
        encoders = cast(CategoricalDistribution, dimensions["encoder"]).choices
        widths = {encoder: width for encoder, width in WIDTHS.items() if encoder in encoders}
        extended = reaching(widths[recipe.encoder], recipe.encoder_width)
        assert extended is not None
        widths[recipe.encoder] = extended
    return SearchSpace(dimensions, widths)


def reaching(dimension: BaseDistribution, value: Any) -> BaseDistribution | None:
    """The range with a value inside, and on a step; ``None``: the value means off."""
    if isinstance(dimension, FloatDistribution):
        low, high = min(dimension.low, value), max(dimension.high, value)
        return None if dimension.log and value <= 0 else FloatDistribution(low, high, log=dimension.log)
    if isinstance(dimension, IntDistribution):
        low, high = min(dimension.low, value), max(dimension.high, value)
        step = math.gcd(dimension.step, dimension.low - low, value - low, high - low)
        return IntDistribution(low, high, step=max(step, 1))
    choices = cast(CategoricalDistribution, dimension).choices
    return dimension if value in choices else CategoricalDistribution((*choices, value))


def _suggest(trial: optuna.Trial, name: str, dimension: BaseDistribution) -> Any:
    if isinstance(dimension, FloatDistribution):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, IntDistribution):
        return trial.suggest_int(name, dimension.low, dimension.high, step=dimension.step)
    return trial.suggest_categorical(name, cast(CategoricalDistribution, dimension).choices)


def _said(dimension: BaseDistribution) -> str:
    if isinstance(dimension, FloatDistribution):
        return f"{dimension.low:g} to {dimension.high:g}{', logarithmic' if dimension.log else ''}"
    if isinstance(dimension, IntDistribution):
        return f"{dimension.low} to {dimension.high}{f' in steps of {dimension.step}' if dimension.step > 1 else ''}"
    return ", ".join(map(str, cast(CategoricalDistribution, dimension).choices))


def _width_of(encoder: str) -> str:
    return f"{encoder}-width"
