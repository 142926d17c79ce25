"""What a person sees of a stage, and what goes to its log."""

import subprocess
import sys
from pathlib import Path

import pytest

from leadwise.terminal import libraries_into, progress, say, terminal


def speak() -> None:
    """As libraries do, from Python and from a program that is started."""
    print("a line of a library", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "import sys; print('a program', file=sys.stderr)"], check=True)


def test_what_libraries_say_is_in_the_log_and_what_a_stage_says_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logs" / "train.log"
    for _ in range(2):
        with libraries_into(file, programs_too=True) as log:
            speak()
            say("a row of a table")
            print("no answer from the server", file=terminal())
        assert log.text().count("a program") == 1, "of this time only"
    shown = capfd.readouterr()
    assert shown.out == "a row of a table\n" * 2
    assert shown.err == "no answer from the server\n" * 2
    kept = file.read_text()
    for said in ("a line of a library", "a program"):
        assert kept.count(said) == 2, "a log is gone on with"
    print("over", file=sys.stderr)
    assert capfd.readouterr().err == "over\n"


def test_programs_of_a_pipeline_speak_for_themselves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with libraries_into(tmp_path / "main.log", programs_too=False) as log:
        print("MLflow says", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "import sys; print('error: of a stage', file=sys.stderr)"], check=True)
    assert capfd.readouterr().err == "error: of a stage\n"
    assert log.text() == "MLflow says\n"


def test_a_log_that_cannot_be_written_leaves_everything_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with libraries_into(tmp_path / "file" / "train.log", programs_too=True) as log:
        print("a library", file=sys.stderr)
    assert capfd.readouterr().err == "a library\n"
    assert log.text() == ""


def test_an_error_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), libraries_into(tmp_path / "log", programs_too=True):
        raise ValueError("wrong")
    print("the last line", file=sys.stderr)
    assert capfd.readouterr().err == "the last line\n"


def test_a_bar_is_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with progress(3, "records", "rec") as bar:
        bar.update(3)
    assert capfd.readouterr().err == ""


AT_ITS_END = """
import atexit, os, sys
from pathlib import Path
from leadwise.terminal import libraries_into

atexit.register(os.write, 2, b"a thread that misses Python\\n")
with libraries_into(Path(sys.argv[1]), programs_too=True):
    pass
sys.exit("the last line")
"""


def test_what_libraries_say_as_the_program_ends_is_not_its_last_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_ITS_END, str(tmp_path / "log")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "the last line\n")
    assert (tmp_path / "log").read_text().endswith("\na thread that misses Python\n")
