"""The commands with which a run of the pipeline closes, as bash takes them from a folder with letters that it minds."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import mlflow
import pytest

from leadwise.parameters import load_parameters
from leadwise.pipeline import closing_report
from leadwise.registry.register import Registered

FOLDERS = ["plain", "with a space", "it's an é", '$HOME & (more); "quoted" `ls` *']


@pytest.mark.parametrize("name", FOLDERS)
def test_the_closing_lines_reach_their_programs_word_by_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    workspace = folder / "workspace"
    (workspace / "evaluation" / "clinical").mkdir(parents=True)
    registered = Registered("my model", "3", "champion", "fusion", "models:/my model@champion", "run", True, ())
    contents = {
        "registered.json": asdict(registered),
        "gate.json": {"verdict": "Gate passed."},
        "evaluation/clinical/summary.json": {},
    }
    for file, content in contents.items():
        (workspace / file).write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("leadwise.reports.overview.terminal_table", lambda summary: "")
    monkeypatch.chdir(folder)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    try:
        text = closing_report(load_parameters({"workspace": "workspace"}), {"register": 1.0})
    finally:
        mlflow.set_tracking_uri(before)
    address = f"sqlite:///{folder / 'mlflow.db'}"
    found = [
        received(line) for line in text.splitlines() if line.startswith("  ") and (" mlflow " in line or "curl" in line)
    ]
    assert found == [
        ["mlflow", "server", "--workers", "1", "--port", "5000", "--backend-store-uri", address, ""],
        ["mlflow", "models", "serve", "-m", "models:/my model@champion", "--env-manager", "local", "--port", "5001",
         address],
        ["curl", "-s", "http://127.0.0.1:5001/invocations", "-H", "Content-Type: application/json", "-d",
         f"@{workspace / 'request.json'}", ""],
    ]  # fmt: skip


def received(line: str) -> list[str]:
    """The words that bash hands to a program, and the tracking store that it finds in its environment."""
    stand_in = '() { printf \'%s\\0\' "${FUNCNAME[0]}" "$@" "${MLFLOW_TRACKING_URI-}"; }'
    script = f"unset MLFLOW_TRACKING_URI\nmlflow{stand_in}\ncurl{stand_in}\n{line}"
    done = subprocess.run(["bash", "-c", script], cwd="/", capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\0").split("\0")
