"""``leadwise predict`` as a user types it, answered by a small real package and by a server."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leadwise.cli import main
from leadwise.contract import DISCLAIMER, LEADS, SUPERCLASSES

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def walk_in(tmp_path: Path, ecg_mv: np.ndarray) -> Path:
    file = tmp_path / "walk-in.csv"
    lines = ["# Age: 63", "# fs: 100", "# units: mV", ",".join(LEADS)]
    lines += [",".join(f"{value:.3f}" for value in sample) for sample in ecg_mv]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_file_is_understood_and_answered(walk_in: Path, package_folder: Path, capsys: Captured) -> None:
    assert main(["predict", str(walk_in), "--model", str(package_folder), "--explain", "MI"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("walk-in.csv: CSV")
    assert "10 s at 100 Hz, 12 leads" in lines[0]
    assert lines[1] == "  the file says: age 63"
    table = next(place for place, line in enumerate(lines) if line.strip().startswith("class "))
    assert [line.split()[0] for line in lines[table + 1 : table + 6]] == list(SUPERCLASSES)
    warning = next(place for place, line in enumerate(lines) if "trained on simulated data" in line)
    assert warning < table
    assert any(line.startswith("  why MI (log-odds): ") for line in lines)
    assert lines[-1] == DISCLAIMER
    assert shown.err == ""


def test_facts_are_told_in_words_and_what_an_option_overrides_is_said(
    walk_in: Path, package_folder: Path, capsys: Captured
) -> None:
    about = "# Sex: F\n# Pacemaker: no\n# Height: 5 ft 8 in\n"
    walk_in.write_text(about + walk_in.read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ["predict", str(walk_in), "--model", str(package_folder)]
    assert main(arguments) == 0
    told = "  the file says: sex female, pacemaker no, height_cm 172.72, age 63"
    assert capsys.readouterr().out.splitlines()[1] == told
    given = ["--sex", "male", "--age", "71", "--height-cm", "172.72", "--weight-kg", "70", "--pacemaker"]
    assert main([*arguments, *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == told
    assert [line.removeprefix("  note: ") for line in lines if line.startswith("  note: ")] == [
        "The file says age 63; 71 was taken, as given with --age.",
        "The file says sex female; male was taken, as given with --sex.",
        "The file says pacemaker no; yes was taken, as given with --pacemaker.",
    ]
    assert main([*arguments, "--json", "--sex", "male"]) == 0
    notes = json.loads(capsys.readouterr().out)[0]["understood"]["notes"]
    assert notes == ["The file says sex female; male was taken, as given with --sex."]


def test_units_that_no_suggestion_fits_are_asked_with_a_gain(
    tmp_path: Path, ecg_mv: np.ndarray, package_folder: Path, capsys: Captured
) -> None:
    np.save(tmp_path / "bare.npy", ecg_mv * 10)
    hints = ["--fs-hz", "100", "--leads", ",".join(LEADS), "--model", str(package_folder)]
    assert main(["predict", str(tmp_path / "bare.npy"), *hints]) == 1
    assert capsys.readouterr().err.rstrip().endswith(" does. Answer with --gain or --units.")
    assert main(["predict", str(tmp_path / "bare.npy"), *hints, "--gain", "10"]) == 0


def test_json_by_a_server_says_what_the_table_says_here(
    walk_in: Path, package_folder: Path, url: str, capsys: Captured
) -> None:
    told = []
    for arguments in (["--model", str(package_folder)], ["--url", url]):
        assert main(["predict", str(walk_in), "--json", "--age", "71", "--sex", "female", *arguments]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    ((entry,), _) = told
    assert entry["understood"]["fs_hz"] == 100
    assert entry["answer"]["id"] == "walk-in.csv"
    assert entry["answer"]["warnings"][0] == "not given, so taken as unknown: height_cm, weight_kg"


def test_bad_files_are_a_sentence_each_and_the_others_are_answered(
    walk_in: Path, tmp_path: Path, package_folder: Path, capsys: Captured
) -> None:
    np.save(tmp_path / "bare.npy", np.ones((1000, 12)))
    (tmp_path / "broken.edf").write_bytes(b"0" + b" " * 300)
    files = [str(tmp_path / name) for name in ("gone.csv", "broken.edf", "bare.npy", "walk-in.csv")]
    assert main(["predict", *files, "--model", str(package_folder), "--json"]) == 1
    shown = capsys.readouterr()
    errors = shown.err.splitlines()
    assert len(errors) == 3
    for error, name in zip(errors, ("gone.csv", "broken.edf", "bare.npy"), strict=True):
        assert error.startswith(f"leadwise predict: error: {name}: ")
    assert errors[2].endswith(" Answer with --fs-hz, likely --fs-hz 100.")
    assert ["answer" in entry for entry in json.loads(shown.out)] == [False, False, False, True]
    hints = ["--fs-hz", "100", "--units", "mV", "--leads", ",".join(LEADS)]
    assert main(["predict", files[2], "--model", str(package_folder), *hints]) == 1
    assert "bare.npy: signal: is a flat line in every lead" in capsys.readouterr().err


def test_a_figure_is_drawn(walk_in: Path, package_folder: Path, capsys: Captured) -> None:
    figure = walk_in.with_name("out.png")
    arguments = ["predict", str(walk_in), "--model", str(package_folder), "--figure", str(figure)]
    arguments += ["--explain", "STTC"]
    assert main([*arguments, "--sex", "female"]) == 0
    with Image.open(figure) as image:
        assert image.width > 2000
    assert str(figure) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--explain", "XYZ"], "--explain: received 'XYZ'; allowed: NORM"),
        (["--figure", "out.docx"], "--figure: received out.docx"),
        (["--policy", "mine"], "--policy: received 'mine'; allowed: best_f1"),
        (["--model", "nowhere"], "model: nowhere: no package of Leadwise"),
        (["--url", "localhost"], "--model: is for answers without a server"),
    ],
)
def test_what_concerns_every_file_is_one_sentence(
    walk_in: Path, package_folder: Path, arguments: list[str], message: str, capsys: Captured
) -> None:
    given = arguments if "--model" in arguments else [*arguments, "--model", str(package_folder)]
    assert main(["predict", str(walk_in), *given]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"leadwise predict: error: {message}")
    assert error.count("\n") == 1
