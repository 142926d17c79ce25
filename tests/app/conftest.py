"""A package folder for the page: two small networks in real ONNX files, with the rates of their policies."""

import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from small_package import small_network, transformer_of

import leadwise.app
from leadwise.contract import LEADS, SUPERCLASSES, ECGRecord
from leadwise.decision import Calibration
from leadwise.ecg.preprocessing import SignalPreprocessing


def rates(middle: float) -> dict[str, Any]:
    """What a package tells of one policy."""
    classes = {name: [middle + 0.01 * k, 0.1, 0.9] for k, name in enumerate(SUPERCLASSES)}
    return {"best_f1": {"sensitivity": classes, "specificity": classes, "ppv": classes}}


PAGE = Path(leadwise.app.__file__).with_name("page.py")
RATES = {"fusion": rates(0.8), "metadata": rates(0.3)}


@pytest.fixture(scope="session")
def ecg_files() -> ModuleType:
    """The writers of ECG files that the tests of the readers use."""
    path = Path(__file__).parents[1] / "ecg" / "formats" / "conftest.py"
    spec = importlib.util.spec_from_file_location("ecg_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def npz_of(record: ECGRecord, **facts: float) -> bytes:
    """A recording as an NPZ file that leaves no question open."""
    stream = io.BytesIO()
    np.savez(stream, signal=record.signal_mv, fs_hz=record.fs_hz, units="mV", leads=np.array(LEADS), **facts)
    return stream.getvalue()


@pytest.fixture(scope="session")
def npz() -> Callable[..., bytes]:
    return npz_of


@pytest.fixture(scope="session")
def page_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sigmoid(mean over time @ weights + metadata @ weights), and the same without the signal."""
    rng = np.random.default_rng(1)
    transformer = transformer_of(rng)
    folder = tmp_path_factory.mktemp("page-package")
    signal = SignalPreprocessing(0.01, 0.25, window_samples=250, stride_samples=125)
    policies = {
        name: {
            "rule": name,
            "thresholds": dict.fromkeys(SUPERCLASSES, limit),
            "uncertain": {one: [limit - 0.03, limit + 0.03] for one in SUPERCLASSES},
        }
        for name, limit in (("best_f1", 0.5), ("youden", 0.2), ("target_sensitivity", 0.05))
    }
    networks = {}
    for role, name, preprocessing in (("fusion", "fusion", signal), ("metadata", "metadata", None)):
        weights = {"of_metadata": rng.normal(size=(transformer.width, 5)).astype(np.float32)}
        if preprocessing is not None:
            weights["of_signal"] = rng.normal(size=(12, 5)).astype(np.float32)
        onnx.save(small_network(weights), folder / f"{role}.onnx")
        networks[role] = {
            "name": name,
            "file": f"{role}.onnx",
            "preprocessing": {
                "signal": preprocessing.to_dict() if preprocessing else None,
                "metadata": transformer.to_dict(),
            },
            "decision": Calibration.of_temperature(1.5).to_dict() | {"policy": "best_f1", "policies": policies},
            "policy_rates": RATES[role],
            "test": {},
        }
    (folder / "MODEL_CARD.md").write_text("# A small package\n", encoding="utf-8")
    about = {"simulated": True, "test_records": 321, "leadwise": "0", "data": {"dataset": "synthetic"}}
    description = {"networks": networks} | about
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


@pytest.fixture
def opened(page_package: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A new session of the page in Streamlit's own simulation of a browser; keywords are settings."""
    from streamlit.testing.v1 import AppTest

    def open_page(**settings: str) -> AppTest:
        named = {"model": str(page_package)} | settings
        for name in ("url", "model", "tree"):
            monkeypatch.setenv(f"LEADWISE_APP_{name.upper()}", named.get(name, ""))
        page = AppTest.from_file(str(PAGE), default_timeout=300).run()
        assert not page.exception
        return page

    return open_page
