"""Probabilities of stored records from a Keras model, averaged over each record's windows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.data.metadata import MetadataTransformer
from leadwise.data.store import Store
from leadwise.signals.preprocessing import SignalPreprocessing

if TYPE_CHECKING:
    import keras

RECORDS_PER_BATCH = 128


class TrainedModelError(LeadwiseError):
    """A model folder is absent, unfinished or of another data set."""


@dataclass(frozen=True)
class TrainedModel:
    """What the train stage has left in one model's folder.

    Attributes:
        name: the model's name.
        network: the Keras model with the weights of the best epoch.
        signal: the signals' preprocessing; ``None`` for the metadata model.
        metadata: the metadata's preprocessing.
        training: content of ``training.json``.
    """

    name: str
    network: "keras.Model"
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    training: dict[str, Any]

    def predict(self, store: Store, rows: np.ndarray) -> np.ndarray:
        """Probabilities ``(len(rows), 5)`` float32 of the given rows of a store.

        Raises:
            TrainedModelError: the store is not the one that the model was trained on.
        """
        expected, received = self.training["digest"][:12], store.manifest["digest"][:12]
        if expected != received:
            raise TrainedModelError(
                f"{self.name}: trained on data {expected}, received {received}; run the train stage again"
            )
        metadata = self.metadata.transform(store.patients().iloc[rows])
        return predict(self.network, self.signal, metadata, store.signals, rows)


def load_trained(folder: Path) -> TrainedModel:
    """Load a model folder of the train stage.

    Raises:
        TrainedModelError: the folder is absent or unfinished.
    """
    import keras

    if not (folder / "training.json").is_file():
        raise TrainedModelError(f"{folder}: no finished training there; run the train stage first")
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    preprocessing = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    signal = preprocessing["signal"]
    return TrainedModel(
        name=training["model"],
        network=keras.saving.load_model(folder / "model.keras", compile=False),
        signal=SignalPreprocessing.from_dict(signal) if signal else None,
        metadata=MetadataTransformer.from_dict(preprocessing["metadata"]),
        training=training,
    )


def predict(
    network: "keras.Model",
    preprocessing: SignalPreprocessing | None,
    metadata: np.ndarray,
    signals: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """Probabilities ``(len(rows), 5)`` float32, in batches.

    Args:
        network: a Keras model of ``build_model``.
        preprocessing: the signals' scale and windows; ``None`` for the metadata model.
        metadata: ``(len(rows), width)`` float32, already transformed.
        signals: ``(record, time, lead)`` int16 of the whole store.
        rows: row indices into ``signals``.
    """
    if preprocessing is None:
        return np.asarray(network.predict_on_batch({"metadata": metadata})["superclasses"], dtype=np.float32)
    probabilities = np.empty((len(rows), len(SUPERCLASSES)), dtype=np.float32)
    starts = preprocessing.window_starts(signals.shape[1])
    for first in range(0, len(rows), RECORDS_PER_BATCH):
        part = slice(first, first + RECORDS_PER_BATCH)
        signal = preprocessing.standardise_units(signals[rows[part]])
        windows = [signal[:, start : start + preprocessing.window_samples] for start in starts]
        answers = [network.predict_on_batch({"signal": window, "metadata": metadata[part]}) for window in windows]
        probabilities[part] = np.mean([answer["superclasses"] for answer in answers], axis=0)
    return probabilities
