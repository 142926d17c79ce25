"""Which networks answer: a folder, what is shipped, or the champion of the registry in use."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_script import script

from leadwise.registry import load
from leadwise.registry.load import ModelError, NoSuchModel, load_scorer, package_folder
from leadwise.registry.package import Package


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without a registry."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_registry_what_is_shipped_answers(
    nowhere: Path, make_package: Callable[..., Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BUNDLED", nowhere / "shipped")
    with pytest.raises(ModelError, match="no champion is registered here, and no pretrained package is bundled"):
        load_scorer()
    script.bundle(make_package(simulated=False), "# Card\n", nowhere / "shipped")
    for model in (None, "pretrained", str(nowhere / "shipped")):
        assert load_scorer(model).score([{"age": 50}])[0]["model"] == "metadata"
    assert [path.name for path in nowhere.iterdir()] == ["shipped"], "looking for a registry must not make one"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no package of Leadwise"),
        ("[]", "no package of Leadwise"),
        (json.dumps({"networks": {"fusion": {"file": "fusion.onnx"}}}), "fusion.onnx is absent"),
    ],
)
def test_a_folder_without_a_whole_package_is_told(nowhere: Path, content: str | None, problem: str) -> None:
    if content:
        (nowhere / "model.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=problem), package_folder(str(nowhere)):
        pass


def test_a_registry_that_cannot_be_asked_is_not_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model than the champion must not answer because a server is down."""
    import mlflow

    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    try:
        with pytest.raises(ModelError, match="leadwise@champion: cannot be fetched from the registry") as told:
            load_scorer()
    finally:
        mlflow.set_tracking_uri(before)
    assert not isinstance(told.value, NoSuchModel)
