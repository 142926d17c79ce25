"""The networks: the original's layers, counts and cost, and what every encoder owes to the rest of the house."""

from dataclasses import replace

import numpy as np
import pytest

from leadwise.contract import ENCODER_NAMES, LEADS, STATEMENTS, SUPERCLASSES, EncoderName, LeadwiseError, SignalShape
from leadwise.models.framework import as_served, build_model, multiply_adds
from leadwise.models.spec import MODELS, Architecture

SHAPE = SignalShape()


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
def test_parameter_counts_are_those_of_the_original(name: str, width: int, parameters: int) -> None:
    assert build_model(name, SHAPE, metadata_width=width).count_params() == parameters


def inputs_of(name: str, samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = {"metadata": rng.normal(size=(3, 14)).astype(np.float32)}
    if name != "metadata":
        inputs["signal"] = rng.normal(size=(3, samples, 12)).astype(np.float32)
    return inputs


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
@pytest.mark.parametrize("name", MODELS)
def test_contract_of_every_model_and_encoder(name: str, encoder: EncoderName) -> None:
    architecture = Architecture(encoder=encoder, encoder_width=8, head="linear", statements=True)
    network = build_model(name, SHAPE, metadata_width=14, architecture=architecture, seed=1)
    expected = {"superclasses": len(SUPERCLASSES)}
    if name != "metadata":
        expected["statements"] = len(STATEMENTS)
    for samples in (1000, 250, 513):
        answers = network(inputs_of(name, samples), training=False)
        assert {output: answer.shape for output, answer in answers.items()} == {k: (3, v) for k, v in expected.items()}
        for answer in map(np.asarray, answers.values()):
            assert answer.dtype == np.float32
            assert ((answer > 0) & (answer < 1)).all()
    assert len({layer.name for layer in network.layers}) == len(network.layers)
    assert network.get_layer("superclasses_logits").output.shape == (None, len(SUPERCLASSES))


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
def test_every_lead_and_the_metadata_matter(encoder: EncoderName) -> None:
    architecture = Architecture(encoder=encoder, encoder_width=8, head="linear")
    network = build_model("fusion", SHAPE, metadata_width=14, architecture=architecture, seed=2)
    inputs = inputs_of("fusion", 250)
    answer = np.asarray(network(inputs, training=False)["superclasses"])
    for lead in range(12):
        silent = inputs["signal"].copy()
        silent[:, :, lead] = 0
        changed = np.asarray(network(inputs | {"signal": silent}, training=False)["superclasses"])
        assert np.abs(changed - answer).max() > 1e-5, lead
    other = np.asarray(network(inputs | {"metadata": -inputs["metadata"]}, training=False)["superclasses"])
    assert np.abs(other - answer).max() > 1e-5


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
def test_bfloat16_is_for_training_alone(encoder: EncoderName) -> None:
    architecture = Architecture(encoder=encoder, encoder_width=4, head="linear", statements=True)
    exact = build_model("fusion", SHAPE, metadata_width=14, architecture=architecture, seed=5)
    rough = build_model(
        "fusion", SHAPE, metadata_width=14, architecture=replace(architecture, precision="bfloat16"), seed=5
    )
    assert {layer.compute_dtype for layer in rough.layers if "conv" in layer.name} == {"bfloat16"}
    assert {weight.dtype for weight in rough.weights} == {"float32"}
    inputs = inputs_of("fusion", 250)
    expected = exact(inputs, training=False)
    served = as_served(rough)
    assert {layer.compute_dtype for layer in served.layers} == {"float32"}
    assert [layer.name for layer in served.layers] == [layer.name for layer in exact.layers]
    for output, answers in served(inputs, training=False).items():
        np.testing.assert_array_equal(answers, expected[output])
    differences = [
        np.abs(np.asarray(rough(inputs, training=False)[output]) - expected[output]).max() for output in expected
    ]
    assert 0 < max(differences) < 0.05


def test_an_unknown_model_or_encoder_is_named() -> None:
    with pytest.raises(LeadwiseError, match=r"received 'resnet'; allowed: metadata, fusion, fusion_augmented"):
        build_model("resnet", SHAPE, metadata_width=7)  # type: ignore[arg-type]
    with pytest.raises(LeadwiseError, match=r"encoder: received 'vit'; allowed: original_cnn, .*se_resnet"):
        build_model("fusion", SHAPE, metadata_width=7, architecture=Architecture(encoder="vit"))  # type: ignore[arg-type]


def test_the_original_network_is_counted_layer_by_layer() -> None:
    network = build_model("fusion", SignalShape(samples=1000), metadata_width=14)
    signal = 1000 * 7 * len(LEADS) * 64 + 500 * 3 * 64 * 128 + 250 * 3 * 128 * 256
    metadata, head = 14 * 32 + 32 * 32, (256 + 32) * 64 + 64 * 64 + 64 * 5
    assert multiply_adds(network) == signal + metadata + head


@pytest.mark.parametrize("encoder", ["se_resnet", "resnet1d_wang"])
def test_cost_grows_with_the_window_and_faster_with_the_width(encoder: str) -> None:
    def cost(samples: int, width: int) -> int:
        architecture = Architecture(encoder=encoder, encoder_width=width, head="linear")  # type: ignore[arg-type]
        return multiply_adds(
            build_model("fusion", SignalShape(samples=samples), metadata_width=14, architecture=architecture)
        )

    assert cost(480, 16) == pytest.approx(2 * cost(240, 16), rel=0.05)
    assert 2 * cost(240, 16) < cost(240, 32) < 4 * cost(240, 16)
