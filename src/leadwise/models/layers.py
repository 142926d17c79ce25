"""Groups of Keras layers that several encoders use."""

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
