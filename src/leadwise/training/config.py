"""How one model is trained: the parameters that concern it, with what tuning found when that is asked for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from leadwise.config import Parameters
from leadwise.contract import EncoderName, HeadName, LeadwiseError, Precision
from leadwise.ecg.noise import Augmentation
from leadwise.models.spec import Architecture, model_spec

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions without which bfloat16 is slower than float32."""


@dataclass(frozen=True)
class TrainingConfig:
    """What ``fit_model`` needs to know besides the data; names and meanings as in ``config.Train``.

    ``precision`` is what is computed in, never ``auto``.
    """

    model: str
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
    feature_dropout: float
    window_samples: int
    amplitude_scale: float
    white_noise_mv: float
    augment_prob: float
    mixup: float
    noise_mv: float = 0.0
    wander_mv: float = 0.0
    hum_mv: float = 0.0
    lead_dropout: int = 0
    precision: Precision = "float32"

    @property
    def sees_signal(self) -> bool:
        """Whether the model sees the recording."""
        return model_spec(self.model).sees_signal

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
        """How training signals are corrupted: the fields of the same names."""
        return Augmentation(**{field.name: getattr(self, field.name) for field in fields(Augmentation)})

    def parameters(self) -> dict[str, Any]:
        """All of it by kebab-case name."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}

    def fingerprint(self, manifest: Mapping[str, Any]) -> str:
        """What must be equal for a checkpoint or a finished training of a store to be taken up again."""
        content = json.dumps([self.parameters(), manifest["digest"]], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def training_config(model: str, parameters: Parameters) -> TrainingConfig:
    """How one model is trained: the parameters, where the model's ``settings`` say nothing else.

    Raises:
        LeadwiseError: there is no such model; ``use-tuned`` is set and the tune stage has left nothing for this model.
    """
    train, shared = parameters.train, parameters.shared
    given: dict[str, Any] = {"feature_set": shared.feature_set, "monitor": shared.monitor, "seed": shared.seed}
    given |= {name: getattr(train, name) for name in type(train).model_fields if name in _FIELDS}
    given |= {"precision": precision_here(train.precision), **model_spec(model).settings(train), "model": model}
    if shared.feature_set == "original":
        # Its features carry no masks: one that is dropped would look like a patient.
        given["feature_dropout"] = 0.0
    config = TrainingConfig(**given)
    return with_values(config, tuned_values(model, parameters)) if train.use_tuned else config


_FIELDS = frozenset(field.name for field in fields(TrainingConfig)) - {"model"}


def precision_here(asked: str, cpu_info: Path = CPU_INFO) -> Precision:
    """What ``auto`` means here: bfloat16 where the processor says that it computes in it, else float32.

    Args:
        asked: ``auto``, or a precision, which is given back.
        cpu_info: Linux' description of the processor; where there is none, nothing is known of it.
    """
    if asked != "auto":
        return "bfloat16" if asked == "bfloat16" else "float32"
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "float32"
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return "bfloat16" if BFLOAT16_FLAGS.intersection(flags) else "float32"


def with_values(config: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
    """The configuration with some parameters, by kebab-case name, replaced."""
    return replace(config, **{name.replace("-", "_"): value for name, value in values.items()})


def tuned_file(model: str, parameters: Parameters) -> Path:
    """Where the tune stage writes the best parameters of a model and the train stage reads them."""
    return parameters.shared.workspace / "tuned" / parameters.shared.feature_set / f"{model}.json"


def tuned_from(model: str, parameters: Parameters) -> dict[str, str]:
    """The study whose parameters a training takes, and the data that it was made on, as tags; empty without tuning."""
    if not parameters.train.use_tuned:
        return {}
    found = json.loads(tuned_file(model, parameters).read_text(encoding="utf-8"))
    return {"tuned.study": found["study"], "tuned.digest": found["digest"], "tuned.trial": str(found["trial"])}


def tuned_values(model: str, parameters: Parameters) -> dict[str, Any]:
    """What tuning found for a model, by kebab-case name.

    Raises:
        LeadwiseError: the file is absent or unreadable, or is of a version with other parameters.
    """
    file = tuned_file(model, parameters)
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise LeadwiseError(
            f"use-tuned: {file} is absent or unreadable ({error}); run the tune stage for {model} first"
        ) from error
    if unknown := sorted(name for name in values if name.replace("-", "_") not in _FIELDS):
        raise LeadwiseError(
            f"use-tuned: {file} has {', '.join(unknown)}, which no training takes; run the tune stage for {model} again"
        )
    return values
