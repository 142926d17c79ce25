"""What one answer of a network costs, counted instead of timed."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def multiply_adds(network: "keras.Model") -> int:
    """Multiplications with an addition in the convolutions and dense layers for one window.

    A time would differ from machine to machine and from minute to minute; this number is the same everywhere, and
    what else a network does (norms, activations, pooling) is small beside it.

    Args:
        network: of ``build_model``, with a signal of known length.
    """
    return sum(_of_layer(layer) for layer in network.layers if getattr(layer, "kernel", None) is not None)


def _of_layer(layer: "keras.layers.Layer") -> int:
    """Every weight of the kernel is used once at every place of the output."""
    places = layer.output.shape[1:-1]
    if None in places:
        raise ValueError(f"{layer.name}: its output has the shape {layer.output.shape}; allowed: a known length")
    return math.prod(layer.kernel.shape) * math.prod(places)
