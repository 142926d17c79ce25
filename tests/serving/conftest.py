"""The small package in a registry, behind servers, and in this process; and a recording to ask them of."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from answering_server import Server
from live_server import MLFLOWS_OWN, LiveServer, SmallModel, log_small_model, serving

from leadwise.datasets.synthetic import simulate_record
from leadwise.serving.scorer import Scorer


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
