"""Batches of training records: shuffled, windowed, augmented, with features dropped, reproducible from a seed."""

import numpy as np

from leadwise.contract import MICROVOLTS_PER_UNIT
from leadwise.ecg.noise import mix_weights
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.models.framework import keras
from leadwise.training.config import TrainingConfig


class TrainingBatches(keras.utils.PyDataset):
    """Batches ``(inputs, labels)`` of the training rows, both dicts named as the network's inputs and outputs.

    Every batch has its own random generator, seeded by the configuration's seed, the epoch and the batch's place, so
    that a training that goes on after an interruption sees what it would have seen, with any number of workers.

    Args:
        config: batch size, seed, window, augmentation and feature dropout.
        signals: ``(record, time, lead)`` int16 of the whole store.
        rows: row indices of the training records.
        metadata: ``(len(rows), width)`` float32.
        unknown: ``(width,)`` the metadata of a patient of whom nothing is known.
        labels: output -> ``(len(rows), classes)`` float32.
        preprocessing: the signals' scale, or ``None`` for the metadata model.
        first_epoch: the epoch to begin with.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        signals: np.ndarray,
        rows: np.ndarray,
        metadata: np.ndarray,
        unknown: np.ndarray,
        labels: dict[str, np.ndarray],
        preprocessing: SignalPreprocessing | None,
        first_epoch: int = 0,
    ) -> None:
        # With one worker Keras leaves reading ahead to tf.data, whose tuning thread now and then sleeps on when an
        # epoch has ended, for as long as that epoch took (TensorFlow 2.21); with two it has threads of its own.
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.config = config
        self.signals, self.rows = signals, rows
        self.metadata, self.unknown = metadata, unknown
        self.labels = labels
        self.preprocessing = preprocessing
        self.epoch = first_epoch
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self.rows) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        size = self.config.batch_size
        chosen = np.sort(self._order[index * size : (index + 1) * size])
        generator = np.random.default_rng((self.config.seed, self.epoch, index))
        inputs = {"metadata": self._metadata(chosen, generator)}
        if self.preprocessing is not None:
            inputs["signal"] = self._signal(chosen, generator, self.preprocessing)
        labels = {name: values[chosen] for name, values in self.labels.items()}
        if self.config.mixup:
            own = mix_weights(len(chosen), self.config.mixup, generator)
            partner = generator.permutation(len(chosen))
            inputs, labels = (_mixed(values, own, partner) for values in (inputs, labels))
        return inputs, labels

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.rows))

    def _metadata(self, chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        metadata = self.metadata[chosen]
        if self.config.feature_dropout:
            metadata[generator.random(len(chosen)) < self.config.feature_dropout] = self.unknown
        return metadata

    def _signal(
        self, chosen: np.ndarray, generator: np.random.Generator, preprocessing: SignalPreprocessing
    ) -> np.ndarray:
        window, samples = self.config.window_samples, self.signals.shape[1]
        starts = generator.integers(0, samples - window + 1, len(chosen))
        windows = [
            self.signals[row, start : start + window] for row, start in zip(self.rows[chosen], starts, strict=True)
        ]
        signal_mv = np.stack(windows).astype(np.float32) * np.float32(MICROVOLTS_PER_UNIT / 1000)
        return preprocessing.standardise(self.config.augmentation.apply(signal_mv, generator, preprocessing.fs_hz))


def _mixed(values: dict[str, np.ndarray], own: np.ndarray, partner: np.ndarray) -> dict[str, np.ndarray]:
    """Each record's values, weighed with those of its partner."""
    mixed = {}
    for name, array in values.items():
        share = own.reshape(-1, *(1,) * (array.ndim - 1))
        mixed[name] = share * array + (1 - share) * array[partner]
    return mixed
