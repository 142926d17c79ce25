"""A package that tests compute by hand: made-up patients, and networks of one layer in real ONNX files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import ModelProto, TensorProto, helper, numpy_helper

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.releases import STATEMENT_TABLE
from leadwise.decision import Calibration
from leadwise.ecg.preprocessing import SignalPreprocessing

THRESHOLDS = {name: 0.3 + 0.1 * k for k, name in enumerate(SUPERCLASSES)}
TEMPERATURE = 1.7
TOLD = {"IMI": (0.9, 0.4, 0.2), "PVC": (1.5, -0.3, 0.5), "AFIB": (1.1, 0.2, 0.35), "PACE": (1.0, 0.0, 0.99)}
"""Trusted statement -> slope, intercept and threshold; the others are silent."""
SIGNAL = SignalPreprocessing(0.01, 0.25, window_samples=800, stride_samples=100)
RATES = {"fusion": 0.8, "metadata": 0.3}
"""Sensitivity, specificity and positive predictive value of the first class; the others have a hundredth more each."""


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


def weights_of(transformer: MetadataTransformer) -> dict[str, np.ndarray]:
    """Of the network with a signal and statements."""
    rng = np.random.default_rng(1)
    shapes = {"of_signal": (12, 5), "of_metadata": (transformer.width, 5), "to_statements": (12, 71)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_package(folder: Path, transformer: MetadataTransformer, weights: Mapping[str, np.ndarray]) -> Path:
    """A network with a signal, one without unless there is one already, the description and a card."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(small_network(weights), folder / "fusion.onnx")
    if not (folder / "metadata.onnx").exists():
        onnx.save(small_network({"of_metadata": weights["of_metadata"]}), folder / "metadata.onnx")
    networks = {}
    for role, name in (("fusion", "fusion_augmented"), ("metadata", "metadata")):
        rates = {one: [RATES[role] + 0.01 * k, 0.1, 0.9] for k, one in enumerate(SUPERCLASSES)}
        networks[role] = {
            "name": name,
            "file": f"{role}.onnx",
            "preprocessing": {
                "signal": SIGNAL.to_dict() if role == "fusion" else None,
                "metadata": transformer.to_dict(),
            },
            "decision": Calibration.of_temperature(TEMPERATURE).to_dict() | {"policy": "best_f1", "policies": POLICIES},
            "statements": _statements() if role == "fusion" and "to_statements" in weights else [],
            "policy_rates": {"best_f1": dict.fromkeys(("sensitivity", "specificity", "ppv"), rates)},
            "test": {},
        }
    about = {"simulated": True, "test_records": 321, "leadwise": "0", "data": {"dataset": "synthetic"}}
    (folder / "model.json").write_text(json.dumps({"networks": networks} | about), encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text("# A small package\n", encoding="utf-8")
    return folder


def _policy(rule: str, limits: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """A policy of ``decision.json``: of each class a threshold, and how far around it the answer is uncertain."""
    bands = {name: [max(0.0, limit - wide), min(1.0, limit + wide)] for name, (limit, wide) in limits.items()}
    return {"rule": rule, "thresholds": {name: limit for name, (limit, _) in limits.items()}, "uncertain": bands}


POLICIES = {
    "best_f1": _policy("highest expected F1", {name: (limit, 0.05) for name, limit in THRESHOLDS.items()}),
    "youden": _policy("highest sensitivity + specificity", dict.fromkeys(SUPERCLASSES, (0.25, 0.05))),
    "target_sensitivity": _policy("sensitivity 95 %", dict.fromkeys(SUPERCLASSES, (0.01, 1.0))),
}


def _statements() -> list[dict[str, Any]]:
    """What ``model.json`` holds of the statements, as far as scoring reads it."""
    entries = []
    for one in STATEMENT_TABLE:
        fitted = dict(zip(("slope", "intercept", "threshold"), TOLD.get(one.code, ()), strict=False))
        about = {"code": one.code, "name": one.name, "group": one.group, "trusted": one.code in TOLD}
        entries.append(about | {"reason": None if fitted else "too few records have it"} | fitted)
    return entries
