"""From a Keras model to an ONNX file that needs no TensorFlow."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leadwise.contract import LEADS, RECORD_SAMPLES, STATEMENTS, SUPERCLASSES, LeadwiseError
from leadwise.registry.image_form import image_form

if TYPE_CHECKING:
    import keras
    import onnx

OUTPUTS = {len(SUPERCLASSES): "superclasses", len(STATEMENTS): "statements"}
"""Name of an output by its width: the exporter does not keep the network's names."""


class ExportError(LeadwiseError):
    """A network cannot be written as ONNX."""


def export_onnx(network: "keras.Model", file: Path) -> None:
    """Write a network of ``build_model`` as ONNX, with any number of records and samples.

    Inputs and outputs are named as those of the network.

    Raises:
        ExportError: Keras runs on another backend than TensorFlow.
    """
    import onnx

    from leadwise.models.framework import keras

    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"KERAS_BACKEND: received {keras.backend.backend()}; packaging needs tensorflow, on whichever the network "
            "was trained"
        )
    metadata_width = network.input["metadata"].shape[-1]
    inputs = {"metadata": np.zeros((1, metadata_width), np.float32)}
    if "signal" in network.input:
        inputs["signal"] = np.zeros((1, RECORD_SAMPLES, len(LEADS)), np.float32)
    network = image_form(network)
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
