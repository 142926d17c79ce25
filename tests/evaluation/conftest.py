"""A model that needs no training, and what evaluating it gives."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadwise.datasets.store import Store, open_store
from leadwise.datasets.tables import statement_labels
from leadwise.evaluation.evaluate import Evaluation, evaluate_model
from leadwise.reports.evaluation_page import write_evaluation
from leadwise.reports.report_page import Page


@dataclass(frozen=True)
class Guesser:
    """A model that knows a record's labels up to noise: the noise is the record's own, whatever rows are asked for."""

    labels: np.ndarray
    statements: np.ndarray | None
    noise: float
    training: dict[str, Any] = field(default_factory=dict)
    name: str = "fusion"

    def answers(self, store: Store, rows: np.ndarray) -> dict[str, np.ndarray]:
        found = {"superclasses": self.guess(self.labels)[rows]}
        return found if self.statements is None else {**found, "statements": self.guess(self.statements)[rows]}

    def guess(self, labels: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, self.noise, labels.shape)
        return (1 / (1 + np.exp(-(4 * labels - 2 + noise)))).astype(np.float32)

    def answers_of(self, signal_mv: np.ndarray, patients: pd.DataFrame) -> dict[str, np.ndarray]:
        return {"superclasses": 1 / (1 + np.exp(-signal_mv.std(axis=1)[:, :5]))}


MakeGuesser = Callable[..., Guesser]


@pytest.fixture(scope="session")
def guesser() -> MakeGuesser:
    """``guesser(store, name="fusion", noise=2.0, feature_set="clinical")``; the fusion models know statements."""

    def make(store: Store, name: str = "fusion", noise: float = 2.0, feature_set: str = "clinical") -> Guesser:
        training = {
            "model": name,
            "feature_set": feature_set,
            "digest": store.manifest["digest"],
            "simulated": True,
            "count_params": 155_013,
            "seconds": 184.6,
            "epochs": 30,
            "best_epoch": 21,
        }
        codes = (json.loads(text) for text in store.records["scp_codes"])
        statements = None if name == "metadata" else statement_labels(codes).astype(np.float32)
        return Guesser(store.labels(), statements, noise, training, name)

    return make


@pytest.fixture(scope="session")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


@pytest.fixture(scope="session")
def evaluation(store: Store, guesser: MakeGuesser) -> Evaluation:
    return evaluate_model(guesser(store), store, bootstrap=200, seed=1, robustness=20)


@pytest.fixture(scope="session")
def written_with_summary(tmp_path_factory: pytest.TempPathFactory, evaluation: Evaluation) -> tuple[Path, Page]:
    """The folder of ``evaluation``, read only, and the summary for its run."""
    folder = tmp_path_factory.mktemp("written") / "evaluation" / "clinical" / "fusion"
    return folder, write_evaluation(evaluation, folder, run_id="0123abcd")


@pytest.fixture(scope="session")
def written(written_with_summary: tuple[Path, Page]) -> Path:
    return written_with_summary[0]
