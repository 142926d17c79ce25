"""The three networks of the original, layer for layer."""

from typing import TYPE_CHECKING

from leadwise.contract import LEADS, MODEL_NAMES, SUPERCLASSES, LeadwiseError, ModelName
from leadwise.models.branches import head, metadata_branch, signal_branch

if TYPE_CHECKING:
    import keras


def build_model(
    name: ModelName,
    *,
    metadata_width: int,
    dropout_branch: float = 0.3,
    dropout_head: float = 0.5,
    seed: int | None = None,
) -> "keras.Model":
    """Build one of the three networks, not yet trained.

    Inputs are named ``signal``, ``(batch, time, lead)`` float32 standard deviations with any number of samples, and
    ``metadata``, ``(batch, metadata_width)`` float32; the ``metadata`` model has the second one only. The output is
    ``(batch, 5)`` probabilities in the order of ``SUPERCLASSES``; several may be high at once.

    With the original's seven features the ``metadata`` model has 7,909 parameters and the fusion models 154,789; with
    the clinical features and their seven missing-value masks 8,133 and 155,013. ``fusion_augmented`` is the network
    of ``fusion``, trained otherwise.

    Args:
        name: which network.
        metadata_width: columns of the metadata input.
        dropout_branch: drop-out of the metadata branch.
        dropout_head: drop-out after the signal branch and before the logits.
        seed: seed of the initial weights and of drop-out.

    Raises:
        LeadwiseError: ``name`` is none of the three.
    """
    import keras

    if name not in MODEL_NAMES:
        raise LeadwiseError(f"model: received {name!r}; allowed: {', '.join(MODEL_NAMES)}")
    if seed is not None:
        keras.utils.set_random_seed(seed)
    metadata = keras.Input((metadata_width,), name="metadata")
    inputs = {"metadata": metadata}
    features = metadata_branch(metadata, dropout_branch)
    if name != "metadata":
        signal = keras.Input((None, len(LEADS)), name="signal")
        inputs["signal"] = signal
        features = keras.layers.Concatenate(name="fusion")([features, signal_branch(signal, dropout_head)])
    return keras.Model(inputs, head(features, len(SUPERCLASSES), dropout_head), name=name)
