"""How one model is trained: the parameters that concern it, with what tuning found when that is asked for."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from leadwise.config import Parameters
from leadwise.contract import RECORD_SAMPLES, LeadwiseError, ModelName

TUNED_STRIDE_SAMPLES = 100
"""Distance of two windows when a model that was trained on shorter windows reads a whole record."""


class TunedParametersError(LeadwiseError):
    """The tuned parameters are asked for, but absent or unreadable."""


@dataclass(frozen=True)
class Recipe:
    """What ``fit_model`` needs to know besides the data; names and meanings as in params.yaml."""

    model: ModelName
    feature_set: str
    monitor: str
    seed: int
    learning_rate: float
    schedule: str
    batch_size: int
    epochs: int
    patience: int
    dropout_branch: float
    dropout_head: float
    metadata_dropout: float
    window_samples: int
    noise_sd: float

    @property
    def stride_samples(self) -> int:
        """Distance of two windows at prediction."""
        return TUNED_STRIDE_SAMPLES if self.window_samples < RECORD_SAMPLES else RECORD_SAMPLES

    def parameters(self) -> dict[str, Any]:
        """The recipe by kebab-case name."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}

    def fingerprint(self, data_digest: str) -> str:
        """What must be equal for a checkpoint or a finished training to be taken up again."""
        content = json.dumps([self.parameters(), data_digest], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def recipe_for(model: ModelName, parameters: Parameters) -> Recipe:
    """The recipe of one model.

    Raises:
        TunedParametersError: ``use-tuned`` is set and the tune stage has left nothing for this model.
    """
    train, shared = parameters.train, parameters.shared
    augmented, small = model == "fusion_augmented", model == "metadata"
    recipe = Recipe(
        model=model,
        feature_set=shared.feature_set,
        monitor=shared.monitor,
        seed=shared.seed,
        learning_rate=train.learning_rate,
        schedule=train.schedule,
        batch_size=train.batch_size,
        epochs=train.epochs_metadata if small else train.epochs_fusion,
        patience=train.patience_metadata if small else train.patience_fusion,
        dropout_branch=train.dropout_branch,
        dropout_head=train.dropout_head,
        # The metadata model has nothing else to look at, and the original's features carry no masks.
        metadata_dropout=0.0 if small or shared.feature_set == "original" else train.metadata_dropout,
        window_samples=train.window_samples if augmented else RECORD_SAMPLES,
        noise_sd=train.noise_sd if augmented else 0.0,
    )
    return with_values(recipe, tuned_values(model, parameters)) if train.use_tuned else recipe


def with_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with some parameters, by kebab-case name, replaced."""
    return replace(recipe, **{name.replace("-", "_"): value for name, value in values.items()})


def tuned_file(model: ModelName, parameters: Parameters) -> Path:
    """Where the tune stage writes the best parameters of a model and the train stage reads them."""
    return parameters.shared.workspace / "tuned" / parameters.shared.feature_set / f"{model}.json"


def tuned_values(model: ModelName, parameters: Parameters) -> dict[str, Any]:
    """What tuning found for a model, by kebab-case name."""
    file = tuned_file(model, parameters)
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise TunedParametersError(
            f"use-tuned: {file} is absent or unreadable ({error}); run the tune stage for {model} first"
        ) from error
    return values
