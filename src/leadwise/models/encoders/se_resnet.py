"""A residual network over time with squeeze-and-excitation (He et al. 2016, Hu et al. 2018)."""

from typing import TYPE_CHECKING

from leadwise.contract import SignalShape
from leadwise.models.layers import conv_norm, mean_and_max, squeeze_excite

if TYPE_CHECKING:
    import keras

STEM_SECONDS = 0.09
STAGES = (1, 2, 3, 4)
"""Channels of each stage in units of the width; every stage but the first halves the time."""
BLOCKS_PER_STAGE = 2


def se_resnet(shape: SignalShape, signal: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """A stem that halves the time and four stages of two blocks: ``(batch, time, lead)`` to ``(batch, 8 * width)``.

    The shortcut of a block that halves the time averages before its convolution, so that no sample is skipped (He et
    al. 2019, Bag of Tricks, variant D).
    """
    kernel = round(STEM_SECONDS * shape.fs_hz) | 1
    features = conv_norm(signal, width, kernel, "signal_stem", stride=2)
    for stage, factor in enumerate(STAGES, start=1):
        for block in range(1, BLOCKS_PER_STAGE + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            features = _block(features, factor * width, stride, f"signal_{stage}_{block}")
    return mean_and_max(features)


def _block(features: "keras.KerasTensor", filters: int, stride: int, name: str) -> "keras.KerasTensor":
    from keras import layers

    residual = conv_norm(features, filters, 3, f"{name}_first", stride=stride)
    residual = conv_norm(residual, filters, 3, f"{name}_second", relu=False)
    residual = squeeze_excite(residual, name)
    shortcut = features
    if stride > 1:
        shortcut = layers.AveragePooling1D(stride, padding="same", name=f"{name}_pool")(shortcut)
    if shortcut.shape[-1] != filters:
        shortcut = conv_norm(shortcut, filters, 1, f"{name}_shortcut", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, residual]))
