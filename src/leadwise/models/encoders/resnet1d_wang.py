"""The residual network of Wang, Yan and Oates 2017 (doi:10.1109/IJCNN.2017.7966039) as of Strodthoff et al. 2021."""

from typing import TYPE_CHECKING

from leadwise.contract import SignalShape
from leadwise.models.layers import conv_norm, mean_and_max

if TYPE_CHECKING:
    import keras

BLOCKS = 3


def resnet1d_wang(shape: SignalShape, signal: "keras.KerasTensor", width: int) -> "keras.KerasTensor":
    """A stem and three residual blocks of one width: ``(batch, time, lead)`` to ``(batch, 2 * width)``.

    Strodthoff et al. 2021 (doi:10.1109/JBHI.2020.3022989) have ``width`` 128 and windows of 2.5 s at 100 Hz; the
    second and third block halve the time.
    """
    from keras import layers

    features = conv_norm(signal, width, 7, "signal_stem")
    for block in range(1, BLOCKS + 1):
        name, stride = f"signal_block_{block}", 1 if block == 1 else 2
        residual = conv_norm(features, width, 5, f"{name}_first", stride=stride)
        residual = conv_norm(residual, width, 3, f"{name}_second", relu=False)
        shortcut = features
        if stride > 1:
            shortcut = conv_norm(features, width, 1, f"{name}_shortcut", stride=stride, relu=False)
        features = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, residual]))
    return mean_and_max(features)
