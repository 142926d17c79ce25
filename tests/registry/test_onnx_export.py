from pathlib import Path

import numpy as np
import pytest

from leadwise.contract import ENCODER_NAMES, EncoderName, SignalShape
from leadwise.models.framework import build_model
from leadwise.models.spec import Architecture
from leadwise.registry.candidates import export_onnx
from leadwise.serving.network import open_session

CASES: list[tuple[str, EncoderName]] = [("metadata", ENCODER_NAMES[0])]
CASES += [("fusion", encoder) for encoder in ENCODER_NAMES]


@pytest.mark.parametrize(("name", "encoder"), CASES)
def test_onnx_answers_as_keras_for_any_batch_and_length(name: str, encoder: EncoderName, tmp_path: Path) -> None:
    architecture = Architecture(encoder=encoder, encoder_width=8, head="linear", statements=True)
    network = build_model(name, SignalShape(), metadata_width=14, architecture=architecture, seed=3)
    rng = np.random.default_rng(4)
    # A batch norm that has learnt nothing would hide what goes wrong when it is joined with its convolution.
    network.set_weights([weight + rng.normal(0, 0.02, weight.shape) for weight in network.get_weights()])
    export_onnx(network, tmp_path / "network.onnx")
    session = open_session(tmp_path / "network.onnx")
    outputs = ["superclasses"] if name == "metadata" else ["superclasses", "statements"]
    for batch, samples in ((1, 1000), (3, 800), (2, 503)):
        inputs = {"metadata": rng.normal(size=(batch, 14)).astype(np.float32)}
        if name != "metadata":
            inputs["signal"] = rng.normal(size=(batch, samples, 12)).astype(np.float32)
        answers = network.predict_on_batch(inputs)
        for output, answer in zip(outputs, session.run(outputs, inputs), strict=True):
            np.testing.assert_allclose(answer, answers[output], atol=1e-6)
    shapes = {value.name: value.shape for value in [*session.get_inputs(), *session.get_outputs()]}
    more = {} if name == "metadata" else {"signal": ["batch", "time", 12], "statements": ["batch", 71]}
    assert shapes == {"metadata": ["batch", 14], "superclasses": ["batch", 5], **more}
