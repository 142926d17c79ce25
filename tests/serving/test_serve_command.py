"""``leadwise serve``: the server that `mlflow models serve` starts, in one process, and errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from free_port import free_port
from live_server import SmallModel, running

from leadwise.cli import main

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(300)]

COMMAND = ("leadwise", "serve", "--model")


def test_the_model_answers_with_the_code_that_it_was_registered_with(small_model: SmallModel, tmp_path: Path) -> None:
    # Another Leadwise than that of the model, which fails as soon as it is imported.
    (tmp_path / "leadwise").mkdir(parents=True)
    script = Path(sys.modules["leadwise.cli"].__file__ or "").with_name("registry") / "model_process.py"
    (tmp_path / "leadwise" / "__init__.py").write_text("raise RuntimeError('the wrong Leadwise')")
    port, environment = free_port(), small_model.environment | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", str(script), "serve", small_model.uri, "127.0.0.1", str(port), "1"]
    with running(command, port, tmp_path / "log", environment) as server:
        assert server.post({"inputs": [{"age": 50}]}).status_code == 200


def test_a_model_that_is_not_there_is_one_line(small_model: SmallModel) -> None:
    done = subprocess.run(
        [*COMMAND, "models:/small@nobody"], cwd=small_model.folder, env=small_model.environment, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("leadwise serve: error: models:/small@nobody: cannot be served: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("option", "value"), [("--port", "0"), ("--port", "70000"), ("--workers", "0")])
def test_a_number_that_cannot_be_is_named(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", option, value])
    assert f"{option}: received {value}; " in capsys.readouterr().err
