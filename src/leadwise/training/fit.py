"""Fit one model on the training folds, choose its epoch on fold 9, leave a folder that the next stages read."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from leadwise.atomic import folder_written_atomically
from leadwise.contract import SUPERCLASSES, FeatureSet, LeadwiseError, SignalShape
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.privileged import PrivilegedTargets, privileged_targets
from leadwise.datasets.store import Store
from leadwise.datasets.tables import statement_labels
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.models.build import PRIVILEGED_OUTPUT, as_served, build_model
from leadwise.models.framework import keras
from leadwise.training.batches import TrainingBatches
from leadwise.training.callbacks import EpochKeeper, EpochReport, KeepFreedMemory, ValidationMetrics, validation_metrics
from leadwise.training.checkpoints import Progress, load_checkpoint, load_network
from leadwise.training.optimizer import AveragedWeights, optimizer_for
from leadwise.training.prediction import predict
from leadwise.training.recipe import Recipe
from leadwise.training.teachers import SoftTargets


class ValidationFoldError(LeadwiseError):
    """Fold 9 cannot tell one epoch from another by the monitored metric."""


def require_measurable(recipe: Recipe, store: Store) -> None:
    """Stop before anything is trained if the monitored metric is undefined.

    Raises:
        ValidationFoldError: the macro AUROC is monitored, and fold 9 lacks a class or has nothing else.
    """
    positives = store.labels()[store.rows("validation")].mean(axis=0)
    one_sided = [name for name, share in zip(SUPERCLASSES, positives, strict=True) if share in (0, 1)]
    if one_sided and recipe.monitor == "val/macro_auroc":
        raise ValidationFoldError(
            f"monitor: received {recipe.monitor}, but all or none of fold 9 have {', '.join(one_sided)}; "
            "ingest more records, or monitor val/binary_accuracy"
        )


@dataclass(frozen=True)
class TrainingData:
    """Training and validation records as one recipe wants them; both scales are fitted on the training rows."""

    store: Store
    rows: np.ndarray
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    targets: SoftTargets | None = None
    privileged: PrivilegedTargets | None = None

    @classmethod
    def prepare(
        cls, recipe: Recipe, store: Store, rows: np.ndarray | None = None, targets: SoftTargets | None = None
    ) -> "TrainingData":
        """Fit the preprocessing; ``rows`` limits the training records (tuning does, without ``targets``).

        Raises:
            ValidationFoldError: the macro AUROC is monitored, and fold 9 lacks a class or has nothing else.
        """
        require_measurable(recipe, store)
        rows = store.rows("train") if rows is None else rows
        signal = None
        if recipe.model != "metadata":
            signal = SignalPreprocessing.fit(
                store.signals, rows, window_samples=recipe.window_samples, stride_samples=recipe.stride_samples
            )
        feature_set = cast(FeatureSet, recipe.feature_set)
        metadata = MetadataTransformer.fit(store.patients().iloc[rows], feature_set)
        privileged = privileged_targets(store, rows) if recipe.privileged_weight else None
        return cls(store, rows, signal, metadata, targets, privileged)

    def batches(self, recipe: Recipe, first_epoch: int = 0) -> TrainingBatches:
        """The training batches."""
        return TrainingBatches(
            recipe,
            signals=self.store.signals,
            rows=self.rows,
            metadata=self.metadata.transform(self.store.patients().iloc[self.rows]),
            hidden=self.metadata.hidden(),
            labels=self.labels(recipe),
            preprocessing=self.signal,
            first_epoch=first_epoch,
        )

    def labels(self, recipe: Recipe) -> dict[str, np.ndarray]:
        """Output -> ``(len(rows), classes)`` float32 of the training records, in part what the teachers say.

        The cross-entropy is linear in the labels, so mixing them is the weighted sum of both losses.
        """
        labels = {"superclasses": self.store.labels()[self.rows]}
        if recipe.statement_weight:
            labels["statements"] = statement_labels(self.store.scp_codes(self.rows)).astype(np.float32)
        if self.targets is not None:
            share, answers = recipe.distillation, self.targets.answers
            labels = {name: (1 - share) * values + share * answers[name] for name, values in labels.items()}
        if self.privileged is not None:
            labels[PRIVILEGED_OUTPUT] = self.privileged.values
        return labels

    def validation(self, network: Callable[[], keras.Model]) -> ValidationMetrics:
        """The callback that measures on fold 9, with windows side by side: half the time of those that overlap."""
        signal = replace(self.signal, stride_samples=self.signal.window_samples) if self.signal else None
        return ValidationMetrics(lambda: self.measure(network(), signal))

    def measure(self, network: keras.Model, signal: SignalPreprocessing | None) -> dict[str, float]:
        """Metrics on fold 9 with the windows of ``signal``."""
        rows = self.store.rows("validation")
        metadata = self.metadata.transform(self.store.patients().iloc[rows])
        probabilities = predict(network, signal, metadata, self.store.signals, rows)
        return validation_metrics(self.store.labels()[rows], probabilities)


def compile_network(recipe: Recipe, data: TrainingData, steps_per_epoch: int) -> keras.Model:
    """The recipe's network with its optimizer on binary cross-entropy."""
    privileged = len(data.privileged.names) if data.privileged else 0
    network = build_model(
        recipe.model,
        SignalShape(),
        metadata_width=data.metadata.width,
        architecture=replace(recipe.architecture, privileged=privileged),
        seed=recipe.seed,
    )
    losses = {"superclasses": "binary_crossentropy"}
    weights = {"superclasses": 1.0}
    if recipe.statement_weight:
        losses["statements"] = "binary_crossentropy"
        weights["statements"] = recipe.statement_weight
    if privileged:
        losses[PRIVILEGED_OUTPUT] = "binary_crossentropy"
        weights[PRIVILEGED_OUTPUT] = recipe.privileged_weight
    network.compile(
        optimizer_for(recipe, steps_per_epoch),
        loss=losses,
        loss_weights=weights,
        # XLA on a CPU is slower than TensorFlow's own kernels, and "auto" would choose it.
        jit_compile=_just_in_time(),
    )
    return network


def _just_in_time() -> bool:
    return keras.backend.backend() == "jax"


def run_epochs(
    network: keras.Model, batches: TrainingBatches, epochs: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Keras' fit from the batches' epoch on; a progress bar only on a terminal."""
    if network.optimizer.use_ema:
        callbacks = [AveragedWeights(), *callbacks]
    network.fit(
        batches,
        epochs=epochs,
        initial_epoch=batches.epoch,
        callbacks=[KeepFreedMemory(), *callbacks],
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 0,
    )


def fit_model(
    recipe: Recipe,
    store: Store,
    folder: Path,
    *,
    report: EpochReport,
    run_id: str | None = None,
    targets: SoftTargets | None = None,
) -> dict[str, Any]:
    """Train one model, or go on where an interrupted training stopped, and write its folder.

    The folder gets ``model.keras`` (the best epoch by the monitored validation metric), ``preprocessing.json``,
    ``training.json``, ``history.csv`` and ``summary.txt``, all at once when the training has ended. A
    folder that holds the result of the same recipe on the same data is left as it is.

    Args:
        recipe: the model and how to train it.
        store: the ingested data.
        folder: the model's folder.
        report: called with each epoch, counted from 1, and its metrics, those of an interrupted training included.
        run_id: the run that the training belongs to, noted in ``training.json``.
        targets: what the recipe's teachers say about the training records.

    Returns:
        The content of ``training.json``, with ``reused`` telling whether anything was trained.
    """
    fingerprint = recipe.fingerprint(store.manifest, targets.digest if targets else None)
    if (finished := _finished(folder, fingerprint)) is not None:
        for epoch, metrics in enumerate(finished["history"], start=1):
            report(epoch, metrics)
        return finished | {"reused": True}

    checkpoints = folder.with_name(f"{folder.name}-checkpoints")
    data = TrainingData.prepare(recipe, store, targets=targets)
    found = load_checkpoint(checkpoints, fingerprint)
    progress = found[0] if found else Progress(fingerprint)
    for epoch, metrics in enumerate(progress.history, start=1):
        report(epoch, metrics)
    batches = data.batches(recipe, first_epoch=progress.epochs)
    if found:
        network = load_network(found[1])
        network.jit_compile = _just_in_time()
        if recipe.ema_epochs:
            AveragedWeights().resume(network)
    else:
        network = compile_network(recipe, data, len(batches))
    keeper = EpochKeeper(
        progress, monitor=recipe.monitor, patience=recipe.patience, checkpoints=checkpoints, report=report
    )
    if progress.epochs < recipe.epochs and not (progress.epochs and progress.stopped(recipe.patience)):
        run_epochs(network, batches, recipe.epochs, [data.validation(lambda: network), keeper])
    result = _write(folder, recipe, data, progress, checkpoints, run_id)
    shutil.rmtree(checkpoints)
    return result | {"reused": False}


def _finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    file = folder / "training.json"
    if not file.is_file():
        return None
    training: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return training if training["fingerprint"] == fingerprint else None


def _write(
    folder: Path, recipe: Recipe, data: TrainingData, progress: Progress, checkpoints: Path, run_id: str | None
) -> dict[str, Any]:
    """Write the model's folder from the best epoch of the last checkpoint."""
    best = checkpoints / f"epoch-{progress.epochs:04d}" / "best.keras"
    network = as_served(keras.saving.load_model(best, compile=False))
    training = {
        "model": recipe.model,
        "feature_set": recipe.feature_set,
        "monitor": recipe.monitor,
        "validation": data.measure(network, data.signal),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs,
        "seconds": round(progress.seconds, 1),
        "count_params": network.count_params(),
        "digest": data.store.manifest["digest"],
        "simulated": data.store.manifest["simulated"],
        "parameters": recipe.parameters(),
        "backend": keras.backend.backend(),
        "run_id": run_id,
        "fingerprint": progress.fingerprint,
        "history": progress.history,
    }
    preprocessing = {
        "signal": data.signal.to_dict() if data.signal else None,
        "metadata": data.metadata.to_dict(),
    }
    summary: list[str] = []
    network.summary(print_fn=lambda line, **_: summary.append(line))
    with folder_written_atomically(folder) as target:
        # Without the optimizer's state: two thirds of the file, and of no use to the stages that follow.
        network.save(target / "model.keras")
        (target / "preprocessing.json").write_text(json.dumps(preprocessing, indent=2), encoding="utf-8")
        (target / "training.json").write_text(json.dumps(training, indent=2), encoding="utf-8")
        (target / "history.csv").write_text(_history_csv(progress.history), encoding="utf-8")
        (target / "summary.txt").write_text("\n".join(summary), encoding="utf-8")
    return training


def _history_csv(history: list[dict[str, float]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": epoch, **metrics} for epoch, metrics in enumerate(history, start=1))
    return text.getvalue()
