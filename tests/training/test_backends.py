"""The same code trains on another backend of Keras, which the environment chooses and a user's keras.json does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.datasets.store import open_store
from leadwise.training.prediction import load_trained

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from leadwise.parameters import load_parameters
from leadwise.datasets.store import open_store
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained
from leadwise.training.config import training_config
store, folder = open_store(Path(sys.argv[1])), Path(sys.argv[2])
small = {"epochs-fusion": 2, "encoder": "original_cnn", "encoder-width": 4}
result = fit_model(training_config("fusion_augmented", load_parameters(small)), store, folder, report=lambda *_: None)
np.save(folder / "answers.npy", load_trained(folder).answers(store, store.rows("validation"))["superclasses"])
print(result["backend"], result["history"][0]["train/loss"], result["history"][1]["train/loss"])
"""


@pytest.mark.slow
def test_jax_trains_and_tensorflow_reads_it(simulated_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(PROJECT_ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(simulated_store), str(tmp_path / "fusion")],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "keras.json" not in done.stderr
    backend, first, last = done.stdout.split()
    assert backend == "jax"
    assert float(last) < float(first)
    store = open_store(simulated_store)
    here = load_trained(tmp_path / "fusion").answers(store, store.rows("validation"))["superclasses"]
    np.testing.assert_allclose(here, np.load(tmp_path / "fusion" / "answers.npy"), atol=1e-4)


SETTINGS = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.01, "backend": "torch"}

USES = """
import json
from leadwise.models.framework import build_model
from leadwise.contract import SignalShape
import keras

network = build_model("metadata", SignalShape(), metadata_width=14)
print(json.dumps([keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(),
                  keras.config.backend(), network.compute_dtype, sorted({weight.dtype for weight in network.weights})]))
"""


def test_a_users_keras_json_changes_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(SETTINGS))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
    given = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USES], env=inherited | given, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stderr.splitlines() if "keras.json" in line] == [
        f"{tmp_path / 'keras.json'}: floatx float16, image_data_format channels_first, epsilon 0.01, "
        "backend torch: not taken, but floatx float32, image_data_format channels_last, epsilon 1e-07, "
        "backend tensorflow; KERAS_BACKEND chooses a backend"
    ]
    assert json.loads(done.stdout) == ["float32", "channels_last", 1e-07, "tensorflow", "float32", ["float32"]]
