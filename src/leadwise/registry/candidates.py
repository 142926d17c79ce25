"""What the train and evaluate stages left: which fusion model is the better one, and the package that is made of it.

From a Keras model to an ONNX file that needs no TensorFlow.
"""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import leadwise
from leadwise.atomic import folder_written_atomically
from leadwise.config import Parameters, Shared
from leadwise.contract import (
    DISCLAIMER,
    FS_HZ,
    LEADS,
    MICROVOLTS_PER_UNIT,
    RECORD_SAMPLES,
    STATEMENTS,
    SUPERCLASSES,
    ECGRecord,
    LeadwiseError,
)
from leadwise.datasets.store import Store, open_store
from leadwise.evaluation import POLICIES_FILE, STATEMENTS_FILE
from leadwise.models.spec import MODELS
from leadwise.registry.package import PACKAGE_FOLDER, Package, Parity, write_beside_networks
from leadwise.registry.smoke_test import stored_facts
from leadwise.serving.network import Network
from leadwise.serving.scorer import Scorer
from leadwise.training.prediction import TrainedModel, load_trained

if TYPE_CHECKING:
    import keras
    import onnx

LARGEST_DIFFERENCE = 1e-4
"""Between the evaluation's probabilities and those of the network that is packaged."""
ROWS_COMPARED = 256
"""Rows of fold 9 on which ONNX, Keras and the evaluation are compared."""
REPORTED = (
    "macro_auroc",
    *(f"auroc/{name}" for name in SUPERCLASSES),
    "binary_accuracy",
    "floor/binary_accuracy",
    "chosen/macro_f1",
    "ece",
)
"""Figures of fold 10 that a package carries along."""


@dataclass(frozen=True)
class Candidate:
    """One trained and evaluated model.

    Attributes:
        name: the model's name.
        folder: its folder of the train stage.
        evaluation: its folder of the evaluate stage.
        training: content of ``training.json``.
        validation: its validation metrics, without those that fold 9 leaves undefined.
        preprocessing: content of ``preprocessing.json``.
        decision: content of ``decision.json``.
        metrics: the defined metrics of ``metrics.json``.
        test_records: the rows of fold 10 behind them; ``None`` where it is not known.
    """

    name: str
    folder: Path
    evaluation: Path
    training: Mapping[str, Any]
    validation: Mapping[str, float]
    preprocessing: Mapping[str, Any]
    decision: Mapping[str, Any]
    metrics: Mapping[str, float]
    test_records: int | None = None


def choose_candidates(parameters: Parameters) -> dict[str, Candidate]:
    """By role the best model by ``monitor`` on fold 9: ``fusion`` sees the recording, ``metadata`` does not.

    Raises:
        LeadwiseError: a model is absent or not evaluated, or the two saw different data.
    """
    shared, best = parameters.shared, {}
    folder = shared.workspace / "models" / shared.feature_set
    for role, sees_signal in (("fusion", True), ("metadata", False)):
        names = [spec.name for spec in MODELS.values() if spec.sees_signal == sees_signal]
        trained = [_read(shared, name) for name in names if (folder / name / "training.json").is_file()]
        if not trained:
            raise LeadwiseError(f"{folder}: none of {', '.join(names)} is trained there; run the train stage first")
        for one in trained:
            if shared.monitor not in one.validation:
                measured = ", ".join(sorted(one.validation))
                raise LeadwiseError(f"monitor: {one.name} has no {shared.monitor} on fold 9; it has {measured}")
        best[role] = max(trained, key=lambda one: one.validation[shared.monitor])
    data = {one.name: one.training["digest"][:12] for one in best.values()}
    if len(set(data.values())) > 1:
        told = ", ".join(f"{name} on {digest}" for name, digest in data.items())
        raise LeadwiseError(f"{folder}: trained on different data: {told}; train both on the same data")
    return best


def _read(shared: Shared, name: str) -> Candidate:
    folder, evaluation = (shared.workspace / stage / shared.feature_set / name for stage in ("models", "evaluation"))
    training = _read_json(folder / "training.json", "train")
    measured = _read_json(evaluation / "metrics.json", "evaluate")
    return Candidate(
        name=name,
        folder=folder,
        evaluation=evaluation,
        training=training,
        validation={key: value for key, value in training["validation"].items() if math.isfinite(value)},
        preprocessing=_read_json(folder / "preprocessing.json", "train"),
        decision=_read_json(evaluation / "decision.json", "evaluate"),
        metrics={key: value for key, value in measured["metrics"].items() if value is not None},
        test_records=measured.get("rows", {}).get("test"),
    )


def _read_json(file: Path, stage: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LeadwiseError(f"{file}: absent or unreadable ({error}); run the {stage} stage") from None
    return content


MEASURES: tuple[str, ...] = ("sensitivity", "specificity", "ppv")


def read_policy_rates(evaluation: Path) -> dict[str, Any]:
    """policy -> measure -> class -> value and its 95 % bounds; nothing where the evaluation does not tell.

    Args:
        evaluation: folder of the evaluate stage of one model.
    """
    file = evaluation / POLICIES_FILE
    if not file.is_file():
        return {}
    content = _read_json(file, "evaluate")
    metrics, intervals = content["metrics"], content["intervals"]
    return {
        policy: {
            measure: {
                name: [metrics.get(key), *intervals.get(key, [None, None])]
                for name in SUPERCLASSES
                for key in (f"test/decision/{policy}/{measure}/{name}",)
            }
            for measure in MEASURES
        }
        for policy in content["rules"]
    }


def build_package(parameters: Parameters) -> Package:
    """Write ``<workspace>/package`` from what the train and evaluate stages left.

    Raises:
        LeadwiseError: there is nothing to package, or the evaluation is of other weights, or of statements that the
            network does not answer.
    """
    candidates = choose_candidates(parameters)
    store = open_store(parameters.shared.workspace / "store")
    folder = parameters.shared.workspace / PACKAGE_FOLDER
    description = describe_package(candidates, store)
    with folder_written_atomically(folder) as target:
        trained = {role: load_trained(model.folder) for role, model in candidates.items()}
        for role, model in trained.items():
            export_onnx(model.network, target / description["networks"][role]["file"])
        package = write_beside_networks(target, description)
        scorer = Scorer.load(target)
        networks = {"fusion": scorer.fusion, "metadata": scorer.metadata}
        parity = {one.name: _compare(one, trained[role], networks[role], store) for role, one in candidates.items()}
    return replace(package, folder=folder, parity=parity)


def describe_package(candidates: Mapping[str, Candidate], store: Store) -> dict[str, Any]:
    """What ``model.json`` holds; ``candidates`` as ``choose_candidates`` gives them."""
    networks = {
        role: {
            "name": model.name,
            "file": f"{role}.onnx",
            "preprocessing": dict(model.preprocessing),
            "decision": dict(model.decision),
            "validation": dict(model.validation),
            "test": {name: model.metrics[f"test/{name}"] for name in REPORTED if f"test/{name}" in model.metrics},
            "policy_rates": read_policy_rates(model.evaluation),
            "recipe": dict(model.training["parameters"]),
            "run_id": model.training.get("run_id"),
            "statements": _read_json(file, "evaluate")["statements"] if file.is_file() else [],
        }
        for role, model in candidates.items()
        for file in (model.evaluation / STATEMENTS_FILE,)
    }
    simulated = [store.manifest["simulated"], *(model.training["simulated"] for model in candidates.values())]
    return {
        "leadwise": leadwise.__version__,
        "classes": list(SUPERCLASSES),
        "leads": list(LEADS),
        "feature_set": candidates["fusion"].training["feature_set"],
        "data": {name: store.manifest[name] for name in ("dataset", "digest", "release") if name in store.manifest},
        "simulated": any(simulated),
        "test_records": candidates["fusion"].test_records,
        "networks": networks,
        "disclaimer": DISCLAIMER,
    }


def stored_records(store: Store, rows: np.ndarray) -> list[ECGRecord]:
    """Rows of a store as recordings, with the facts about the patient that a request may state."""
    return [
        ECGRecord(
            signal_mv=store.signals[row].astype(np.float32) * np.float32(MICROVOLTS_PER_UNIT / 1000),
            fs_hz=FS_HZ,
            patient=facts,
        )
        for row, facts in zip(rows, stored_facts(store, rows), strict=True)
    ]


def _compare(candidate: Candidate, trained: TrainedModel, network: Network, store: Store) -> Parity:
    """Score rows of fold 9 as requests are scored, and with Keras; the evaluation must be of these weights.

    Returns:
        The difference between ONNX and Keras, which the gate judges.

    Raises:
        LeadwiseError: the evaluation is of other weights, or of statements that the network does not answer.
    """
    validation = store.rows("validation")
    rows = validation[np.unique(np.linspace(0, len(validation) - 1, ROWS_COMPARED).round().astype(int))]
    by_keras = trained.answers(store, rows)
    if missing := set(network.outputs) - set(by_keras):
        raise LeadwiseError(
            f"{candidate.name}: does not answer {', '.join(sorted(missing))}, but {candidate.evaluation} says how good "
            "they are; run the evaluate stage again"
        )
    table = pd.read_parquet(candidate.evaluation / "predictions.parquet").set_index("ecg_id")
    evaluated = table.loc[store.records["ecg_id"].iloc[rows], [f"raw_{name}" for name in SUPERCLASSES]].to_numpy()
    if (difference := float(np.abs(by_keras["superclasses"] - evaluated).max())) > LARGEST_DIFFERENCE:
        raise LeadwiseError(
            f"{candidate.name}: {candidate.evaluation} was made with other weights (probabilities differ by "
            f"{difference:.2g}); run the evaluate stage again"
        )
    by_onnx = [network.answers(record.patient, record) for record in stored_records(store, rows)]
    differences = [np.abs(by_keras[name] - np.stack([row[name] for row in by_onnx])).max() for name in network.outputs]
    # Not Python's max, which would lose a NaN.
    return Parity(float(np.max(differences)), len(rows))


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
