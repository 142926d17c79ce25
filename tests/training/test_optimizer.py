"""The learning rate over the steps, and averaged weights."""

import keras
import numpy as np
import pytest

from leadwise.parameters import load_parameters
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.epochs import AveragedWeights, learning_rate, optimizer_for


@pytest.fixture
def config() -> TrainingConfig:
    chosen = {"learning-rate": 0.01, "epochs": 8, "weight-decay": 0.1, "ema-epochs": 0.5, "schedule": "one_cycle"}
    return with_values(training_config("fusion", load_parameters()), chosen)


def test_one_cycle_rises_for_a_quarter_and_ends_at_zero(config: TrainingConfig) -> None:
    rates = [float(learning_rate(config, 10)(step)) for step in range(81)]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert int(np.argmax(rates)) == 20
    assert max(rates) == pytest.approx(0.01)
    assert (np.diff(rates[20:]) <= 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_cosine_rises_for_one_epoch_and_constant_does_not_move(config: TrainingConfig) -> None:
    cosine = learning_rate(with_values(config, {"schedule": "cosine"}), 10)
    assert int(np.argmax([float(cosine(step)) for step in range(80)])) == 10
    assert learning_rate(with_values(config, {"schedule": "constant"}), 10) == 0.01


def test_decay_and_averages_are_off_when_asked(config: TrainingConfig) -> None:
    plain = optimizer_for(with_values(config, {"weight-decay": 0.0, "ema-epochs": 0.0}), 10)
    assert type(plain) is keras.optimizers.Adam
    assert not plain.use_ema
    decayed = optimizer_for(config, 10)
    assert isinstance(decayed, keras.optimizers.AdamW)
    # Half an epoch of ten steps.
    assert decayed.ema_momentum == pytest.approx(0.8)


def fit(network: keras.Model) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = (x.sum(axis=1, keepdims=True) > 0).astype(np.float32)
    network.fit(x, y, batch_size=4, shuffle=False, verbose=0, epochs=1, callbacks=[AveragedWeights()])


def small_network(config: TrainingConfig) -> keras.Model:
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
    network.compile(optimizer_for(config, 10), loss="binary_crossentropy", jit_compile=False)
    return network


def test_measured_weights_are_the_average(config: TrainingConfig) -> None:
    slow = small_network(with_values(config, {"ema-epochs": 5.0}))
    quick = small_network(with_values(config, {"ema-epochs": 0.1}))
    start = [np.asarray(weight) for weight in slow.get_weights()]
    for network in (slow, quick):
        fit(network)
    moved_slow, moved_quick = (
        sum(np.abs(now - then).sum() for now, then in zip(network.get_weights(), start, strict=True))
        for network in (slow, quick)
    )
    assert 0 < moved_slow < 0.7 * moved_quick
