"""Batches of training records: shuffled, windowed, with noise and hidden metadata, reproducible from a seed."""

from typing import Any

import keras
import numpy as np

from leadwise.signals.preprocessing import SignalPreprocessing
from leadwise.training.recipe import Recipe


class TrainingBatches(keras.utils.PyDataset):
    """Batches ``({"signal", "metadata"}, labels)`` of the training rows.

    Every batch has its own random generator, seeded by the recipe's seed, the epoch and the batch's place, so that a
    training that goes on after an interruption sees what it would have seen, with any number of workers.

    Args:
        recipe: batch size, seed, window, noise and metadata drop-out.
        signals: ``(record, time, lead)`` int16 of the whole store.
        rows: row indices of the training records.
        metadata: ``(len(rows), width)`` float32.
        hidden: ``(width,)`` the metadata of a patient of whom nothing is known.
        labels: ``(len(rows), 5)`` float32.
        preprocessing: the signals' scale, or ``None`` for the metadata model.
        first_epoch: the epoch to begin with.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        signals: np.ndarray,
        rows: np.ndarray,
        metadata: np.ndarray,
        hidden: np.ndarray,
        labels: np.ndarray,
        preprocessing: SignalPreprocessing | None,
        first_epoch: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self.recipe = recipe
        self.signals, self.rows = signals, rows
        self.metadata, self.hidden, self.labels = metadata, hidden, labels
        self.preprocessing = preprocessing
        self.epoch = first_epoch
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self.rows) // self.recipe.batch_size)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        size = self.recipe.batch_size
        chosen = np.sort(self._order[index * size : (index + 1) * size])
        generator = np.random.default_rng((self.recipe.seed, self.epoch, index))
        inputs = {"metadata": self._metadata(chosen, generator)}
        if self.preprocessing is not None:
            inputs["signal"] = self._signal(chosen, generator, self.preprocessing)
        return inputs, self.labels[chosen]

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = np.random.default_rng((self.recipe.seed, self.epoch)).permutation(len(self.rows))

    def _metadata(self, chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        metadata = self.metadata[chosen]
        if self.recipe.metadata_dropout:
            metadata[generator.random(len(chosen)) < self.recipe.metadata_dropout] = self.hidden
        return metadata

    def _signal(
        self, chosen: np.ndarray, generator: np.random.Generator, preprocessing: SignalPreprocessing
    ) -> np.ndarray:
        units: Any = self.signals[self.rows[chosen]]
        window = self.recipe.window_samples
        if window < units.shape[1]:
            starts = generator.integers(0, units.shape[1] - window + 1, len(units))
            units = np.stack([record[start : start + window] for record, start in zip(units, starts, strict=True)])
        signal = preprocessing.standardise_units(units)
        if self.recipe.noise_sd:
            signal += self.recipe.noise_sd * generator.standard_normal(signal.shape, dtype=np.float32)
        return signal
