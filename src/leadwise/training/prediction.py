"""Probabilities from a Keras model, averaged over each recording's windows."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadwise.contract import LeadwiseError
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.store import Store
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.stopping import stop_here

if TYPE_CHECKING:
    import keras

RECORDS_PER_BATCH = 128


@dataclass(frozen=True)
class TrainedModel:
    """What the train stage has left in one model's folder: the network of the best epoch, and its preprocessing.

    ``signal`` is None for the metadata model; ``training`` is the content of ``training.json``.
    """

    name: str
    network: "keras.Model"
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    training: dict[str, Any]

    def answers(self, store: Store, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Every output of the network for the given rows of a store, averaged over each record's windows.

        Returns:
            Output -> ``(len(rows), class)`` float32: ``superclasses`` in the order of ``SUPERCLASSES``, and, where the
            network has it, ``statements`` in the order of ``STATEMENTS``.

        Raises:
            LeadwiseError: the store is not the one that the model was trained on.
        """
        expected, received = self.training["digest"][:12], store.manifest["digest"][:12]
        if expected != received:
            raise LeadwiseError(
                f"{self.name}: trained on data {expected}, received {received}; run the train stage again"
            )
        metadata = self.metadata.transform(store.patients().iloc[rows])
        return answer_units(self.network, self.signal, metadata, store.signals, rows)

    def answers_of(self, signal_mv: np.ndarray, patients: pd.DataFrame) -> dict[str, np.ndarray]:
        """Every output of the network for recordings that need not lie in a store, such as changed ones.

        Args:
            signal_mv: ``(record, time, 12)`` in mV at the model's rate, leads in the order of ``LEADS``, of any common
                length of at least one window. The metadata model counts its records only.
            patients: what is known of each record's patient: columns of ``Store.patients()``, NaN where unknown.

        Returns:
            As ``answers``.

        Raises:
            LeadwiseError: the recordings are shorter than a window.
        """
        metadata = self.metadata.transform(patients)
        if self.signal is None:
            return _answer(self.network, {"metadata": metadata})
        if signal_mv.shape[1] < self.signal.window_samples:
            raise LeadwiseError(
                f"{self.name}: received recordings of {signal_mv.shape[1]} samples; allowed: at least one window, "
                f"{self.signal.window_samples} at {self.signal.fs_hz:g} Hz"
            )
        standardise = self.signal.standardise
        return _windowed(self.network, self.signal, metadata, lambda part: standardise(signal_mv[part]))


def load_trained(folder: Path) -> TrainedModel:
    """Load a model folder of the train stage.

    Raises:
        LeadwiseError: the folder is absent or unfinished.
    """
    from leadwise.models.framework import keras

    if not (folder / "training.json").is_file():
        raise LeadwiseError(f"{folder}: no finished training there; run the train stage first")
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    preprocessing = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    signal = preprocessing["signal"]
    return TrainedModel(
        name=training["model"],
        network=keras.saving.load_model(folder / "model.keras", compile=False),
        signal=SignalPreprocessing(**signal) if signal else None,
        metadata=MetadataTransformer.from_dict(preprocessing["metadata"]),
        training=training,
    )


def answer_units(
    network: "keras.Model",
    preprocessing: SignalPreprocessing | None,
    metadata: np.ndarray,
    signals: np.ndarray,
    rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every output of a network, in batches: output -> ``(len(rows), class)`` float32.

    Args:
        network: a Keras model of ``build_model``.
        preprocessing: the signals' scale and windows; ``None`` for the metadata model.
        metadata: ``(len(rows), width)`` float32, already transformed.
        signals: ``(record, time, lead)`` int16 of the whole store.
        rows: row indices into ``signals``.
    """
    if preprocessing is None:
        return _answer(network, {"metadata": metadata})
    standardise = preprocessing.standardise_units
    return _windowed(network, preprocessing, metadata, lambda part: standardise(signals[rows[part]]))


def _windowed(
    network: "keras.Model",
    preprocessing: SignalPreprocessing,
    metadata: np.ndarray,
    standardised: Callable[[slice], np.ndarray],
) -> dict[str, np.ndarray]:
    """Mean over the windows of recordings; ``standardised`` gives those of a part of the rows."""
    parts = []
    for first in range(0, max(len(metadata), 1), RECORDS_PER_BATCH):
        part = slice(first, first + RECORDS_PER_BATCH)
        signal = standardised(part)
        starts = preprocessing.window_starts(signal.shape[1])
        windows = [signal[:, start : start + preprocessing.window_samples] for start in starts]
        answers = [_answer(network, {"signal": window, "metadata": metadata[part]}) for window in windows]
        parts.append({name: np.mean([answer[name] for answer in answers], axis=0) for name in answers[0]})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _answer(network: "keras.Model", inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One batch: output -> ``(batch, class)`` float32."""
    stop_here()
    return {name: np.asarray(values, dtype=np.float32) for name, values in network.predict_on_batch(inputs).items()}
