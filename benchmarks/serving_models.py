"""The two models that benchmarks/serving.py serves: one network, in Leadwise's package and in MLflow's Keras flavour.

The weights are not trained: how fast a network answers does not depend on them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.contract import STATEMENTS, SUPERCLASSES, SignalShape
from leadwise.decision import Calibration
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.parameters import load_parameters

EXPERIMENT = "serving benchmark"


@dataclass(frozen=True)
class Served:
    """What was logged.

    Attributes:
        package: folder with Leadwise's package.
        leadwise: address of the logged package.
        stock: address of the same network in MLflow's Keras flavour.
        parameters: of the network.
    """

    package: Path
    leadwise: str
    stock: str
    parameters: int


def build_package(folder: Path, *, configuration: str) -> Any:
    """Write a package with the networks of a configuration; returns the fusion network, in Keras."""
    import pandas as pd

    from leadwise.datasets.metadata import MetadataTransformer
    from leadwise.models.framework import build_model
    from leadwise.models.spec import Architecture
    from leadwise.registry.candidates import export_onnx
    from leadwise.registry.package import write_beside_networks

    train = load_parameters({"configuration": configuration}).train
    rng = np.random.default_rng(0)
    facts = {"age": rng.uniform(20, 90, 100), "sex": rng.integers(0, 2, 100), "height_cm": rng.normal(170, 10, 100)}
    facts |= {"weight_kg": rng.normal(75, 10, 100), "pacemaker": rng.integers(0, 2, 100)}
    transformer = MetadataTransformer.fit(pd.DataFrame(facts).astype(float), "clinical")
    signal = SignalPreprocessing(
        0.0, 0.25, window_samples=train.window_samples, stride_samples=max(train.window_samples // 2, 1)
    )
    architecture = Architecture(
        encoder=train.encoder, encoder_width=train.encoder_width, head=train.head, statements=True
    )
    folder.mkdir(parents=True)
    networks, built = {}, {}
    for role in ("metadata", "fusion"):
        network = build_model(role, SignalShape(), metadata_width=transformer.width, architecture=architecture, seed=1)
        export_onnx(network, folder / f"{role}.onnx")
        of_signal = signal.to_dict() if role == "fusion" else None
        networks[role] = {
            "name": role,
            "file": f"{role}.onnx",
            "preprocessing": {"signal": of_signal, "metadata": transformer.to_dict()},
            "decision": _decision(),
            "statements": [_statement(code) for code in STATEMENTS] if role == "fusion" else [],
        }
        built[role] = network
    description = {"networks": networks, "simulated": True}
    write_beside_networks(folder, description)
    return built["fusion"]


def log_both(folder: Path, *, configuration: str) -> Served:
    """Build a package, and log it and the same network in MLflow's Keras flavour to the tracking store in use."""
    import mlflow

    from leadwise.registry.package import Package, served_requirements
    from leadwise.registry.register import log_package

    package = folder / "package"
    fusion = build_package(package, configuration=configuration)
    width = next(int(tensor.shape[-1]) for tensor in fusion.inputs if tensor.name == "metadata")
    with mlflow.start_run():
        ours = log_package(Package.read(package), served_requirements()).model_uri
        stock = mlflow.tensorflow.log_model(
            fusion, name="stock", signature=_tensors(width), pip_requirements=["mlflow"]
        ).model_uri
    return Served(package, ours, stock, int(fusion.count_params()))


def _decision() -> dict[str, Any]:
    policy = {
        "rule": "none",
        "thresholds": dict.fromkeys(SUPERCLASSES, 0.5),
        "uncertain": {name: [0.4, 0.6] for name in SUPERCLASSES},
    }
    return Calibration.of_temperature(1.0).to_dict() | {"policy": "best_f1", "policies": {"best_f1": policy}}


def _statement(code: str) -> dict[str, Any]:
    figures = {"slope": 1.0, "intercept": 0.0, "threshold": 0.5}
    return {"code": code, "name": code, "group": "form", "trusted": True, "reason": None} | figures


def _tensors(width: int) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    inputs = [
        TensorSpec(np.dtype("float32"), (-1, -1, 12), "signal"),
        TensorSpec(np.dtype("float32"), (-1, width), "metadata"),
    ]
    return ModelSignature(inputs=Schema(inputs))
