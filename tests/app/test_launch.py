"""The page by `leadwise app`, `pipelines/app.py` and `make app`: what Streamlit is started with."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leadwise.cli import main
from leadwise.config import PROJECT_ROOT
from leadwise.parameters import load_parameters

Started = list[list[str]]


def script(*arguments: str) -> None:
    runpy.run_path(str(PROJECT_ROOT / "pipelines" / "app.py"))["main"](arguments)


def command(*arguments: str) -> None:
    main(["app", *arguments])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The command lines that would have taken the process over."""
    lines: Started = []

    def take_over(program: str, line: list[str]) -> None:
        assert program == sys.executable
        lines.append(line)

    monkeypatch.setattr(os, "execv", take_over)
    for name in ("URL", "MODEL", "TREE", "EMBED_FROM"):
        monkeypatch.setenv(f"LEADWISE_APP_{name}", "left over")
    return lines


@pytest.mark.parametrize("start", [script, command])
def test_defaults_are_those_of_params_yaml(started: Started, start: Callable[..., None]) -> None:
    start()
    (line,) = started
    defaults = load_parameters(entry_point="app").app
    assert line[1:4] == ["-m", "streamlit", "run"]
    assert Path(line[4]).name == "entrance.py"
    assert {f"--server.port={defaults.port}", f"--server.address={defaults.address}"} <= set(line)
    names = ("URL", "MODEL", "TREE", "EMBED_FROM")
    assert [os.environ[f"LEADWISE_APP_{name}"] for name in names] == [""] * 4


@pytest.mark.parametrize("start", [script, command])
def test_what_is_given_reaches_the_page(started: Started, tmp_path: Path, start: Callable[..., None]) -> None:
    given = {"--url": "http://a:5001", "--tree": str(tmp_path), "--embed-from": "https://b", "--port": "9000"}
    start(*(word for pair in given.items() for word in pair), "--address", "0.0.0.0")
    assert {"--server.port=9000", "--server.address=0.0.0.0"} <= set(started[0])
    assert os.environ["LEADWISE_APP_URL"] == "http://a:5001"
    assert os.environ["LEADWISE_APP_TREE"] == str(tmp_path)
    assert os.environ["LEADWISE_APP_EMBED_FROM"] == "https://b"


def test_a_wrong_setting_is_one_line(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--tree", "/nowhere/at/all"]) == 1
    assert capsys.readouterr().err == (
        "leadwise app: error: tree: /nowhere/at/all: no such folder; a PTB-XL tree is needed\n"
    )
    with pytest.raises(SystemExit, match="leadwise app: error: url: "):
        script("--url", "ftp://a")
    assert started == []
