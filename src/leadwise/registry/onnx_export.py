"""From a Keras model to an ONNX file that needs no TensorFlow."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.contract import LEADS, RECORD_SAMPLES, STATEMENTS, SUPERCLASSES, LeadwiseError

if TYPE_CHECKING:
    import keras
    import onnx


def conv1d_to_conv2d(network: "keras.Model") -> "keras.Model":
    """The network with inputs, outputs and weights as they are; one without a signal is returned as it is.

    Args:
        network: of ``build_model``, trained.
    """
    from leadwise.models.framework import keras

    if "signal" not in network.input:
        return network
    width = network.input["metadata"].shape[-1]
    made: dict[str, keras.Layer] = {}

    def clone(layer: "keras.Layer") -> "keras.Layer":
        made[layer.name] = _over_images(layer)
        return made[layer.name]

    def inputs(*time: int | None) -> "dict[str, keras.KerasTensor]":
        return {
            "metadata": keras.Input((width,), name="metadata"),
            "signal": keras.Input((*time, len(LEADS)), name="signal"),
        }

    images = keras.models.clone_model(network, inputs(1, None), clone_function=clone, call_function=_without_mask)
    for name, layer in made.items():
        given = network.get_layer(name).get_weights()
        layer.set_weights([of.reshape(like.shape) for of, like in zip(given, layer.get_weights(), strict=True)])
    outer = inputs(None)
    row = keras.layers.Reshape((1, -1, len(LEADS)), name="signal_image")(outer["signal"])
    return keras.Model(outer, images(outer | {"signal": row}), name=network.name)


def _over_images(layer: "keras.Layer") -> "keras.Layer":
    """The layer that does to ``(batch, 1, time, channel)`` what this one does to ``(batch, time, channel)``."""
    from keras import layers

    config = layer.get_config()
    if isinstance(layer, layers.Dense) and len(layer.input.shape) == 3:
        kept = ("name", "activation", "use_bias")
        return layers.Conv2D(config["units"], 1, **{name: config[name] for name in kept})
    if (kind := type(layer).__name__).endswith("1D"):
        sizes = ("kernel_size", "strides", "pool_size", "dilation_rate")
        given = {name: _row(config[name]) for name in sizes if name in config}
        return getattr(layers, kind.replace("1D", "2D")).from_config(config | given)
    return layer.__class__.from_config(config)


def _row(size: Any) -> tuple[int, int]:
    return 1, size[0] if isinstance(size, tuple | list) else size


def _without_mask(layer: "keras.Layer", *arguments: Any, **named: Any) -> Any:
    """Pooling over time takes a mask, which no network of ours has, and pooling over images none."""
    return layer(*arguments, **{name: value for name, value in named.items() if name != "mask"})


OUTPUTS = {len(SUPERCLASSES): "superclasses", len(STATEMENTS): "statements"}
"""Name of an output by its width: the exporter does not keep the network's names."""


def export_onnx(network: "keras.Model", file: Path) -> None:
    """Write a network of ``build_model`` as ONNX, with any number of records and samples.

    Inputs and outputs are named as those of the network.

    Raises:
        LeadwiseError: Keras runs on another backend than TensorFlow.
    """
    import onnx

    from leadwise.models.framework import keras

    if keras.backend.backend() != "tensorflow":
        raise LeadwiseError(
            f"KERAS_BACKEND: received {keras.backend.backend()}; packaging needs tensorflow, on whichever the network "
            "was trained"
        )
    metadata_width = network.input["metadata"].shape[-1]
    inputs = {"metadata": np.zeros((1, metadata_width), np.float32)}
    if "signal" in network.input:
        inputs["signal"] = np.zeros((1, RECORD_SAMPLES, len(LEADS)), np.float32)
    network = conv1d_to_conv2d(network)
    # Keras exports a model only after its first call.
    network(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network.export(file, format="onnx", verbose=False)
    exported = onnx.load(file)
    _name_axes(exported)
    onnx.checker.check_model(exported)
    onnx.save(exported, file)


def _name_axes(exported: "onnx.ModelProto") -> None:
    """Give the outputs and the open axes names that a reader of the file understands."""
    graph = exported.graph
    names = {output.name: OUTPUTS[output.type.tensor_type.shape.dim[-1].dim_value] for output in graph.output}
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    for output in graph.output:
        output.name = names[output.name]
    for value in [*graph.input, *graph.output]:
        for axis, name in zip(value.type.tensor_type.shape.dim, ("batch", "time"), strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name
