"""Groups of Keras layers that several networks use: in encoders, beside them (metadata), behind them (heads)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

NORM_MOMENTUM = 0.9
"""Of the running statistics of batch norm: an epoch of PTB-XL has too few batches for Keras' 0.99."""


def conv_norm(
    features: "keras.KerasTensor", filters: int, width: int, name: str, *, stride: int = 1, relu: bool = True
) -> "keras.KerasTensor":
    """Convolution over time without bias, batch norm, and relu if wanted; the layers are named ``name_...``."""
    from keras import layers

    features = layers.Conv1D(
        filters,
        width,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(features)
    features = layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=1e-5, name=f"{name}_norm")(features)
    return layers.ReLU(name=f"{name}_relu")(features) if relu else features


def squeeze_excite(features: "keras.KerasTensor", name: str, *, reduction: int = 8) -> "keras.KerasTensor":
    """Weigh the channels by what the whole window holds (Hu et al. 2018, Squeeze-and-Excitation Networks)."""
    from keras import layers

    channels = features.shape[-1]
    assert channels is not None
    weights = layers.GlobalAveragePooling1D(keepdims=True, name=f"{name}_squeeze")(features)
    weights = layers.Dense(max(channels // reduction, 8), activation="relu", name=f"{name}_reduce")(weights)
    weights = layers.Dense(channels, activation="sigmoid", name=f"{name}_excite")(weights)
    return layers.Multiply(name=f"{name}_scale")([features, weights])


def mean_and_max(features: "keras.KerasTensor") -> "keras.KerasTensor":
    """Mean and maximum over time side by side: ``(batch, time, channel)`` to ``(batch, 2 * channel)``."""
    from keras import layers

    mean = layers.GlobalAveragePooling1D(name="signal_mean")(features)
    largest = layers.GlobalMaxPooling1D(name="signal_max")(features)
    return layers.Concatenate(name="signal_features")([mean, largest])


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
