"""A batch of real files through real small networks: folder and table, errors as rows, resumption, processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import wfdb

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, SUPERCLASSES, LeadwiseError
from leadwise.datasets.synthetic import simulate_record
from leadwise.serving.batch import score_batch
from leadwise.serving.batch_source import entries
from leadwise.serving.scorer import Scorer


def write_csv(file: Path, signal_mv: np.ndarray, *comments: str) -> None:
    lines = [*comments, ",".join(LEADS), *(",".join(f"{value:.3f}" for value in sample) for sample in signal_mv)]
    file.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WFDB, CSV, NPZ and Parquet of a recording each, a bad CSV, a flat line, and files that are none."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "below").mkdir()
    ecgs = [np.round(simulate_record("MI", seed).signal_mv.astype(float), 3) for seed in range(4)]
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=ecgs[0], fmt=["16"] * 12, adc_gain=[1000.0] * 12,
        baseline=[0] * 12, comments=["Age: 63"], write_dir=str(folder),
    )  # fmt: skip
    write_csv(folder / "b.csv", ecgs[1], "# fs: 100", "# units: mV")
    np.savez(folder / "c.npz", signal=ecgs[2], fs_hz=100, units="mV", leads=list(LEADS), age=50)
    table = pd.DataFrame({f"{name} (mV)": ecgs[3][:, k] for k, name in enumerate(LEADS)})
    table.insert(0, "time_s", np.arange(1000) / 100)
    table.to_parquet(folder / "below" / "d.parquet")
    (folder / "e.csv").write_text("no,table\n", encoding="utf-8")
    write_csv(folder / "f.csv", np.full((1000, 12), 0.5), "# fs: 100", "# units: mV")
    (folder / "README").write_text("not a recording", encoding="utf-8")
    (folder / ".hidden.csv").write_text("not a recording", encoding="utf-8")
    (folder / "below" / "again").symlink_to(folder, target_is_directory=True)
    return folder


def test_every_format_is_answered_as_the_scorer_answers_it(
    folder: Path, package_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = score_batch(folder, tmp_path / "answers.parquet", package_folder, workers=1)
    assert (done.records, done.errors, done.scored) == (6, 2, 6)
    answers = pd.read_parquet(done.file)
    assert answers["file"].tolist() == [entry["file"] for entry in entries(folder)]
    answers.index = pd.Index([Path(file).name for file in answers["file"]])
    scorer = Scorer.load(package_folder)
    ecg = np.round(simulate_record("MI", 0).signal_mv.astype(float), 3)
    (expected,) = scorer.score([{"signal": ecg, "fs_hz": 100, "age": 63}])
    for name in SUPERCLASSES:
        assert answers.loc["a.hea", f"probability_{name}"] == pytest.approx(expected["probabilities"][name], abs=2e-6)
        assert answers.loc["a.hea", f"decision_{name}"] == expected["decisions"][name]
    assert answers.loc["a.hea", "format"].startswith("WFDB")
    assert answers.loc["e.csv", "error_code"] == "not_read"
    assert answers.loc["e.csv", "error"].startswith("e.csv: ")
    assert answers.loc["f.csv", "error_code"] == "flat_line"
    assert answers.loc["f.csv", "error"] == "signal: is a flat line in every lead"
    assert answers.loc[["a.hea", "b.csv", "c.npz", "d.parquet"], "error"].isna().all()
    assert answers.loc["e.csv", [f"probability_{name}" for name in SUPERCLASSES]].isna().all()
    assert list(tmp_path.iterdir()) == [done.file]
    assert capfd.readouterr().err == "", "no progress bar where there is no terminal"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_says_which_files_and_what_is_known_of_the_patients(
    folder: Path, package_folder: Path, tmp_path: Path, kind: str
) -> None:
    np.save(tmp_path / "only-numbers.npy", np.round(simulate_record("MI", 1).signal_mv * 1000))
    shutil.copy(folder / "b.csv", tmp_path)
    rows: list[dict[str, Any]] = [
        {"file": "b.csv", "id": "walk-in", "age": 71, "sex": "female"},
        {"file": "only-numbers.npy", "fs_hz": 100, "units": "uV", "leads": ",".join(LEADS)},
        {"id": "no recording", "age": 50},
        {"file": "b.csv", "age": 300},
        {"file": "not-there.csv"},
    ]
    listed = tmp_path / f"list.{kind}"
    table = pd.DataFrame(rows)
    table.to_csv(listed, index=False) if kind == "csv" else table.to_parquet(listed)
    answers = pd.read_parquet(score_batch(listed, tmp_path / "answers.parquet", package_folder, workers=1).file)
    assert answers["id"].tolist()[:3] == ["walk-in", "only-numbers.npy", "no recording"]
    assert answers["model"].tolist()[:3] == ["fusion_augmented", "fusion_augmented", "metadata"]
    assert answers["error_code"].tolist()[3:] == ["not_allowed", "not_read"]
    ecg = np.round(simulate_record("MI", 1).signal_mv.astype(float), 3)
    first, second = Scorer.load(package_folder).score(
        [{"signal": ecg, "fs_hz": 100, "age": 71, "sex": 1}, {"signal": ecg, "fs_hz": 100}]
    )
    for place, expected in enumerate((first, second)):
        assert answers.loc[place, "probability_MI"] == pytest.approx(expected["probabilities"]["MI"], abs=1e-5)


KILLED_IN_MID_RUN = """
import os, signal, sys
from pathlib import Path
from leadwise.serving.batch import score_batch

replace = os.replace

def die(beside, file):
    if Path(file).name == "part-000001.parquet":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(beside, file)

os.replace = die
source, output, package = map(Path, sys.argv[1:])
score_batch(source, output, package, workers=1, part_records=2)
"""
"""Killed when the second part is written and not yet renamed."""


def ended(program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A program in a process of its own, after it has ended."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)


def test_a_killed_run_goes_on_where_it_was(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    killed = ended(KILLED_IN_MID_RUN, folder, output, package_folder)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    done = score_batch(folder, output, package_folder, workers=1, part_records=2)
    assert (done.records, done.scored) == (6, 4)
    whole = score_batch(folder, tmp_path / "whole.parquet", package_folder, workers=1).file
    pd.testing.assert_frame_equal(pd.read_parquet(output), pd.read_parquet(whole))
    assert {path.name for path in tmp_path.iterdir()} == {"answers.parquet", "whole.parquet"}


def test_only_what_has_changed_is_scored_again(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "recordings", tmp_path / "answers.parquet"
    shutil.copytree(folder, source, symlinks=True)

    def scored(**settings: Any) -> int:
        return score_batch(source, output, package_folder, workers=1, part_records=2, **settings).scored

    assert scored() == 6
    before = output.stat().st_mtime_ns
    assert scored() == 0
    assert output.stat().st_mtime_ns == before
    # What a header leads to counts as much as the header.
    os.utime(source / "a.dat", ns=(1, 1))
    assert scored() == 6
    assert scored(policy="youden") == 6
    assert set(pd.read_parquet(output)["policy"].dropna()) == {"youden"}


def test_two_processes_write_the_same_table_as_one(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    one, two = (
        pd.read_parquet(score_batch(folder, tmp_path / f"{n}.parquet", package_folder, workers=n, part_records=2).file)
        for n in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)


TABLES_REFUSED = {
    "no-file.csv": "name,age\nb.csv,3\n",
    "misspelt.csv": "file,hieght\nb.csv,3\n",
    "commas.csv": "file,leads\na.csv,I\nb.csv,I,II,III\n",
}


def test_what_cannot_begin_says_why(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    (tmp_path / "empty").mkdir()
    for name, text in TABLES_REFUSED.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    dates = pd.DataFrame({"file": ["b.csv"], "age": [pd.Timestamp("1960-01-01")]})
    dates.to_parquet(tmp_path / "dates.parquet")
    itself = tmp_path / "dates.parquet"
    kind: type[Exception]
    for source, file, kind, problem in (
        (tmp_path / "gone", output, LeadwiseError, "is no folder and no table"),
        (tmp_path / "empty", output, LeadwiseError, "holds no recordings"),
        (tmp_path / "no-file.csv", output, LeadwiseError, "has no column file"),
        (tmp_path / "misspelt.csv", output, LeadwiseError, "'hieght'"),
        (tmp_path / "commas.csv", output, LeadwiseError, "line 3 has more cells"),
        (folder, tmp_path / "a.csv", LeadwiseError, "ends with .parquet"),
        (folder, folder / "below" / "answers.parquet", LeadwiseError, "lies in the folder that is scored"),
        (itself, itself, LeadwiseError, "is the input"),
    ):
        with pytest.raises(kind, match=problem):
            score_batch(source, file, package_folder)
    with pytest.raises(LeadwiseError, match="allowed: best_f1"):
        score_batch(folder, output, package_folder, policy="mine")
    assert not output.exists()
    # What no field can be is refused with its record.
    shutil.copy(folder / "b.csv", tmp_path)
    done = score_batch(itself, output, package_folder, workers=1)
    assert pd.read_parquet(done.file)["error"].tolist() == ["age: received '1960-01-01 00:00:00'; a number is needed"]


def test_records_of_all_lengths_together_get_the_answers_that_each_gets_alone(scorer: Scorer) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [{"age": 50}, {"age": 300}, {"sex": 1}]
    for seed, samples in enumerate((500, 1000, 700, 1000)):
        rows.append({"signal": simulate_record("MI", seed).signal_mv[:samples], "fs_hz": 100, "age": 40 + seed})
    rows.append({"signal": np.tile(simulate_record("MI", 5).signal_mv, (3, 1))[:2500], "fs_hz": 100})
    rng.shuffle(rows)
    together = scorer.score(rows)
    for number, one in enumerate(together):
        (alone,) = scorer.score([rows[number]])
        assert one.keys() == alone.keys()
        for name, value in alone.get("probabilities", {}).items():
            assert one["probabilities"][name] == pytest.approx(value, abs=2e-6)
        assert one.get("error", {}).get("code") == alone.get("error", {}).get("code")


def test_a_name_that_is_no_text_is_scored_all_the_same(package_folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    (tmp_path / "in").mkdir()
    try:
        write_csv(tmp_path / "in" / name, simulate_record("MI", 1).signal_mv, "# fs: 100", "# units: mV")
    except OSError:
        pytest.skip("the file system takes no such names")
    done = score_batch(tmp_path / "in", tmp_path / "answers.parquet", package_folder, workers=1)
    assert (done.records, done.errors) == (1, 0)
    assert pd.read_parquet(done.file)["file"].tolist() == [f"{tmp_path}/in/caf\ufffd.csv"]


def test_rows_that_cannot_be_read_stay_in_their_places(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    names = ["gone-1.csv", "gone-2.csv", "b.csv", "gone-3.csv", "c.npz", "gone-4.csv"] * 9
    listed = tmp_path / "many.csv"
    listed.write_text("\n".join(["file", *(str(folder / name) for name in names)]), encoding="utf-8")
    answers = pd.read_parquet(score_batch(listed, tmp_path / "answers.parquet", package_folder, workers=1).file)
    assert [Path(file).name for file in answers["file"]] == names
    assert answers["error_code"].isna().tolist() == [not name.startswith("gone") for name in names]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([7, 0, 2**53 + 1, -1], ["7", "0", "9007199254740993", "-1"]),
        ([7.0, None, 0.0, 2.0**52], ["7", None, "0", "4503599627370496"]),
        ([7.5, 0.25, None, -0.5], ["7.5", "0.25", None, "-0.5"]),
    ],
)
def test_ids_that_are_numbers_are_told_as_text(
    package_folder: Path, tmp_path: Path, ids: list[Any], expected: list[Any]
) -> None:
    table = tmp_path / "ids.parquet"
    pd.DataFrame({"file": [None, "gone.csv", None, None], "age": [50] * 4, "id": ids}).to_parquet(table)
    done = score_batch(table, tmp_path / "answers.parquet", package_folder, workers=1)
    assert pyarrow.parquet.read_table(done.file)["id"].to_pylist() == expected


@pytest.mark.parametrize(("limit", "name", "workers"), [(100, "recordings.jsonl", 1), (3000, "part-000000.parquet", 2)])
def test_what_does_not_fit_on_the_disk_is_named_and_the_next_run_goes_on(
    folder: Path, package_folder: Path, tmp_path: Path, limit: int, name: str, workers: int
) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from leadwise.serving.batch import score_batch\n"
        "limit, workers = map(int, sys.argv[4:]); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: score_batch(*map(Path, sys.argv[1:4]), workers=workers, part_records=3)\n"
        "except OSError as error: sys.exit(str(error))"
    )
    output = tmp_path / "answers.parquet"
    done = ended(program, folder, output, package_folder, limit, workers)
    assert done.returncode == 1
    assert re.search(rf"File too large: '{tmp_path}/answers.parquet.parts/{name}'$", done.stderr.strip()), done.stderr
    assert not output.exists()
    assert score_batch(folder, output, package_folder, workers=1).records == 6
