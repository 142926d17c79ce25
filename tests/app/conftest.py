"""The page with the small package, in Streamlit's own simulation of a browser; and files to give it."""

import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import leadwise.app
from leadwise.contract import LEADS, ECGRecord

PAGE = Path(leadwise.app.__file__).with_name("page.py")


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


def _set(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name in ("url", "model", "tree"):
        monkeypatch.setenv(f"LEADWISE_APP_{name.upper()}", settings.get(name, ""))


@pytest.fixture
def opened(package_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A new session of the page in Streamlit's own simulation of a browser; keywords are settings."""
    from streamlit.testing.v1 import AppTest

    def open_page(**settings: str) -> AppTest:
        _set(monkeypatch, **{"model": str(package_folder)} | settings)
        page = AppTest.from_file(str(PAGE), default_timeout=300).run()
        assert not page.exception
        return page

    return open_page


@pytest.fixture(scope="module")
def _sessions() -> list[Any]:
    return []


@pytest.fixture
def desk(
    _sessions: list[Any], opened: Callable[..., Any], package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """One session for all that only upload a file: to open another takes longer than most of what is asked of it."""
    _set(monkeypatch, model=str(package_folder))
    if not _sessions:
        _sessions.append(opened())
    return _sessions[0]
