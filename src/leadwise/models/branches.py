"""What stands beside and behind the encoder: the metadata branch and the heads."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def metadata_branch(metadata: "keras.KerasTensor", dropout: float) -> "keras.KerasTensor":
    """Two dense layers of 32 with drop-out: ``(batch, width)`` to ``(batch, 32)``."""
    from keras import layers

    features = metadata
    for block in (1, 2):
        features = layers.Dense(32, activation="relu", name=f"metadata_dense_{block}")(features)
        features = layers.Dropout(dropout, name=f"metadata_dropout_{block}")(features)
    return features


def dense_layers(features: "keras.KerasTensor", dropout: float) -> "keras.KerasTensor":
    """The original's two dense layers of 64, then drop-out: ``(batch, features)`` to ``(batch, 64)``."""
    from keras import layers

    for block in (1, 2):
        features = layers.Dense(64, activation="relu", name=f"head_dense_{block}")(features)
    return layers.Dropout(dropout, name="head_dropout")(features)


def head(features: "keras.KerasTensor", classes: int, name: str) -> "keras.KerasTensor":
    """Logits and sigmoid, ``(batch, features)`` to ``(batch, classes)``, in the layers ``name`` and ``name_logits``.

    In float32, whatever the layers before compute in: bfloat16 has eight bits for a logit, and ties where order counts.
    """
    from keras import layers

    logits = layers.Dense(classes, dtype="float32", name=f"{name}_logits")(features)
    return layers.Activation("sigmoid", dtype="float32", name=name)(logits)
