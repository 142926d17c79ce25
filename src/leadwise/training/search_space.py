"""What a study searches: the search space of a model, around what is configured for it.

The names are those of ``TrainingConfig`` in kebab case. What is configured is always inside: a range grows to reach it,
and a parameter that is switched off (0 where the range is logarithmic, as for ``statement-weight``) stays off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leadwise.models.spec import Choice, Dimension, Whole, model_spec
from leadwise.training.config import TrainingConfig

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class SearchSpace:
    """The space of one study.

    Attributes:
        dimensions: parameter -> its range.
        widths: encoder -> the range of ``encoder-width`` beside it; empty without a recording.
    """

    dimensions: Mapping[str, Dimension]
    widths: Mapping[str, Whole]

    def draw(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Values of a trial by the names of ``TrainingConfig``."""
        drawn: dict[str, Any] = {name: dimension.draw(trial, name) for name, dimension in self.dimensions.items()}
        if self.widths:
            encoder = drawn["encoder"]
            drawn[_width_of(encoder)] = self.widths[encoder].draw(trial, _width_of(encoder))
        return self.config_values(drawn)

    def config_values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial has drawn, by the names of ``TrainingConfig``."""
        values = {name: value for name, value in drawn.items() if name in self.dimensions}
        if self.widths and "encoder" in drawn and _width_of(drawn["encoder"]) in drawn:
            values["encoder-width"] = drawn[_width_of(drawn["encoder"])]
        return values

    def drawn_from(self, config: TrainingConfig) -> dict[str, Any]:
        """What a trial would have drawn that has the configured values."""
        parameters = config.parameters()
        drawn = {name: parameters[name] for name in self.dimensions}
        return drawn | ({_width_of(config.encoder): config.encoder_width} if self.widths else {})

    def described(self) -> dict[str, str]:
        """Parameter -> its range in words."""
        described = {name: str(dimension) for name, dimension in self.dimensions.items()}
        if self.widths:
            described["encoder-width"] = "; ".join(f"{encoder} {width}" for encoder, width in self.widths.items())
        return described


def space_of(config: TrainingConfig) -> SearchSpace:
    """The space around a configuration, which holds the configuration itself."""
    parameters = config.parameters()
    dimensions: dict[str, Dimension] = {}
    spec = model_spec(config.model)
    for name, dimension in spec.search_space.items():
        if name == "feature-dropout" and config.feature_set == "original":
            # Its features carry no masks: one that is dropped would look like a patient.
            continue
        if (reaching := dimension.reaching(parameters[name])) is not None:
            dimensions[name] = reaching
    encoders = dimensions.get("encoder")
    widths: dict[str, Whole] = {}
    if isinstance(encoders, Choice):
        widths = {encoder: width for encoder, width in spec.widths.items() if encoder in encoders.options}
        widths[config.encoder] = widths[config.encoder].reaching(config.encoder_width)
    return SearchSpace(dimensions, widths)


def _width_of(encoder: str) -> str:
    return f"{encoder}-width"
