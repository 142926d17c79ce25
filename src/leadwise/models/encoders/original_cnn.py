"""The signal branch of the work that Leadwise grew from: three convolutions."""

from typing import TYPE_CHECKING

from leadwise.contract import SignalShape

if TYPE_CHECKING:
    import keras

KERNELS = (7, 3, 3)
"""Widths of the three convolutions, in samples."""


def original_cnn(shape: SignalShape, signal: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """Three convolutions with batch norm and relu, halved twice, averaged: ``(batch, time, lead)`` to ``(batch, 4w)``.

    The original has ``width`` 64 and sees 1000 samples at 100 Hz.
    """
    from keras import layers

    features = signal
    for block, kernel in enumerate(KERNELS, start=1):
        filters = width * 2 ** (block - 1)
        features = layers.Conv1D(filters, kernel, padding="same", name=f"signal_conv_{block}")(features)
        features = layers.BatchNormalization(name=f"signal_norm_{block}")(features)
        features = layers.ReLU(name=f"signal_relu_{block}")(features)
        if block < len(KERNELS):
            features = layers.MaxPooling1D(2, name=f"signal_pool_{block}")(features)
    return layers.GlobalAveragePooling1D(name="signal_features")(features)
