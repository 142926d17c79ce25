"""ONNX against Keras: the packaged network must answer real rows as the trained one does."""

from collections.abc import Mapping

from leadwise.registry.gate.check import Check
from leadwise.registry.packaging import Parity

LARGEST_DIFFERENCE = 1e-5


def parity_checks(parity: Mapping[str, Parity]) -> list[Check]:
    """One check per network.

    Args:
        parity: by network, measured while it was packaged; empty where there is no Keras network to compare with.
    """
    if not parity:
        why = "there is no Keras network beside a pretrained package; it was compared before it was shipped"
        return [Check.not_made("ONNX against Keras", why, f"at most {LARGEST_DIFFERENCE:g}")]
    return [
        Check.at_most(
            f"ONNX against Keras, {name}",
            found.difference,
            LARGEST_DIFFERENCE,
            shown="{:.2g}",
            note=f"{found.rows} rows of fold 9",
        )
        for name, found in parity.items()
    ]
