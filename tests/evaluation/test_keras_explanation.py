"""A Keras network is explained by its own answers and gradients, on TensorFlow as on JAX, and as its ONNX file is."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from keras_explanation import explainable

from leadwise.config import PROJECT_ROOT
from leadwise.contract import SUPERCLASSES, SignalShape
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.explain import Explainable, ExplanationError, explain, probabilities
from leadwise.models.build import Architecture, build_model
from leadwise.registry.onnx_export import export_onnx
from leadwise.serving.network import open_session
from leadwise.training.prediction import TrainedModel

PATIENT = {"age": 61.0, "sex": 1.0}
SMALL = Architecture(encoder="resnet1d_wang", encoder_width=4, head="linear", statements=True)


def trained(model: str = "fusion") -> TrainedModel:
    """A network with random weights, without the training."""
    table = pd.DataFrame({"age": [40.0, 60.0, 80.0], "sex": [0.0, 1.0, 1.0], "height_cm": [160.0, 170.0, 180.0]})
    table[["weight_kg", "pacemaker"]] = [[60.0, 0.0], [70.0, 0.0], [80.0, 1.0]]
    metadata = MetadataTransformer.fit(table, "clinical")
    network = build_model(model, SignalShape(), metadata_width=metadata.width, architecture=SMALL, seed=5)
    signal = SignalPreprocessing(0.01, 0.3, window_samples=250, stride_samples=125) if model != "metadata" else None
    return TrainedModel(model, network, signal, metadata, {})


def recording(seed: int = 0) -> np.ndarray:
    """Half a second of every lead repeated, so that there are beats, with noise, ``(500, 12)`` mV."""
    generator = np.random.default_rng(seed)
    beat = generator.normal(0, 0.3, (50, 12)) * np.hanning(50)[:, None] ** 4
    return (np.tile(beat, (10, 1)) + generator.normal(0, 0.02, (500, 12))).astype(np.float32)


def test_gradients_are_those_of_small_steps() -> None:
    model, signal = explainable(trained()), recording()[np.newaxis, :250]
    k = SUPERCLASSES.index("CD")
    slopes = model.gradients(signal, PATIENT, k)
    assert slopes.shape == signal.shape
    generator = np.random.default_rng(1)
    directions = generator.normal(size=(6, *signal.shape)).astype(np.float32)
    size = 3e-4
    sides = [[model.answers(signal + step * way, PATIENT)[0, k] for way in directions] for step in (-size, size)]
    low, high = (np.log(p / (1 - p)) for p in np.array(sides, dtype=np.float64))
    changes = (high - low) / (2 * size)
    # Single precision and rectifiers bend small steps, not gradients.
    np.testing.assert_allclose((slopes * directions).sum(axis=(1, 2, 3)), changes, atol=0.1 * np.abs(changes).max())


def test_both_methods_add_up_to_what_parts_the_recording_from_one_at_rest() -> None:
    model, signal = explainable(trained()), recording()
    resting = np.broadcast_to(np.median(signal, axis=0), signal.shape)
    p = probabilities(model, np.stack([signal, resting]), PATIENT, "MI")
    distance = np.log(p[0] / (1 - p[0])) - np.log(p[1] / (1 - p[1]))
    assert abs(distance) > 0.01
    for method, tolerance in (("shapley", 1e-4), ("integrated_gradients", 0.1)):
        found = explain(model, signal, PATIENT, "MI", method=method)
        assert found.attribution.sum() / found.fs_hz == pytest.approx(distance, rel=tolerance)
        assert found.probability == pytest.approx(p[0])


def test_the_onnx_file_gives_the_same_explanation(tmp_path: Path) -> None:
    model = trained()
    export_onnx(model.network, tmp_path / "network.onnx")
    session = open_session(tmp_path / "network.onnx")
    assert model.signal is not None
    standardise = model.signal.standardise

    def answers(windows: np.ndarray, patient: Mapping[str, float | None]) -> np.ndarray:
        facts = np.repeat(model.metadata.transform_one(patient), len(windows), axis=0)
        return session.run(["superclasses"], {"signal": standardise(windows), "metadata": facts})[0]

    served = explain(Explainable(answers, model.signal), recording(), PATIENT, "HYP")
    here = explain(explainable(model), recording(), PATIENT, "HYP")
    assert np.abs(here.attribution).max() > 1e-3
    np.testing.assert_allclose(served.attribution, here.attribution, atol=1e-3 * np.abs(here.attribution).max())


def test_a_model_without_a_signal_is_refused() -> None:
    with pytest.raises(ExplanationError, match="metadata: received a model without a signal; allowed: a fusion model"):
        explainable(trained("metadata"))


JAX_PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_keras_explanation import PATIENT, recording, trained
from leadwise.explain import explain
from keras_explanation import explainable
model = trained()
model.network.load_weights(sys.argv[2])
found = explain(explainable(model), recording(), PATIENT, "STTC", method="integrated_gradients")
np.save(sys.argv[3], found.attribution)
"""


@pytest.mark.slow
def test_jax_gives_the_gradients_of_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    model = trained()
    model.network.save_weights(tmp_path / "network.weights.h5")
    here = explain(explainable(model), recording(), PATIENT, "STTC", method="integrated_gradients").attribution
    path = f"{PROJECT_ROOT / 'src'}:{PROJECT_ROOT / 'tests'}"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    files = [str(tmp_path / "network.weights.h5"), str(tmp_path / "attribution.npy")]
    subprocess.run([sys.executable, "-c", JAX_PROGRAM, str(Path(__file__).parent), *files], env=environment, check=True)
    np.testing.assert_allclose(np.load(files[1]), here, atol=1e-3 * np.abs(here).max())
