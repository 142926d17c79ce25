"""ONNX against Keras: the packaged network must answer real rows as the trained one does."""

from collections.abc import Mapping

from leadwise.registry.gate.check import Check

LARGEST_DIFFERENCE = 1e-5


def parity_checks(parity: Mapping[str, float], rows: int) -> list[Check]:
    """One check per network.

    Args:
        parity: network -> largest difference of any output on any row, measured while it was packaged; empty where
            there is no Keras network to compare with.
        rows: rows of the store that were compared.
    """
    if not parity:
        why = "there is no Keras network beside a pretrained package; it was compared before it was shipped"
        return [Check.not_possible("ONNX against Keras", why, f"at most {LARGEST_DIFFERENCE:g}")]
    return [
        Check.at_most(
            f"ONNX against Keras, {name}", off, LARGEST_DIFFERENCE, shown="{:.2g}", note=f"{rows} rows of fold 9"
        )
        for name, off in parity.items()
    ]
