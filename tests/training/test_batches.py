"""Batches: every record once an epoch, windows and noise as asked for, reproducible batch by batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from leadwise.contract import STATEMENTS
from leadwise.datasets.store import Store, open_store
from leadwise.parameters import load_parameters
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.fit import TrainingBatches, TrainingData


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def batches_of(store: Store, config: TrainingConfig, first_epoch: int = 0) -> TrainingBatches:
    return TrainingData.prepare(config, store).batches(config, first_epoch)


def test_every_training_record_comes_once_an_epoch(store: Store) -> None:
    config = training_config("metadata", load_parameters())
    batches = batches_of(store, config)
    labels = np.concatenate([batches[index][1]["superclasses"] for index in range(len(batches))])
    expected = store.labels()[store.rows("train")]
    assert labels.shape == expected.shape
    np.testing.assert_array_equal(labels.sum(axis=0), expected.sum(axis=0))


def test_whole_records_are_standardised_by_one_constant(store: Store) -> None:
    config = training_config("fusion", load_parameters({"window-samples": 1000, "amplitude-scale": 0, "mixup": 0}))
    batches = batches_of(store, config)
    signal = np.concatenate([batches[index][0]["signal"] for index in range(len(batches))])
    assert signal.shape[1:] == (1000, 12)
    assert signal.mean(dtype=np.float64) == pytest.approx(0, abs=1e-3)
    assert signal.std(dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_windows_lie_inside_their_record_with_noise_of_the_asked_size(store: Store) -> None:
    config = training_config("fusion_augmented", load_parameters({"configuration": "original"}))
    quiet = batches_of(store, with_values(config, {"white-noise-mv": 0.0}))[0][0]["signal"]
    noisy = batches_of(store, config)[0][0]["signal"]
    assert quiet.shape == noisy.shape == (32, 800, 12)
    sd_mv = batches_of(store, config).preprocessing.sd_mv
    assert (noisy - quiet).std() * sd_mv == pytest.approx(0.012, rel=0.02)
    whole = batches_of(store, with_values(config, {"white-noise-mv": 0.0, "window-samples": 1000}))[0][0]["signal"]
    for window, record in zip(quiet, whole, strict=True):
        assert any(np.array_equal(window, record[start : start + 800]) for start in range(201))


def test_features_are_dropped_for_the_asked_share(store: Store) -> None:
    config = with_values(
        training_config("fusion", load_parameters()), {"feature-dropout": 0.5, "batch-size": 500, "mixup": 0.0}
    )
    batches = batches_of(store, config)
    metadata = np.concatenate([batches[index][0]["metadata"] for index in range(len(batches))])
    dropped = (metadata == batches.unknown).all(axis=1).mean()
    assert dropped == pytest.approx(0.5, abs=0.12)
    # The store's own matrix is not what was overwritten.
    assert (batches.metadata == batches.unknown).all(axis=1).mean() < 0.1


def test_statements_are_those_of_the_records(store: Store) -> None:
    config = with_values(training_config("fusion", load_parameters({"mixup": 0})), {"batch-size": 500})
    batches = batches_of(store, config)
    statements = np.concatenate([batches[index][1]["statements"] for index in range(len(batches))])
    codes = [json.loads(text) for text in store.records["scp_codes"].iloc[store.rows("train")]]
    for number, name in enumerate(STATEMENTS):
        assert statements[:, number].sum() == sum(name in record for record in codes), name


def test_mixup_mixes_inputs_and_labels_alike(store: Store) -> None:
    config = training_config(
        "fusion_augmented", load_parameters({"configuration": "original", "window-samples-augmented": 1000})
    )
    plain = with_values(config, {"white-noise-mv": 0.0})
    inputs, labels = batches_of(store, plain)[0]
    mixed_inputs, mixed_labels = batches_of(store, with_values(plain, {"mixup": 0.4}))[0]
    # Each mixed record lies between its own values and those of one partner, by one share for all that is mixed.
    found = 0
    for row in range(len(labels["superclasses"])):
        for partner in range(len(labels["superclasses"])):
            towards = inputs["signal"][partner] - inputs["signal"][row]
            if partner == row or not towards.any():
                continue
            share = np.vdot(mixed_inputs["signal"][row] - inputs["signal"][row], towards) / np.vdot(towards, towards)
            if np.allclose(mixed_inputs["signal"][row], inputs["signal"][row] + share * towards, atol=1e-4):
                found += 1
                assert -1e-6 <= share <= 0.5
                own, other = labels["superclasses"][row], labels["superclasses"][partner]
                np.testing.assert_allclose(mixed_labels["superclasses"][row], own + share * (other - own), atol=1e-4)
                break
    assert found > len(labels["superclasses"]) / 2


def test_a_resumed_epoch_sees_the_same_batches(store: Store) -> None:
    config = training_config("fusion_augmented", load_parameters())
    straight = batches_of(store, config)
    first = straight[1][0]["signal"]
    straight.on_epoch_end()
    resumed = batches_of(store, config, first_epoch=1)
    for key in ("signal", "metadata"):
        np.testing.assert_array_equal(straight[1][0][key], resumed[1][0][key])
    assert not np.array_equal(first, resumed[1][0]["signal"])
