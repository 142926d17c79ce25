"""The parts of packages that tests compute by hand: a table of made-up patients, and networks of one layer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from onnx import ModelProto, TensorProto, helper, numpy_helper

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.metadata import MetadataTransformer

THRESHOLDS = {name: 0.3 + 0.1 * k for k, name in enumerate(SUPERCLASSES)}
TEMPERATURE = 1.7
TOLD = {"IMI": (0.9, 0.4, 0.2), "PVC": (1.5, -0.3, 0.5), "AFIB": (1.1, 0.2, 0.35), "PACE": (1.0, 0.0, 0.99)}
"""Trusted statement -> slope, intercept and threshold; the others are silent."""


def transformer_of(rng: np.random.Generator) -> MetadataTransformer:
    """Clinical features, scaled by fifty patients of these random numbers."""
    patients = pd.DataFrame(
        {
            "age": rng.uniform(20, 90, 50),
            "sex": rng.integers(0, 2, 50).astype(float),
            "height_cm": rng.normal(170, 10, 50),
            "weight_kg": rng.normal(75, 12, 50),
            "pacemaker": rng.integers(0, 2, 50).astype(float),
        }
    )
    return MetadataTransformer.fit(patients, "clinical")


def small_network(weights: Mapping[str, np.ndarray]) -> ModelProto:
    """sigmoid(metadata @ of_metadata), and as far as the weights are there:

    with ``of_signal``, sigmoid(metadata @ of_metadata + mean over time @ of_signal);
    with ``of_strength`` and ``bias``, sigmoid(metadata @ of_metadata + mean of |signal| @ of_strength + bias);
    with ``to_statements``, the statements: sigmoid(mean over time @ to_statements).
    """
    inputs = [_values("metadata", "batch", weights["of_metadata"].shape[0])]
    outputs = [_values("superclasses", "batch", weights["of_metadata"].shape[1])]
    nodes = [helper.make_node("MatMul", ["metadata", "of_metadata"], ["facts"])]
    total = "facts"
    for name in weights.keys() & {"of_signal", "of_strength"}:
        inputs.append(_values("signal", "batch", "time", weights[name].shape[0]))
        kept = "Abs" if name == "of_strength" else "Identity"
        nodes += [
            helper.make_node(kept, ["signal"], ["kept"]),
            helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", name], ["waves"]),
            helper.make_node("Add", ["facts", "waves"], ["logits"]),
        ]
        total = "logits"
    if "bias" in weights:
        nodes.append(helper.make_node("Add", [total, "bias"], ["with_bias"]))
        total = "with_bias"
    if "to_statements" in weights:
        outputs.append(_values("statements", "batch", weights["to_statements"].shape[1]))
        nodes += [
            helper.make_node("MatMul", ["mean", "to_statements"], ["statement_logits"]),
            helper.make_node("Sigmoid", ["statement_logits"], ["statements"]),
        ]
    nodes.append(helper.make_node("Sigmoid", [total], ["superclasses"]))
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def _values(name: str, *shape: str | int) -> "helper.ValueInfoProto":
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
