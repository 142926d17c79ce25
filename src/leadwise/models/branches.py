"""The two branches and the head of the original's networks, as Keras 3 layers with names."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

CONVOLUTIONS: tuple[tuple[int, int], ...] = ((64, 7), (128, 3), (256, 3))
"""Filters and kernel width, in samples, of the signal branch's three convolutions."""


def metadata_branch(metadata: "keras.KerasTensor", dropout: float) -> "keras.KerasTensor":
    """Two dense layers of 32 with drop-out: ``(batch, width)`` to ``(batch, 32)``."""
    from keras import layers

    features = metadata
    for block in (1, 2):
        features = layers.Dense(32, activation="relu", name=f"metadata_dense_{block}")(features)
        features = layers.Dropout(dropout, name=f"metadata_dropout_{block}")(features)
    return features


def signal_branch(signal: "keras.KerasTensor", dropout: float) -> "keras.KerasTensor":
    """Three convolutions with batch norm and relu, pooled over time: ``(batch, time, lead)`` to ``(batch, 256)``."""
    from keras import layers

    features = signal
    for block, (filters, width) in enumerate(CONVOLUTIONS, start=1):
        features = layers.Conv1D(filters, width, padding="same", name=f"signal_conv_{block}")(features)
        features = layers.BatchNormalization(name=f"signal_norm_{block}")(features)
        features = layers.ReLU(name=f"signal_relu_{block}")(features)
        if block < len(CONVOLUTIONS):
            features = layers.MaxPooling1D(2, name=f"signal_pool_{block}")(features)
    features = layers.GlobalAveragePooling1D(name="signal_mean")(features)
    return layers.Dropout(dropout, name="signal_dropout")(features)


def head(features: "keras.KerasTensor", classes: int, dropout: float) -> "keras.KerasTensor":
    """Two dense layers of 64, drop-out, logits, sigmoid: ``(batch, features)`` to ``(batch, classes)``."""
    from keras import layers

    for block in (1, 2):
        features = layers.Dense(64, activation="relu", name=f"head_dense_{block}")(features)
    features = layers.Dropout(dropout, name="head_dropout")(features)
    logits = layers.Dense(classes, name="logits")(features)
    return layers.Activation("sigmoid", dtype="float32", name="probabilities")(logits)
