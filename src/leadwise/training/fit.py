"""Fit one model on the training folds, choose its epoch on fold 9, leave a folder that the next stages read."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import MICROVOLTS_PER_UNIT, SUPERCLASSES, FeatureSet, LeadwiseError, SignalShape
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.store import Store
from leadwise.datasets.tables import statement_labels
from leadwise.ecg.noise import mix_weights
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.memory import keep_freed_memory
from leadwise.models.framework import as_served, build_model, keras
from leadwise.stopping import stop_here
from leadwise.terminal import progress
from leadwise.training.config import TrainingConfig
from leadwise.training.epochs import (
    AveragedWeights,
    EpochKeeper,
    EpochReport,
    Progress,
    TrainingDiverged,
    load_checkpoint,
    load_network,
    optimizer_for,
    validation_metrics,
)
from leadwise.training.prediction import answer_units

JUST_IN_TIME = keras.backend.backend() == "jax"
"""XLA on a CPU is slower than TensorFlow's own kernels, and "auto" would choose it."""


def require_measurable(config: TrainingConfig, store: Store) -> None:
    """Stop before anything is trained if the monitored metric is undefined.

    Raises:
        LeadwiseError: the macro AUROC is monitored, and fold 9 lacks a class or has nothing else.
    """
    positives = store.labels()[store.rows("validation")].mean(axis=0)
    one_sided = [name for name, share in zip(SUPERCLASSES, positives, strict=True) if share in (0, 1)]
    if one_sided and config.monitor == "val/macro_auroc":
        raise LeadwiseError(
            f"monitor: received {config.monitor}, but all or none of fold 9 have {', '.join(one_sided)}; "
            "ingest more records, or monitor val/binary_accuracy"
        )


class TrainingBatches(keras.utils.PyDataset):
    """Batches ``(inputs, labels)`` of the training rows, both dicts named as the network's inputs and outputs.

    Every batch has its own random generator, seeded by the configuration's seed, the epoch and the batch's place, so
    that a training that goes on after an interruption sees what it would have seen, with any number of workers.

    Args:
        config: batch size, seed, window, augmentation and feature dropout.
        data: what is trained on.
        first_epoch: the epoch to begin with.
    """

    def __init__(self, config: TrainingConfig, data: "TrainingData", first_epoch: int = 0) -> None:
        # With one worker Keras leaves reading ahead to tf.data, whose tuning thread now and then sleeps on when an
        # epoch has ended, for as long as that epoch took (TensorFlow 2.21); with two it has threads of its own.
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.config, self.epoch = config, first_epoch
        self.signals, self.rows, self.preprocessing = data.store.signals, data.rows, data.signal
        self.metadata, self.unknown = data.patients(data.rows), data.metadata.all_unknown()
        self.labels = {"superclasses": data.store.labels()[data.rows]}
        if config.statement_weight:
            self.labels["statements"] = statement_labels(data.store.scp_codes(data.rows)).astype(np.float32)
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self.rows) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        size = self.config.batch_size
        chosen = np.sort(self._order[index * size : (index + 1) * size])
        generator = np.random.default_rng((self.config.seed, self.epoch, index))
        metadata = self.metadata[chosen]
        if self.config.feature_dropout:
            metadata[generator.random(len(chosen)) < self.config.feature_dropout] = self.unknown
        inputs = {"metadata": metadata}
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


@dataclass(frozen=True)
class TrainingData:
    """Training and validation records as one model wants them; both scales are fitted on the training rows."""

    store: Store
    rows: np.ndarray
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer

    @classmethod
    def prepare(cls, config: TrainingConfig, store: Store, rows: np.ndarray | None = None) -> "TrainingData":
        """Fit the preprocessing; ``rows`` limits the training records (tuning does).

        Raises:
            LeadwiseError: the macro AUROC is monitored, and fold 9 lacks a class or has nothing else.
        """
        require_measurable(config, store)
        rows = store.rows("train") if rows is None else rows
        signal = None
        if config.sees_signal:
            signal = SignalPreprocessing.fit(
                store.signals, rows, window_samples=config.window_samples, stride_samples=config.stride_samples
            )
        feature_set = cast(FeatureSet, config.feature_set)
        metadata = MetadataTransformer.fit(store.patients().iloc[rows], feature_set)
        return cls(store, rows, signal, metadata)

    def batches(self, config: TrainingConfig, first_epoch: int = 0) -> TrainingBatches:
        """The training batches."""
        return TrainingBatches(config, self, first_epoch)

    def patients(self, rows: np.ndarray) -> np.ndarray:
        """``(len(rows), width)`` float32: the metadata of some records of the store."""
        return self.metadata.transform(self.store.patients().iloc[rows])

    def validation(self, network: keras.Model) -> keras.callbacks.Callback:
        """The callback that adds ``validation_metrics`` of fold 9 to an epoch's logs, or ends a diverged training.

        Keras' own metrics would see batches, these see records, with windows side by side: half the time of those that
        overlap.
        """
        signal = replace(self.signal, stride_samples=self.signal.window_samples) if self.signal else None

        def measure(epoch: int, logs: dict[str, Any]) -> None:
            try:
                logs.update(self.measure(network, signal))
            except TrainingDiverged as error:
                raise TrainingDiverged(f"epoch {epoch + 1}: {error}") from error

        return keras.callbacks.LambdaCallback(on_epoch_end=measure)

    def measure(self, network: keras.Model, signal: SignalPreprocessing | None) -> dict[str, float]:
        """Metrics on fold 9 with the windows of ``signal``."""
        rows = self.store.rows("validation")
        answers = answer_units(network, signal, self.patients(rows), self.store.signals, rows)
        return validation_metrics(self.store.labels()[rows], answers["superclasses"])


def compile_network(config: TrainingConfig, data: TrainingData, steps_per_epoch: int) -> keras.Model:
    """The network with its optimizer on binary cross-entropy."""
    network = build_model(
        config.model,
        SignalShape(),
        metadata_width=data.metadata.width,
        architecture=config.architecture,
        seed=config.seed,
    )
    weights = {"superclasses": 1.0}
    if config.statement_weight:
        weights["statements"] = config.statement_weight
    network.compile(
        optimizer_for(config, steps_per_epoch),
        loss=dict.fromkeys(weights, "binary_crossentropy"),
        loss_weights=weights,
        jit_compile=JUST_IN_TIME,
    )
    # Left to the first step, TensorFlow makes their variables slowly, and traces the step a second time after it.
    network.optimizer.build(network.trainable_variables)
    outputs = zip(network.output_names, network.outputs, strict=True)
    nothing = {name: keras.ops.zeros((1, *output.shape[1:])) for name, output in outputs}
    network.compute_loss(y=nothing, y_pred=nothing)
    return network


def run_epochs(
    network: keras.Model,
    batches: TrainingBatches,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    what: str = "training",
) -> None:
    """Keras' fit from the batches' epoch on, with a progress bar that names ``what`` on a terminal."""
    if network.optimizer.use_ema:
        callbacks = [AveragedWeights(), *callbacks]
    with progress(epochs * len(batches), what, "batch") as bar:

        def after_a_batch(batch: int, logs: object) -> None:
            stop_here()
            bar.update()
            if batch == 0:
                # Once in an epoch; see there.
                keep_freed_memory()

        bar.update(batches.epoch * len(batches))
        network.fit(
            batches,
            epochs=epochs,
            initial_epoch=batches.epoch,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=after_a_batch), *callbacks],
            shuffle=False,
            verbose=0,
        )


def fit_model(
    config: TrainingConfig,
    store: Store,
    folder: Path,
    *,
    report: EpochReport,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Train one model, or go on where an interrupted training stopped, and write its folder.

    The folder gets ``model.keras`` (the best epoch by the monitored validation metric), ``preprocessing.json``,
    ``training.json``, ``history.csv`` and ``summary.txt``, all at once when the training has ended. A
    folder that holds the result of the same configuration on the same data is left as it is.

    Args:
        config: the model and how to train it.
        store: the ingested data.
        folder: the model's folder.
        report: called with each epoch, counted from 1, and its metrics, those of an interrupted training included.
        run_id: the run that the training belongs to, noted in ``training.json``.

    Returns:
        The content of ``training.json``, with ``reused`` telling whether anything was trained.
    """
    fingerprint = config.fingerprint(store.manifest)
    if (finished := _finished(folder, fingerprint)) is not None:
        for epoch, metrics in enumerate(finished["history"], start=1):
            report(epoch, metrics)
        return finished | {"reused": True}

    checkpoints = folder.with_name(f"{folder.name}-checkpoints")
    data = TrainingData.prepare(config, store)
    found = load_checkpoint(checkpoints, fingerprint)
    progress = found[0] if found else Progress(fingerprint)
    for epoch, metrics in enumerate(progress.history, start=1):
        report(epoch, metrics)
    batches = data.batches(config, first_epoch=progress.epochs)
    if found:
        network = load_network(found[1])
        network.jit_compile = JUST_IN_TIME
        if config.ema_epochs:
            AveragedWeights().resume(network)
    else:
        network = compile_network(config, data, len(batches))
    if progress.epochs < config.epochs and not (progress.epochs and progress.stopped(config.patience)):
        keeper = EpochKeeper(progress, config, checkpoints, report)
        run_epochs(network, batches, config.epochs, [data.validation(network), keeper], config.model)
    result = _write(folder, config, data, progress, checkpoints, run_id)
    shutil.rmtree(checkpoints)
    return result | {"reused": False}


def _finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    file = folder / "training.json"
    if not file.is_file():
        return None
    training: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return training if training["fingerprint"] == fingerprint else None


def _write(
    folder: Path, config: TrainingConfig, data: TrainingData, progress: Progress, checkpoints: Path, run_id: str | None
) -> dict[str, Any]:
    """Write the model's folder from the best epoch of the last checkpoint."""
    best = checkpoints / f"epoch-{progress.epochs:04d}" / "best.keras"
    network = as_served(keras.saving.load_model(best, compile=False))
    training = {
        "model": config.model,
        "feature_set": config.feature_set,
        "monitor": config.monitor,
        "validation": data.measure(network, data.signal),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "seconds": round(progress.seconds, 1),
        "count_params": network.count_params(),
        "digest": data.store.manifest["digest"],
        "simulated": data.store.manifest["simulated"],
        "parameters": config.parameters(),
        "backend": keras.backend.backend(),
        "run_id": run_id,
        "fingerprint": progress.fingerprint,
        "history": progress.history,
    }
    preprocessing = {"signal": data.signal.to_dict() if data.signal else None, "metadata": data.metadata.to_dict()}
    summary: list[str] = []
    network.summary(print_fn=lambda line, **_: summary.append(line))
    with folder_written_atomically(folder) as target:
        # Without the optimizer's state: two thirds of the file, and of no use to the stages that follow.
        network.save(target / "model.keras")
        (target / "preprocessing.json").write_text(json.dumps(preprocessing, indent=2), encoding="utf-8")
        (target / "training.json").write_text(json.dumps(training, indent=2), encoding="utf-8")
        history = pd.DataFrame(progress.history, index=range(1, progress.epochs + 1))
        history.to_csv(target / "history.csv", index_label="epoch")
        (target / "summary.txt").write_text("\n".join(summary), encoding="utf-8")
    return training
