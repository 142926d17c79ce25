"""How one model is trained: the parameters that concern it, with what tuning found when that is asked for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from leadwise.config import Parameters
from leadwise.contract import EncoderName, HeadName, LeadwiseError, ModelName, Precision
from leadwise.ecg.augmentation import Augmentation
from leadwise.models.build import Architecture


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
    weight_decay: float
    ema_epochs: float
    batch_size: int
    epochs: int
    patience: int
    encoder: EncoderName
    encoder_width: int
    head: HeadName
    statement_weight: float
    dropout_branch: float
    dropout_head: float
    metadata_dropout: float
    window_samples: int
    gain: float
    white_noise_mv: float
    disturbed_share: float
    noise_mv: float
    wander_mv: float
    hum_mv: float
    silent_leads: int
    mixup: float
    privileged_weight: float = 0.0
    teachers: int = 0
    distillation: float = 0.0
    precision: Precision = "float32"
    time_stretch: float = 0.0

    @property
    def stride_samples(self) -> int:
        """Distance of two windows at prediction: they overlap by half."""
        return max(self.window_samples // 2, 1)

    @property
    def architecture(self) -> Architecture:
        """What the network is made of."""
        return Architecture(
            encoder=self.encoder,
            encoder_width=self.encoder_width,
            head=self.head,
            statements=self.statement_weight > 0,
            dropout_branch=self.dropout_branch,
            dropout_head=self.dropout_head,
            precision=self.precision,
        )

    @property
    def augmentation(self) -> Augmentation:
        """How training signals are disturbed."""
        return Augmentation(
            gain=self.gain,
            white_noise_mv=self.white_noise_mv,
            disturbed_share=self.disturbed_share,
            noise_mv=self.noise_mv,
            wander_mv=self.wander_mv,
            hum_mv=self.hum_mv,
            silent_leads=self.silent_leads,
        )

    def parameters(self) -> dict[str, Any]:
        """The recipe by kebab-case name."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}

    def fingerprint(self, manifest: Mapping[str, Any], targets_digest: str | None = None) -> str:
        """What must be equal for a checkpoint or a finished training to be taken up again.

        Args:
            manifest: of the store.
            targets_digest: of what the recipe's teachers say.
        """
        privileged = manifest["privileged_digest"] if self.privileged_weight else None
        content = json.dumps([self.parameters(), manifest["digest"], privileged, targets_digest], sort_keys=True)
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
        weight_decay=train.weight_decay,
        ema_epochs=train.ema_epochs,
        batch_size=train.batch_size,
        epochs=train.epochs_metadata if small else train.epochs_fusion,
        patience=train.patience_metadata if small else train.patience_fusion,
        encoder=train.encoder,
        encoder_width=train.encoder_width,
        head=train.head,
        statement_weight=0.0 if small else train.statement_weight,
        dropout_branch=train.dropout_branch,
        dropout_head=train.dropout_head,
        # The metadata model has nothing else to look at, and the original's features carry no masks.
        metadata_dropout=0.0 if small or shared.feature_set == "original" else train.metadata_dropout,
        window_samples=train.window_samples_augmented if augmented else train.window_samples,
        gain=train.gain,
        white_noise_mv=train.white_noise_mv if augmented else 0.0,
        disturbed_share=train.disturbed_share if augmented else 0.0,
        noise_mv=train.noise_mv if augmented else 0.0,
        wander_mv=train.wander_mv if augmented else 0.0,
        hum_mv=train.hum_mv if augmented else 0.0,
        silent_leads=train.silent_leads if augmented else 0,
        mixup=0.0 if small else train.mixup_augmented if augmented else train.mixup,
        privileged_weight=0.0 if small else train.privileged_weight,
        teachers=0 if small else train.teachers,
        distillation=train.distillation if train.teachers and not small else 0.0,
        # Three small dense layers have nothing to gain.
        precision="float32" if small else train.precision,
        time_stretch=train.time_stretch,
    )
    return with_values(recipe, tuned_values(model, parameters)) if train.use_tuned else recipe


def with_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with some parameters, by kebab-case name, replaced."""
    return replace(recipe, **{name.replace("-", "_"): value for name, value in values.items()})


def tuned_file(model: ModelName, parameters: Parameters) -> Path:
    """Where the tune stage writes the best parameters of a model and the train stage reads them."""
    return parameters.shared.workspace / "tuned" / parameters.shared.feature_set / f"{model}.json"


def tuned_from(model: ModelName, parameters: Parameters) -> dict[str, str]:
    """The study whose parameters a training takes, and the data that it was made on, as tags; empty without tuning."""
    if not parameters.train.use_tuned:
        return {}
    found = json.loads(tuned_file(model, parameters).read_text(encoding="utf-8"))
    return {"tuned.study": found["study"], "tuned.digest": found["digest"], "tuned.trial": str(found["trial"])}


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
