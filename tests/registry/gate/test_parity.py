"""ONNX against Keras."""

import math

import pytest

from leadwise.registry.gate_checks import parity_checks
from leadwise.registry.package import Parity


@pytest.mark.parametrize(("off", "passed"), [(3e-7, True), (1e-5, True), (2e-5, False), (math.nan, False)])
def test_a_network_may_differ_by_a_hundred_thousandth(off: float, passed: bool) -> None:
    fusion, metadata = parity_checks({"fusion": Parity(off, 256), "metadata": Parity(1e-7, 256)})
    assert (fusion.passed, metadata.passed) == (passed, True)
    assert fusion.name == "ONNX against Keras, fusion"
    assert fusion.note == "256 rows of fold 9"


def test_without_keras_the_report_says_why() -> None:
    (check,) = parity_checks({})
    assert check.passed is None
    assert "pretrained" in check.note
