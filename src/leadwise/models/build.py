"""A network of the registry, built, in the precision of its training or as it is served, and what an answer costs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from leadwise.contract import Precision, SignalShape
from leadwise.models.spec import Architecture, model_spec

if TYPE_CHECKING:
    import keras

ORIGINAL = Architecture()


def build_model(
    name: str,
    shape: SignalShape,
    *,
    metadata_width: int,
    architecture: Architecture = ORIGINAL,
    seed: int | None = None,
) -> "keras.Model":
    """Build a network, not yet trained.

    Inputs are named ``signal``, ``(batch, time, lead)`` float32 standard deviations, and ``metadata``,
    ``(batch, metadata_width)`` float32; a model has those that it sees. Outputs are named ``superclasses``,
    ``(batch, 5)`` probabilities in the order of ``SUPERCLASSES``, several of which may be high at once, and, where the
    architecture has it, ``statements``, ``(batch, 71)`` in the order of ``STATEMENTS``.

    Args:
        name: of a registered model.
        shape: the signal that it sees.
        metadata_width: columns of the metadata input.
        architecture: what it is made of.
        seed: seed of the initial weights and of drop-out.

    Raises:
        LeadwiseError: ``name`` or the encoder is unknown.
    """
    from leadwise.models.framework import keras

    spec = model_spec(name)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    with _layers_compute_in(architecture.precision):
        network = spec.build(shape, metadata_width, architecture)
    network.name = name
    return network


@contextmanager
def _layers_compute_in(precision: Precision) -> Iterator[None]:
    """Layers that are made inside compute in this precision."""
    from leadwise.models.framework import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def as_served(network: "keras.Model") -> "keras.Model":
    """The network as it is evaluated and served: the same weights, in float32."""
    from leadwise.models.framework import keras

    if all(layer.compute_dtype == "float32" for layer in network.layers):
        return network
    copy = keras.models.clone_model(network, clone_function=_in_float32)
    copy.set_weights(network.get_weights())
    return copy


def _in_float32(layer: "keras.Layer") -> "keras.Layer":
    return type(layer).from_config(layer.get_config() | {"dtype": "float32"})


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
