"""What every registered model owes to the rest of the house, and that a fourth one needs no change of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leadwise.config import PROJECT_ROOT, ConfigError
from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store, open_store
from leadwise.models.spec import MODELS, model_spec, register_model
from leadwise.parameters import load_parameters
from leadwise.registry.candidates import export_onnx
from leadwise.serving.network import open_session
from leadwise.training.config import training_config
from leadwise.training.epochs import validation_metrics
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained
from leadwise.training.trial import space_of

SMALL = {"epochs-fusion": 1, "epochs-metadata": 1, "encoder": "original_cnn", "encoder-width": 8}


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_is_saved_loads_and_is_exported(name: str, store: Store, tmp_path: Path) -> None:
    config = training_config(name, load_parameters(SMALL))
    assert config.model == name
    assert set(space_of(config).dimensions) <= config.parameters().keys()
    result = fit_model(config, store, tmp_path / name, report=lambda epoch, metrics: None)
    loaded = load_trained(tmp_path / name)
    assert sorted(loaded.network.input) == sorted(model_spec(name).sees)
    assert (loaded.signal is not None) == model_spec(name).sees_signal
    rows = store.rows("validation")
    probabilities = loaded.answers(store, rows)["superclasses"]
    assert probabilities.shape == (len(rows), 5)
    # What is loaded says what was measured before it was saved.
    again = validation_metrics(store.labels()[rows], probabilities)
    assert again == pytest.approx(result["validation"], abs=1e-6, nan_ok=True)
    export_onnx(loaded.network, tmp_path / "network.onnx")
    width = loaded.network.input["metadata"].shape[-1]
    rng = np.random.default_rng(1)
    inputs = {"metadata": rng.normal(size=(2, width)).astype(np.float32)}
    if loaded.signal is not None:
        inputs["signal"] = rng.normal(size=(2, config.window_samples, 12)).astype(np.float32)
    (exported,) = open_session(tmp_path / "network.onnx").run(["superclasses"], inputs)
    np.testing.assert_allclose(exported, loaded.network.predict_on_batch(inputs)["superclasses"], atol=1e-5)


def test_a_model_is_registered_once_and_with_known_inputs() -> None:
    spec = model_spec("fusion")
    with pytest.raises(LeadwiseError, match=r"second 'fusion'; taken: all, metadata, fusion"):
        register_model(spec)
    with pytest.raises(LeadwiseError, match=r"odd: sees \('report',\)"):
        register_model(type(spec)("odd", ("report",), spec.build, spec.settings, {}))
    assert list(MODELS) == ["metadata", "fusion", "fusion_augmented"]


PROGRAM = """
import json, runpy, sys
from pathlib import Path
import keras
from leadwise.parameters import load_parameters
from leadwise.models.spec import METADATA, SIGNAL, ModelSpec, Real, register_model

def build(shape, metadata_width, architecture):
    metadata = keras.Input((metadata_width,), name=METADATA)
    signal = keras.Input((shape.samples, shape.leads), name=SIGNAL)
    heard = keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(4, 9, activation="relu")(signal))
    features = keras.layers.Concatenate()([metadata, heard])
    answer = keras.layers.Dense(5, activation="sigmoid", name="superclasses")(features)
    return keras.Model({METADATA: metadata, SIGNAL: signal}, {"superclasses": answer})

register_model(ModelSpec(
    "tiny", (METADATA, SIGNAL), build,
    lambda train: {"epochs": 2, "patience": 2, "statement_weight": 0.0, "precision": "float32", "mixup": 0.0},
    {"learning-rate": Real(1e-3, 1e-2, log=True)},
))
project, workspace = Path(sys.argv[1]), sys.argv[2]
shared = ["--workspace", workspace, "--monitor", "val/binary_accuracy", "--epochs-metadata", "1"]
for stage, *given in (
    ("tune", "--model", "tiny", "--trials", "2", "--tune-epochs", "1", "--tune-share", "0.3"),
    ("train", "--model", "tiny", "--use-tuned", "true"),
    ("train", "--model", "metadata"),
    ("evaluate", "--model", "all", "--bootstrap", "100", "--robustness", "0"),
):
    sys.argv = [f"{stage}.py", *shared, *given]
    runpy.run_path(str(project / "pipelines" / f"{stage}.py"), run_name="__main__")

from leadwise.registry.candidates import build_package
parameters = load_parameters({"workspace": workspace, "monitor": "val/binary_accuracy"})
package = build_package(parameters)
print(json.dumps({"packaged": package.model, "parity": max(one.difference for one in package.parity.values())}))
"""


def test_a_fourth_model_is_tuned_trained_evaluated_compared_and_packaged(simulated_store: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "store").symlink_to(simulated_store)
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    environment.pop("MLFLOW_RUN_ID", None)
    command = [sys.executable, "-c", PROGRAM, str(PROJECT_ROOT), str(workspace)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    training = json.loads((workspace / "models" / "clinical" / "tiny" / "training.json").read_text())
    tuned = json.loads((workspace / "tuned" / "clinical" / "tiny.json").read_text())
    assert training["parameters"]["learning-rate"] == tuned["parameters"]["learning-rate"]
    summary = json.loads((workspace / "evaluation" / "clinical" / "summary.json").read_text())
    assert [model["model"] for model in summary["models"]] == ["metadata", "tiny"]
    comparisons = json.loads((workspace / "evaluation" / "clinical" / "comparisons.json").read_text())
    assert "tiny" in json.dumps(comparisons)
    packaged = json.loads(done.stdout.splitlines()[-1])
    assert packaged["packaged"] == "tiny"
    assert packaged["parity"] < 1e-4


def test_a_model_that_nobody_registered_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"model: received 'tiny'; allowed: all, metadata, fusion"):
        load_parameters({"model": "tiny"})
