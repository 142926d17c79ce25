"""ConvNeXt over time: wide depthwise convolutions, layer norm, an inverted bottleneck (Liu et al. 2022)."""

from typing import TYPE_CHECKING

from leadwise.contract import SignalShape
from leadwise.models.layers import mean_and_max

if TYPE_CHECKING:
    import keras

STAGES = (1, 2, 3)
"""Channels of each stage in units of the width; every stage but the first halves the time."""
BLOCKS_PER_STAGE = 2
KERNEL_SECONDS = 0.28
EXPANSION = 2


def convnext(shape: SignalShape, signal: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """A stem of patches of four samples and three stages: ``(batch, time, lead)`` to ``(batch, 6 * width)``.

    The depthwise kernels span 0.28 s after the stem, about a QRS complex with its ST segment.
    """
    from keras import layers

    features = layers.Conv1D(width, 4, strides=4, padding="same", name="signal_stem_conv")(signal)
    features = layers.LayerNormalization(epsilon=1e-6, name="signal_stem_norm")(features)
    kernel = round(KERNEL_SECONDS * shape.fs_hz / 4) | 1
    for stage, factor in enumerate(STAGES, start=1):
        if stage > 1:
            features = layers.LayerNormalization(epsilon=1e-6, name=f"signal_{stage}_norm")(features)
            features = layers.Conv1D(factor * width, 2, strides=2, padding="same", name=f"signal_{stage}_down")(
                features
            )
        for block in range(1, BLOCKS_PER_STAGE + 1):
            features = _block(features, kernel, f"signal_{stage}_{block}")
    features = layers.LayerNormalization(epsilon=1e-6, name="signal_norm")(features)
    return mean_and_max(features)


def _block(features: "keras.KerasTensor", kernel: int, name: str) -> "keras.KerasTensor":
    from keras import layers

    channels = features.shape[-1]
    assert channels is not None
    residual = layers.DepthwiseConv1D(kernel, padding="same", name=f"{name}_depthwise")(features)
    residual = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(residual)
    residual = layers.Dense(EXPANSION * channels, activation="silu", name=f"{name}_expand")(residual)
    residual = layers.Dense(channels, name=f"{name}_project")(residual)
    return layers.Add(name=f"{name}_add")([features, residual])
