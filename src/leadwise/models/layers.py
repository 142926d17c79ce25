"""What networks are made of: encoders of the recording, all with one signature, the metadata's branch, and heads.

``original_cnn`` is the signal branch of the work that Leadwise grew from. ``resnet1d_wang`` is the residual network of
Wang, Yan and Oates 2017 (doi:10.1109/IJCNN.2017.7966039) as of Strodthoff et al. 2021. ``se_resnet`` is a residual
network over time with squeeze-and-excitation (He et al. 2016, Hu et al. 2018).
"""

from collections.abc import Callable, Mapping

from leadwise.contract import EncoderName, SignalShape
from leadwise.models.framework import keras

layers = keras.layers

NORM_MOMENTUM = 0.9
"""Of the running statistics of batch norm: an epoch of PTB-XL has too few batches for Keras' 0.99."""


def conv_norm(
    features: keras.KerasTensor, filters: int, width: int, name: str, *, stride: int = 1, relu: bool = True
) -> keras.KerasTensor:
    """Convolution over time without bias, batch norm, and relu if wanted; the layers are named ``name_...``."""
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


def squeeze_excite(features: keras.KerasTensor, name: str, *, reduction: int = 8) -> keras.KerasTensor:
    """Weigh the channels by what the whole window holds (Hu et al. 2018, Squeeze-and-Excitation Networks)."""
    channels = features.shape[-1]
    assert channels is not None
    weights = layers.GlobalAveragePooling1D(keepdims=True, name=f"{name}_squeeze")(features)
    weights = layers.Dense(max(channels // reduction, 8), activation="relu", name=f"{name}_reduce")(weights)
    weights = layers.Dense(channels, activation="sigmoid", name=f"{name}_excite")(weights)
    return layers.Multiply(name=f"{name}_scale")([features, weights])


def mean_and_max(features: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and maximum over time side by side: ``(batch, time, channel)`` to ``(batch, 2 * channel)``."""
    mean = layers.GlobalAveragePooling1D(name="signal_mean")(features)
    largest = layers.GlobalMaxPooling1D(name="signal_max")(features)
    return layers.Concatenate(name="signal_features")([mean, largest])


KERNELS = (7, 3, 3)
"""Widths of the three convolutions, in samples."""


def original_cnn(shape: SignalShape, signal: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Three convolutions with batch norm and relu, halved twice, averaged: ``(batch, time, lead)`` to ``(batch, 4w)``.

    The original has ``width`` 64 and sees 1000 samples at 100 Hz.
    """
    features = signal
    for block, kernel in enumerate(KERNELS, start=1):
        filters = width * 2 ** (block - 1)
        features = layers.Conv1D(filters, kernel, padding="same", name=f"signal_conv_{block}")(features)
        features = layers.BatchNormalization(name=f"signal_norm_{block}")(features)
        features = layers.ReLU(name=f"signal_relu_{block}")(features)
        if block < len(KERNELS):
            features = layers.MaxPooling1D(2, name=f"signal_pool_{block}")(features)
    return layers.GlobalAveragePooling1D(name="signal_features")(features)


WANG_BLOCKS = 3


def resnet1d_wang(shape: SignalShape, signal: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """A stem and three residual blocks of one width: ``(batch, time, lead)`` to ``(batch, 2 * width)``.

    Strodthoff et al. 2021 (doi:10.1109/JBHI.2020.3022989) have ``width`` 128 and windows of 2.5 s at 100 Hz; the
    second and third block halve the time.
    """
    features = conv_norm(signal, width, 7, "signal_stem")
    for block in range(1, WANG_BLOCKS + 1):
        name, stride = f"signal_block_{block}", 1 if block == 1 else 2
        residual = conv_norm(features, width, 5, f"{name}_first", stride=stride)
        residual = conv_norm(residual, width, 3, f"{name}_second", relu=False)
        shortcut = features
        if stride > 1:
            shortcut = conv_norm(features, width, 1, f"{name}_shortcut", stride=stride, relu=False)
        features = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, residual]))
    return mean_and_max(features)


STEM_SECONDS = 0.09
STAGES = (1, 2, 3, 4)
"""Channels of each stage in units of the width; every stage but the first halves the time."""
BLOCKS_PER_STAGE = 2


def se_resnet(shape: SignalShape, signal: keras.KerasTensor, width: int) -> keras.KerasTensor:
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


def _block(features: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    residual = conv_norm(features, filters, 3, f"{name}_first", stride=stride)
    residual = conv_norm(residual, filters, 3, f"{name}_second", relu=False)
    residual = squeeze_excite(residual, name)
    shortcut = features
    if stride > 1:
        shortcut = layers.AveragePooling1D(stride, padding="same", name=f"{name}_pool")(shortcut)
    if shortcut.shape[-1] != filters:
        shortcut = conv_norm(shortcut, filters, 1, f"{name}_shortcut", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, residual]))


ENCODERS: Mapping[EncoderName, Callable[[SignalShape, keras.KerasTensor, int], keras.KerasTensor]] = {
    "original_cnn": original_cnn,
    "resnet1d_wang": resnet1d_wang,
    "se_resnet": se_resnet,
}
"""Each takes the signal's shape, ``(batch, time, lead)`` and its width, and gives ``(batch, features)``."""


def metadata_branch(metadata: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """Two dense layers of 32 with drop-out: ``(batch, width)`` to ``(batch, 32)``."""
    features = metadata
    for block in (1, 2):
        features = layers.Dense(32, activation="relu", name=f"metadata_dense_{block}")(features)
        features = layers.Dropout(dropout, name=f"metadata_dropout_{block}")(features)
    return features


def dense_layers(features: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """The original's two dense layers of 64, then drop-out: ``(batch, features)`` to ``(batch, 64)``."""
    for block in (1, 2):
        features = layers.Dense(64, activation="relu", name=f"head_dense_{block}")(features)
    return layers.Dropout(dropout, name="head_dropout")(features)


def head(features: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
    """Logits and sigmoid, ``(batch, features)`` to ``(batch, classes)``, in the layers ``name`` and ``name_logits``.

    In float32, whatever the layers before compute in: bfloat16 has eight bits for a logit, and ties where order counts.
    """
    logits = layers.Dense(classes, dtype="float32", name=f"{name}_logits")(features)
    return layers.Activation("sigmoid", dtype="float32", name=name)(logits)
