"""A package folder with two networks small enough to be computed by hand, in real ONNX files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from answering_server import Server
from live_server import MLFLOWS_OWN, LiveServer, SmallModel, log_small_model, serving
from small_package import TEMPERATURE, THRESHOLDS, TOLD, small_network, transformer_of

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.releases import STATEMENT_TABLE
from leadwise.datasets.synthetic import simulate_record
from leadwise.decision import Calibration
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.serving.scorer import Scorer


def policy(rule: str, limits: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """A policy of ``decision.json``: of each class a threshold, and how far around it the answer is uncertain."""
    bands = {name: [max(0.0, limit - wide), min(1.0, limit + wide)] for name, (limit, wide) in limits.items()}
    return {"rule": rule, "thresholds": {name: limit for name, (limit, _) in limits.items()}, "uncertain": bands}


POLICIES = {
    "best_f1": policy("highest expected F1", {name: (limit, 0.05) for name, limit in THRESHOLDS.items()}),
    "youden": policy("highest sensitivity + specificity", dict.fromkeys(SUPERCLASSES, (0.25, 0.05))),
    "target_sensitivity": policy("sensitivity 95 %", dict.fromkeys(SUPERCLASSES, (0.01, 1.0))),
}


@pytest.fixture(scope="session")
def transformer() -> MetadataTransformer:
    return transformer_of(np.random.default_rng(0))


@pytest.fixture(scope="session")
def weights(transformer: MetadataTransformer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "of_signal": rng.normal(size=(12, 5)).astype(np.float32),
        "of_metadata": rng.normal(size=(transformer.width, 5)).astype(np.float32),
        "to_statements": rng.normal(size=(12, 71)).astype(np.float32),
    }


@pytest.fixture(scope="session")
def package_folder(
    tmp_path_factory: pytest.TempPathFactory, transformer: MetadataTransformer, weights: dict[str, np.ndarray]
) -> Path:
    """sigmoid(mean over time @ of_signal + metadata @ of_metadata), and the same without the signal.

    With the signal also the statements: sigmoid(mean over time @ to_statements).
    """
    folder = tmp_path_factory.mktemp("package")
    signal = SignalPreprocessing(0.01, 0.25, window_samples=800, stride_samples=100)
    networks: dict[str, Any] = {}
    for role, name, preprocessing in (("fusion", "fusion_augmented", signal), ("metadata", "metadata", None)):
        used = weights if preprocessing is not None else {"of_metadata": weights["of_metadata"]}
        onnx.save(small_network(used), folder / f"{role}.onnx")
        networks[role] = {
            "name": name,
            "file": f"{role}.onnx",
            "preprocessing": {
                "signal": preprocessing.to_dict() if preprocessing else None,
                "metadata": transformer.to_dict(),
            },
            "decision": Calibration.of_temperature(TEMPERATURE).to_dict() | {"policy": "best_f1", "policies": POLICIES},
            "statements": statement_entries() if role == "fusion" else [],
        }
    (folder / "model.json").write_text(json.dumps({"networks": networks, "simulated": True}), encoding="utf-8")
    return folder


def statement_entries() -> list[dict[str, Any]]:
    """What ``model.json`` holds of the statements, as far as scoring reads it."""
    entries = []
    for one in STATEMENT_TABLE:
        fitted = dict(zip(("slope", "intercept", "threshold"), TOLD.get(one.code, ()), strict=False))
        about = {"code": one.code, "name": one.name, "group": one.group, "trusted": one.code in TOLD}
        entries.append(about | {"reason": None if fitted else "too few records have it"} | fitted)
    return entries


@pytest.fixture(scope="session")
def small_model(package_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """The package in a registry of its own."""
    return log_small_model(package_folder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def mlflow_server(small_model: SmallModel) -> Iterator[LiveServer]:
    """The package behind `mlflow models serve`."""
    yield from served(small_model, "mlflow", MLFLOWS_OWN)


@pytest.fixture(scope="session")
def leadwise_server(small_model: SmallModel) -> Iterator[LiveServer]:
    """The package behind `leadwise serve`."""
    yield from served(small_model, "leadwise", ("leadwise", "serve", "--model"))


def served(model: SmallModel, name: str, command: Sequence[str]) -> Iterator[LiveServer]:
    with serving(model, model.folder / f"{name}.log", command=command) as server:
        yield server
        assert server.post({"inputs": [{"age": 50}]}).status_code == 200
        assert "Traceback" not in server.said()


@pytest.fixture(scope="session")
def scorer(package_folder: Path) -> Scorer:
    return Scorer.load(package_folder)


@pytest.fixture(scope="session")
def ecg_mv() -> np.ndarray:
    """``(1000, 12)``: 10 s of a simulated ECG at 100 Hz, rounded to a microvolt."""
    return np.round(simulate_record("MI", 2).signal_mv.astype(float), 3)


@pytest.fixture
def signal_mv(ecg_mv: np.ndarray) -> list[list[float]]:
    """The same as JSON holds it."""
    values: list[list[float]] = ecg_mv.tolist()
    return values


@pytest.fixture
def answering(scorer: Scorer) -> Iterator[Server]:
    """Answers with the package."""
    server = Server(scorer)
    yield server
    server.close()


@pytest.fixture
def url(answering: Server) -> str:
    """Where it does."""
    return answering.url
