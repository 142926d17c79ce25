"""``fusion`` and ``fusion_augmented``: one network of metadata and recording, trained on clean or corrupted signals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leadwise.contract import ENCODER_NAMES, STATEMENTS, SUPERCLASSES, LeadwiseError, SignalShape
from leadwise.models.spec import COMMON_SPACE, METADATA, SIGNAL, Architecture, Choice, Dimension, ModelSpec, Real, Whole

if TYPE_CHECKING:
    import keras


def build(shape: SignalShape, metadata_width: int, architecture: Architecture) -> "keras.Model":
    """The metadata branch beside an encoder of the recording.

    With the original's seven features and its architecture 154,789 parameters; with the clinical features and their
    seven missing-value masks 155,013.

    Raises:
        LeadwiseError: the encoder is unknown.
    """
    from leadwise.models.layers import ENCODERS, dense_layers, head, keras, metadata_branch

    if architecture.encoder not in ENCODERS:
        raise LeadwiseError(f"encoder: received {architecture.encoder!r}; allowed: {', '.join(ENCODER_NAMES)}")
    metadata = keras.Input((metadata_width,), name=METADATA)
    signal = keras.Input((shape.samples, shape.leads), name=SIGNAL)
    features = metadata_branch(metadata, architecture.dropout_branch)
    encoded = ENCODERS[architecture.encoder](shape, signal, architecture.encoder_width)
    encoded = keras.layers.Dropout(architecture.dropout_head, name="signal_dropout")(encoded)
    features = keras.layers.Concatenate(name="fusion")([features, encoded])
    if architecture.head == "dense":
        features = dense_layers(features, architecture.dropout_head)
    outputs = {"superclasses": head(features, len(SUPERCLASSES), "superclasses")}
    if architecture.statements:
        outputs["statements"] = head(features, len(STATEMENTS), "statements")
    return keras.Model({METADATA: metadata, SIGNAL: signal}, outputs)


def clean(train: Any) -> Mapping[str, Any]:
    """Recordings as they are, but for their amplitudes."""
    return {
        "epochs": train.epochs_fusion,
        "patience": train.patience_fusion,
        "white_noise_mv": 0.0,
        "augment_prob": 0.0,
    }


def corrupted(train: Any) -> Mapping[str, Any]:
    """Recordings with noise, wander, hum and leads that are dropped, and windows and mixup of its own."""
    return {
        "epochs": train.epochs_fusion,
        "patience": train.patience_fusion,
        # How much of each, at most: no parameters, as only tuning has ever set others.
        "noise_mv": 0.15,
        "wander_mv": 1.0,
        "hum_mv": 0.5,
        "lead_dropout": 6,
        "window_samples": train.window_samples_augmented,
        "mixup": train.mixup_augmented,
    }


SIGNAL_SPACE: Mapping[str, Dimension] = {
    **COMMON_SPACE,
    "encoder": Choice(("se_resnet", "resnet1d_wang")),
    "window-samples": Whole(150, 500, step=50),
    "statement-weight": Real(1.0, 20.0, log=True),
    "feature-dropout": Real(0.0, 0.4),
    "amplitude-scale": Real(0.0, 0.4),
    "mixup": Real(0.0, 0.6),
}

CORRUPTION_SPACE: Mapping[str, Dimension] = {
    "white-noise-mv": Real(0.0, 0.05),
    "augment-prob": Real(0.0, 0.8),
    "noise-mv": Real(0.0, 0.3),
    "wander-mv": Real(0.0, 2.0),
    "hum-mv": Real(0.0, 1.0),
    "lead-dropout": Whole(0, 8),
}

WIDTHS: Mapping[str, Whole] = {
    "se_resnet": Whole(24, 64, step=8),
    "resnet1d_wang": Whole(48, 112, step=16),
    "original_cnn": Whole(32, 96, step=16),
}

FUSION = ModelSpec("fusion", (METADATA, SIGNAL), build, clean, SIGNAL_SPACE, WIDTHS)
FUSION_AUGMENTED = ModelSpec(
    "fusion_augmented", (METADATA, SIGNAL), build, corrupted, {**SIGNAL_SPACE, **CORRUPTION_SPACE}, WIDTHS
)
