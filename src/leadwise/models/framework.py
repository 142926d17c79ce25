"""Keras as Leadwise uses it, and a network built with it, in the precision of its training or as it is served.

What a user's ``keras.json`` says makes no other network.

Whatever builds, loads, trains or exports a network takes ``keras`` from here. The environment variable KERAS_BACKEND
chooses the backend; a program that imported Keras before has chosen it, too.
"""

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from leadwise.contract import LeadwiseError, SignalShape
from leadwise.models.spec import Architecture, keras_backend, model_spec

SETTINGS: dict[str, Any] = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
"""Keras' own defaults, which the trained and the exported networks rely on."""


_FILE = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
try:
    _TOLD = dict(json.loads(_FILE.read_text(encoding="utf-8")))
except (OSError, ValueError, TypeError):
    # Keras would not read it either.
    _TOLD = {}
_OWN = SETTINGS if os.environ.get("KERAS_BACKEND") else SETTINGS | {"backend": keras_backend()}
_OTHERS = {name: value for name, value in _TOLD.items() if name in _OWN and value != _OWN[name]}
os.environ["KERAS_BACKEND"] = keras_backend()

try:
    import keras
except ValueError as error:
    raise LeadwiseError(f"{_FILE}: {error}") from error

keras.config.set_floatx(SETTINGS["floatx"])
keras.config.set_image_data_format(SETTINGS["image_data_format"])
keras.config.set_epsilon(SETTINGS["epsilon"])
keras.config.set_dtype_policy("float32")
# Of the environment, for debugging: a training cut short would be taken for a whole one later.
keras.config.set_max_epochs(None)
keras.config.set_max_steps_per_epoch(None)

if _OTHERS:
    said = ", ".join(f"{name} {value}" for name, value in _OTHERS.items())
    taken = ", ".join(f"{name} {_OWN[name]}" for name in _OTHERS)
    logging.getLogger(__name__).warning(
        "%s: %s: not taken, but %s; KERAS_BACKEND chooses a backend", _FILE, said, taken
    )


def build_model(
    name: str,
    shape: SignalShape,
    *,
    metadata_width: int,
    architecture: Architecture | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Build a network, not yet trained.

    Inputs are named ``signal``, ``(batch, time, lead)`` float32 standard deviations, and ``metadata``,
    ``(batch, metadata_width)`` float32; a model has those that it sees. Outputs are named ``superclasses``,
    ``(batch, 5)`` probabilities in the order of ``SUPERCLASSES``, several of which may be high at once, and, where the
    architecture has it, ``statements``, ``(batch, 71)`` in the order of ``STATEMENTS``.

    Args:
        name: of a registered model.
        shape: the signal that it sees.
        metadata_width: columns of the metadata input.
        architecture: what it is made of; None: the original's.
        seed: seed of the initial weights and of drop-out.

    Raises:
        LeadwiseError: ``name`` or the encoder is unknown.
    """
    spec = model_spec(name)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    architecture = architecture or Architecture()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if architecture.precision == "bfloat16" else "float32")
    try:
        network = spec.build(shape, metadata_width, architecture)
    finally:
        keras.config.set_dtype_policy(before)
    network.name = name
    return network


def as_served(network: keras.Model) -> keras.Model:
    """The network as it is evaluated and served: the same weights, in float32."""
    if all(layer.compute_dtype == "float32" for layer in network.layers):
        return network
    copy = keras.models.clone_model(
        network, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": "float32"})
    )
    copy.set_weights(network.get_weights())
    return copy


def multiply_adds(network: keras.Model) -> int:
    """Multiplications with an addition in the convolutions and dense layers for one window.

    A time would differ from machine to machine and from minute to minute; this number is the same everywhere, and
    what else a network does (norms, activations, pooling) is small beside it.

    Args:
        network: of ``build_model``, with a signal of known length.
    """
    count = 0
    for layer in network.layers:
        if getattr(layer, "kernel", None) is not None:
            places = layer.output.shape[1:-1]
            # Every weight of the kernel is used once at every place of the output.
            count += math.prod(layer.kernel.shape) * math.prod(places)
    return count
