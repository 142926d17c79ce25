from pathlib import Path

import numpy as np
import pytest

from leadwise.models.build import build_model
from leadwise.registry.onnx_export import export_onnx
from leadwise.serving.scorer import open_session


@pytest.mark.parametrize("name", ["metadata", "fusion"])
def test_onnx_answers_as_keras_for_any_batch_and_length(name: str, tmp_path: Path) -> None:
    network = build_model(name, metadata_width=14, seed=3)
    export_onnx(network, tmp_path / "network.onnx")
    session = open_session(tmp_path / "network.onnx")
    rng = np.random.default_rng(4)
    for batch, samples in ((1, 1000), (3, 800), (2, 503)):
        inputs = {"metadata": rng.normal(size=(batch, 14)).astype(np.float32)}
        if name != "metadata":
            inputs["signal"] = rng.normal(size=(batch, samples, 12)).astype(np.float32)
        (answer,) = session.run(["probabilities"], inputs)
        np.testing.assert_allclose(answer, network.predict_on_batch(inputs), atol=1e-6)
    shapes = {value.name: value.shape for value in [*session.get_inputs(), *session.get_outputs()]}
    signal = {} if name == "metadata" else {"signal": ["batch", "time", 12]}
    assert shapes == {"metadata": ["batch", 14], "probabilities": ["batch", 5], **signal}
