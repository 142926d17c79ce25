"""Training: it learns, writes a whole folder, keeps the best epoch; the learning rate, and averaged weights."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store, open_store
from leadwise.parameters import load_parameters
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.epochs import AveragedWeights, TrainingDiverged, learning_rate, optimizer_for
from leadwise.training.fit import TrainingData, fit_model
from leadwise.training.prediction import load_trained


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def small(model: str, **changes: object) -> TrainingConfig:
    config = training_config(model, load_parameters({"epochs-fusion": 2, "epochs-metadata": 2, "encoder-width": 8}))
    return with_values(config, dict(changes))


def no_report(epoch: int, metrics: dict[str, float]) -> None:
    """Nobody listens."""


def test_a_fusion_model_learns_and_its_folder_is_whole(store: Store, tmp_path: Path) -> None:
    seen: list[int] = []
    config = small("fusion", epochs=4, encoder="original_cnn")
    result = fit_model(config, store, tmp_path / "fusion", report=lambda epoch, metrics: seen.append(epoch))
    assert seen == [1, 2, 3, 4]
    names = {path.name for path in (tmp_path / "fusion").iterdir()}
    assert names == {"model.keras", "preprocessing.json", "training.json", "history.csv", "summary.txt"}
    assert [path.name for path in tmp_path.iterdir()] == ["fusion"]
    rows = list(csv.DictReader((tmp_path / "fusion" / "history.csv").open()))
    assert float(rows[-1]["train/loss"]) < 0.9 * float(rows[0]["train/loss"])
    best = max(float(row["val/macro_auroc"]) for row in rows)
    # Epochs are measured with windows side by side, what is kept with windows that overlap.
    kept = result["validation"]["val/macro_auroc"]
    assert kept == pytest.approx(best, abs=0.05)
    # What was kept is what was measured: the loaded weights score the same on fold 9.
    validation = store.rows("validation")
    probabilities = load_trained(tmp_path / "fusion").answers(store, validation)["superclasses"]
    assert roc_auc_score(store.labels()[validation], probabilities, average="macro") == pytest.approx(kept, abs=1e-4)


def test_a_network_that_is_trained_in_bfloat16_is_kept_in_float32(store: Store, tmp_path: Path) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = small("fusion", encoder="original_cnn", precision=precision, epochs=1)
        result = fit_model(config, store, tmp_path / precision, report=no_report)
        assert not result["reused"]
        assert result["parameters"]["precision"] == precision
        losses[precision] = [metrics["train/loss"] for metrics in result["history"]]
    # Drop-out draws other masks in bfloat16, and nothing else should differ much.
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)
    assert losses["bfloat16"] != losses["float32"]
    network = load_trained(tmp_path / "bfloat16").network
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}


def test_the_same_training_is_not_done_twice(store: Store, tmp_path: Path) -> None:
    first = fit_model(small("metadata"), store, tmp_path / "metadata", report=no_report)
    second = fit_model(small("metadata"), store, tmp_path / "metadata", report=no_report)
    other = fit_model(small("metadata", **{"learning-rate": 0.01}), store, tmp_path / "metadata", report=no_report)
    assert (first["reused"], second["reused"], other["reused"]) == (False, True, False)
    assert second["history"] == first["history"] != other["history"]


def test_a_diverging_training_says_so(store: Store) -> None:
    data = TrainingData.prepare(small("metadata"), store)
    measured = data.validation(NanNetwork())
    with pytest.raises(TrainingDiverged, match=r"epoch 1: .*learning-rate"):
        measured.on_epoch_end(0, {})


class NanNetwork:
    """Answers as a network does whose weights have overflown."""

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"superclasses": np.full((len(inputs["metadata"]), 5), np.nan)}


def test_a_model_of_other_data_is_refused(store: Store, tmp_path: Path) -> None:
    fit_model(small("metadata", epochs=1), store, tmp_path / "metadata", report=no_report)
    file = tmp_path / "metadata" / "training.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": "0" * 64}))
    with pytest.raises(LeadwiseError, match="metadata: trained on data 000000000000"):
        load_trained(tmp_path / "metadata").answers(store, store.rows("test"))["superclasses"]
    with pytest.raises(LeadwiseError, match="no finished training"):
        load_trained(tmp_path / "nothing")


def test_a_fold_9_without_a_class_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    records = store.records.copy()
    records.loc[store.rows("validation"), "HYP"] = False
    lacking = replace(store, records=records)
    with pytest.raises(LeadwiseError, match=r"none of fold 9 have HYP; .*val/binary_accuracy"):
        fit_model(small("metadata"), lacking, tmp_path / "metadata", report=no_report)
    by_accuracy = small("metadata", epochs=1, monitor="val/binary_accuracy")
    assert fit_model(by_accuracy, lacking, tmp_path / "metadata", report=no_report)["epochs"] == 1


@pytest.fixture
def scheduled() -> TrainingConfig:
    chosen = {"learning-rate": 0.01, "epochs": 8, "weight-decay": 0.1, "ema-epochs": 0.5, "schedule": "one_cycle"}
    return with_values(training_config("fusion", load_parameters()), chosen)


def test_one_cycle_rises_for_a_quarter_and_ends_at_zero(scheduled: TrainingConfig) -> None:
    rates = [float(learning_rate(scheduled, 10)(step)) for step in range(81)]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert int(np.argmax(rates)) == 20
    assert max(rates) == pytest.approx(0.01)
    assert (np.diff(rates[20:]) <= 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_cosine_rises_for_one_epoch_and_constant_does_not_move(scheduled: TrainingConfig) -> None:
    cosine = learning_rate(with_values(scheduled, {"schedule": "cosine"}), 10)
    assert int(np.argmax([float(cosine(step)) for step in range(80)])) == 10
    assert learning_rate(with_values(scheduled, {"schedule": "constant"}), 10) == 0.01


def fit(network: keras.Model) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = (x.sum(axis=1, keepdims=True) > 0).astype(np.float32)
    network.fit(x, y, batch_size=4, shuffle=False, verbose=0, epochs=1, callbacks=[AveragedWeights()])


def small_network(scheduled: TrainingConfig) -> keras.Model:
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
    network.compile(optimizer_for(scheduled, 10), loss="binary_crossentropy", jit_compile=False)
    return network


def test_measured_weights_are_the_average(scheduled: TrainingConfig) -> None:
    slow = small_network(with_values(scheduled, {"ema-epochs": 5.0}))
    quick = small_network(with_values(scheduled, {"ema-epochs": 0.1}))
    start = [np.asarray(weight) for weight in slow.get_weights()]
    for network in (slow, quick):
        fit(network)
    moved_slow, moved_quick = (
        sum(np.abs(now - then).sum() for now, then in zip(network.get_weights(), start, strict=True))
        for network in (slow, quick)
    )
    assert 0 < moved_slow < 0.7 * moved_quick
