"""The networks: metadata alone, or fused with what an encoder makes of the recording."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leadwise.contract import (
    ENCODER_NAMES,
    MODEL_NAMES,
    STATEMENTS,
    SUPERCLASSES,
    EncoderName,
    HeadName,
    LeadwiseError,
    ModelName,
    Precision,
    SignalShape,
)
from leadwise.models.branches import dense_layers, head, metadata_branch
from leadwise.models.encoders.convnext import convnext
from leadwise.models.encoders.original_cnn import original_cnn
from leadwise.models.encoders.resnet1d_wang import resnet1d_wang
from leadwise.models.encoders.se_resnet import se_resnet

if TYPE_CHECKING:
    import keras

ENCODERS: "Mapping[EncoderName, Callable[[SignalShape, keras.KerasTensor, int], keras.KerasTensor]]" = {
    "original_cnn": original_cnn,
    "resnet1d_wang": resnet1d_wang,
    "se_resnet": se_resnet,
    "convnext": convnext,
}
"""Each takes the signal's shape, ``(batch, time, lead)`` and its width, and gives ``(batch, features)``."""


@dataclass(frozen=True)
class Architecture:
    """What a network is made of; the defaults are the networks of the original, layer for layer.

    Attributes:
        encoder: what reads the recording.
        encoder_width: its number of channels, in the encoder's own units.
        head: ``dense``: the original's two dense layers before the logits; ``linear``: none.
        statements: whether a second output gives the 71 SCP-ECG statements.
        privileged: how many privileged targets a further output predicts while the network is trained; 0: none.
        dropout_branch: drop-out of the metadata branch.
        dropout_head: drop-out after the encoder and in the dense head.
        precision: what layers compute in; weights, batch norm's statistics and answers are float32 in any case
            (Micikevicius et al. 2018, Mixed Precision Training; bfloat16 needs no scaling of the loss).
    """

    encoder: EncoderName = "original_cnn"
    encoder_width: int = 64
    head: HeadName = "dense"
    statements: bool = False
    privileged: int = 0
    dropout_branch: float = 0.3
    dropout_head: float = 0.5
    precision: Precision = "float32"


ORIGINAL = Architecture()

PRIVILEGED_OUTPUT = "privileged"
"""An output for training alone; ``as_served`` takes it away."""


def build_model(
    name: ModelName,
    shape: SignalShape,
    *,
    metadata_width: int,
    architecture: Architecture = ORIGINAL,
    seed: int | None = None,
) -> "keras.Model":
    """Build a network, not yet trained.

    Inputs are named ``signal``, ``(batch, time, lead)`` float32 standard deviations, and ``metadata``,
    ``(batch, metadata_width)`` float32; the ``metadata`` model has the second one only. Outputs are named
    ``superclasses``, ``(batch, 5)`` probabilities in the order of ``SUPERCLASSES``, several of which may be high at
    once, and, where the architecture has it, ``statements``, ``(batch, 71)`` in the order of ``STATEMENTS``.

    With the original's seven features and its architecture the ``metadata`` model has 7,909 parameters and the fusion
    models 154,789; with the clinical features and their seven missing-value masks 8,133 and 155,013.
    ``fusion_augmented`` is the network of ``fusion``, trained otherwise.

    Args:
        name: which network.
        shape: the signal that it sees.
        metadata_width: columns of the metadata input.
        architecture: what it is made of; the ``metadata`` model is the original's in any case.
        seed: seed of the initial weights and of drop-out.

    Raises:
        LeadwiseError: ``name`` or the encoder is unknown.
    """
    from leadwise.models.framework import keras

    if name not in MODEL_NAMES:
        raise LeadwiseError(f"model: received {name!r}; allowed: {', '.join(MODEL_NAMES)}")
    if architecture.encoder not in ENCODERS:
        raise LeadwiseError(f"encoder: received {architecture.encoder!r}; allowed: {', '.join(ENCODER_NAMES)}")
    if seed is not None:
        keras.utils.set_random_seed(seed)
    with _layers_compute_in(architecture.precision):
        return _connect(name, shape, metadata_width, architecture)


def _connect(name: ModelName, shape: SignalShape, metadata_width: int, architecture: Architecture) -> "keras.Model":
    from leadwise.models.framework import keras

    metadata = keras.Input((metadata_width,), name="metadata")
    inputs = {"metadata": metadata}
    features = metadata_branch(metadata, architecture.dropout_branch)
    if name != "metadata":
        signal = keras.Input((shape.samples, shape.leads), name="signal")
        inputs["signal"] = signal
        encoded = ENCODERS[architecture.encoder](shape, signal, architecture.encoder_width)
        encoded = keras.layers.Dropout(architecture.dropout_head, name="signal_dropout")(encoded)
        features = keras.layers.Concatenate(name="fusion")([features, encoded])
    if name == "metadata" or architecture.head == "dense":
        features = dense_layers(features, architecture.dropout_head)
    outputs = {"superclasses": head(features, len(SUPERCLASSES), "superclasses")}
    if name != "metadata" and architecture.statements:
        outputs["statements"] = head(features, len(STATEMENTS), "statements")
    if name != "metadata" and architecture.privileged:
        outputs[PRIVILEGED_OUTPUT] = head(features, architecture.privileged, PRIVILEGED_OUTPUT)
    return keras.Model(inputs, outputs, name=name)


@contextmanager
def _layers_compute_in(precision: Precision) -> Iterator[None]:
    """Layers that are made inside compute in this precision."""
    from leadwise.models.framework import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def as_served(network: "keras.Model") -> "keras.Model":
    """The network as it is evaluated and served: the same weights, in float32, without the privileged output."""
    from leadwise.models.framework import keras

    network = _without_privileged(network)
    if all(layer.compute_dtype == "float32" for layer in network.layers):
        return network
    copy = keras.models.clone_model(network, clone_function=_in_float32)
    copy.set_weights(network.get_weights())
    return copy


def _in_float32(layer: "keras.Layer") -> "keras.Layer":
    return type(layer).from_config(layer.get_config() | {"dtype": "float32"})


def _without_privileged(network: "keras.Model") -> "keras.Model":
    from leadwise.models.framework import keras

    if PRIVILEGED_OUTPUT not in network.output_names:
        return network
    kept = {name: network.get_layer(name).output for name in network.output_names if name != PRIVILEGED_OUTPUT}
    return keras.Model(network.input, kept, name=network.name)
