"""`leadwise plot FILE -o OUT`: a recording on paper, from any file that is read."""

from pathlib import Path

import numpy as np
import pytest

from leadwise.cli import main
from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record

BEGINS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s whose file does not say its units."""
    file = tmp_path_factory.mktemp("plot") / "walk-in.npz"
    signal = np.tile(simulate_record("CD", 5).signal_mv, (2, 1))
    np.savez(file, signal=signal, fs_hz=100.0, leads=np.array(LEADS))
    return file


@pytest.mark.parametrize("ending", BEGINS)
def test_each_ending_is_a_format(
    recording: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"ecg.{ending}"
    assert main(["plot", str(recording), "-o", str(out), "--units", "mV", "--start", "7"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_bytes().startswith(BEGINS[ending])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "ecg.gif", "--units", "mV"], "--output: received ecg.gif"),
        (["-o", "ecg.png"], "Answer with --units"),
        (["-o", "ecg.png", "--units", "mV", "--start", "30"], "--start: received 30; 0 to 19 s is allowed"),
        (["-o", "ecg.png", "--units", "V"], "signal: "),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(recording), *arguments]) == 1
    message = capsys.readouterr().err
    assert message.startswith("leadwise plot: error: ")
    assert said in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
