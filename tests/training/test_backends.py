"""The same code trains on another backend of Keras, and what it wrote is read by TensorFlow."""

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
from leadwise.config import load_parameters
from leadwise.datasets.store import open_store
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained
from leadwise.training.config import training_config
store, folder = open_store(Path(sys.argv[1])), Path(sys.argv[2])
small = {"epochs-fusion": 2, "encoder": "resnet1d_wang", "encoder-width": 4}
result = fit_model(training_config("fusion_augmented", load_parameters(small)), store, folder, report=lambda *_: None)
np.save(folder / "answers.npy", load_trained(folder).predict(store, store.rows("validation")))
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
    backend, first, last = done.stdout.split()
    assert backend == "jax"
    assert float(last) < float(first)
    store = open_store(simulated_store)
    here = load_trained(tmp_path / "fusion").predict(store, store.rows("validation"))
    np.testing.assert_allclose(here, np.load(tmp_path / "fusion" / "answers.npy"), atol=1e-4)
