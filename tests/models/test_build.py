"""The three networks: the original's layers, the original's counts, any length of signal."""

import numpy as np
import pytest

from leadwise.contract import MODEL_NAMES, SUPERCLASSES, LeadwiseError, ModelName
from leadwise.models.build import build_model


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [
        ("metadata", 7, 7_909),
        ("fusion", 7, 154_789),
        ("fusion_augmented", 7, 154_789),
        ("metadata", 14, 8_133),
        ("fusion", 14, 155_013),
    ],
)
def test_parameter_counts_are_those_of_the_original(name: ModelName, width: int, parameters: int) -> None:
    assert build_model(name, metadata_width=width).count_params() == parameters


def test_layers_follow_the_original_in_order() -> None:
    network = build_model("fusion", metadata_width=7)
    convolutions = [layer for layer in network.layers if layer.name.startswith("signal_conv")]
    assert [(layer.filters, layer.kernel_size) for layer in convolutions] == [(64, (7,)), (128, (3,)), (256, (3,))]
    assert [layer.units for layer in network.layers if layer.name.startswith("head_dense")] == [64, 64]
    assert network.get_layer("signal_dropout").rate == network.get_layer("head_dropout").rate == 0.5
    assert network.get_layer("metadata_dropout_1").rate == 0.3


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_contract_of_every_model(name: ModelName) -> None:
    network = build_model(name, metadata_width=14, seed=1)
    for samples in (1000, 800, 513):
        inputs = {"metadata": np.zeros((3, 14), np.float32)}
        if name != "metadata":
            inputs["signal"] = np.random.default_rng(0).normal(size=(3, samples, 12)).astype(np.float32)
        answer = np.asarray(network(inputs, training=False))
        assert answer.shape == (3, len(SUPERCLASSES))
        assert answer.dtype == np.float32
        assert ((answer > 0) & (answer < 1)).all()
    assert network.get_layer("logits").output.shape == (None, len(SUPERCLASSES))


def test_same_seed_same_weights() -> None:
    first, second, other = (build_model("fusion", metadata_width=14, seed=seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(LeadwiseError, match=r"received 'resnet'; allowed: metadata, fusion, fusion_augmented"):
        build_model("resnet", metadata_width=7)  # type: ignore[arg-type]
