"""A network over time as a network over images that are one pixel high: the same numbers, sooner.

ONNX has no dense layer along time and TensorFlow no convolution of one dimension: exported as it is, every layer of an
encoder stands between reshapes, which keep ONNX Runtime from joining convolution, batch norm and relu and from laying
the channels side by side in memory. Of the image form it does both.
"""

from typing import TYPE_CHECKING, Any

from leadwise.contract import LEADS

if TYPE_CHECKING:
    import keras


def image_form(network: "keras.Model") -> "keras.Model":
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
    for of_time, of_images in (
        (layers.DepthwiseConv1D, layers.DepthwiseConv2D),
        (layers.Conv1D, layers.Conv2D),
        (layers.AveragePooling1D, layers.AveragePooling2D),
        (layers.MaxPooling1D, layers.MaxPooling2D),
        (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
        (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D),
    ):
        if isinstance(layer, of_time):
            sizes = ("kernel_size", "strides", "pool_size", "dilation_rate")
            return of_images.from_config(config | {name: _row(config[name]) for name in sizes if name in config})
    return layer.__class__.from_config(config)


def _row(size: Any) -> tuple[int, int]:
    return 1, size[0] if isinstance(size, tuple | list) else size


def _without_mask(layer: "keras.Layer", *arguments: Any, **named: Any) -> Any:
    """Pooling over time takes a mask, which no network of ours has, and pooling over images none."""
    return layer(*arguments, **{name: value for name, value in named.items() if name != "mask"})
