"""The cost of a network, counted by hand where that can be done."""

import pytest

from leadwise.contract import LEADS, SignalShape
from leadwise.models.framework import build_model, multiply_adds
from leadwise.models.spec import Architecture


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


def test_a_window_of_unknown_length_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="signal_conv_1: its output has the shape"):
        multiply_adds(build_model("fusion", SignalShape(), metadata_width=14))
