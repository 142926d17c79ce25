"""The ``leadwise`` command as a user types it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import leadwise
from leadwise import __version__
from leadwise.cli import main


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from leadwise.cli import build_parser; print(build_parser().format_help());"
        "print([name for name in ('numpy', 'pandas', 'tensorflow', 'mlflow', 'pydantic') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(leadwise.__file__).parents[1])}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    ).stdout
    assert "simulate" in shown
    assert shown.splitlines()[-1] == "[]"


def test_simulate_writes_a_tree_and_prints_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "tree"
    assert main(["simulate", str(dest), "--patients", "100", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(dest)
    assert captured.err == "", "no progress bar where there is no terminal"
    marker = json.loads((dest / "simulation.json").read_text())
    assert (marker["patients"], marker["seed"]) == (100, 3)


def test_an_error_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["simulate", str(tmp_path), "--patients", "100", "--seed", "3"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"leadwise simulate: error: {tmp_path}: exists and is not a simulated tree")
    assert message.count("\n") == 1


def test_ctrl_c_is_one_line_and_status_130(tmp_path: Path) -> None:
    # What a shell starts in the background, and so these tests perhaps, is deaf to Ctrl-C.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from leadwise.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "simulate", str(tmp_path / "tree"), "--patients", "20000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(leadwise.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not any(tmp_path.iterdir()):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.returncode is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "leadwise simulate: stopped\n")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["simulate"], "DEST"),
        (["simulate", "tree", "--patients", "many"], "--patients"),
    ],
)
def test_a_bad_command_line_is_status_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"leadwise {__version__}\n"
