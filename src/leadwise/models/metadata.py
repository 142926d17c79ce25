"""``metadata``: the clinical features alone, in four small dense layers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leadwise.contract import SUPERCLASSES, SignalShape
from leadwise.models.spec import COMMON_SPACE, METADATA, Architecture, ModelSpec

if TYPE_CHECKING:
    import keras


def build(shape: SignalShape, metadata_width: int, architecture: Architecture) -> "keras.Model":
    """The original's network: 7,909 parameters with its seven features, 8,133 with the clinical ones and masks."""
    from leadwise.models.layers import dense_layers, head, keras, metadata_branch

    metadata = keras.Input((metadata_width,), name=METADATA)
    features = metadata_branch(metadata, architecture.dropout_branch)
    features = dense_layers(features, architecture.dropout_head)
    outputs = {"superclasses": head(features, len(SUPERCLASSES), "superclasses")}
    return keras.Model({METADATA: metadata}, outputs)


def settings(train: Any) -> Mapping[str, Any]:
    """Its own epochs; nothing of what concerns a recording; and so small a network gains nothing from bfloat16."""
    return {
        "epochs": train.epochs_metadata,
        "patience": train.patience_metadata,
        "statement_weight": 0.0,
        "feature_dropout": 0.0,
        "mixup": 0.0,
        "augment_prob": 0.0,
        "white_noise_mv": 0.0,
        "precision": "float32",
    }


METADATA_ALONE = ModelSpec("metadata", (METADATA,), build, settings, COMMON_SPACE)
