"""A batch of real files through real small networks: folder and table, errors as rows, resumption, processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.data.simulator import simulate_record
from leadwise.serving.batch import parts
from leadwise.serving.batch.run import BatchError, score_batch
from leadwise.serving.batch.source import SourceError, entries
from leadwise.serving.parameters import Asked
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
    return folder


def test_every_format_is_answered_as_the_scorer_answers_it(folder: Path, package_folder: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_says_which_files_and_what_is_known_of_the_patients(
    folder: Path, package_folder: Path, tmp_path: Path, kind: str
) -> None:
    np.save(folder / "only-numbers.npy", np.round(simulate_record("MI", 1).signal_mv * 1000))
    rows: list[dict[str, Any]] = [
        {"file": "b.csv", "id": "walk-in", "age": 71, "sex": "female"},
        {"file": "only-numbers.npy", "fs_hz": 100, "units": "uV", "leads": ",".join(LEADS)},
        {"id": "no recording", "age": 50},
        {"file": "b.csv", "age": 300},
        {"file": "not-there.csv"},
    ]
    listed = folder / f"list.{kind}"
    table = pd.DataFrame(rows)
    table.to_csv(listed, index=False) if kind == "csv" else table.to_parquet(listed)
    try:
        done = score_batch(listed, tmp_path / "answers.parquet", package_folder, workers=1)
    finally:
        listed.unlink()
        (folder / "only-numbers.npy").unlink()
    answers = pd.read_parquet(done.file)
    assert answers["id"].tolist()[:3] == ["walk-in", "only-numbers.npy", "no recording"]
    assert answers["model"].tolist()[:3] == ["fusion_augmented", "fusion_augmented", "metadata"]
    assert answers["error_code"].tolist()[3:] == ["not_allowed", "not_read"]
    ecg = np.round(simulate_record("MI", 1).signal_mv.astype(float), 3)
    first, second = Scorer.load(package_folder).score(
        [{"signal": ecg, "fs_hz": 100, "age": 71, "sex": 1}, {"signal": ecg, "fs_hz": 100}]
    )
    for place, expected in enumerate((first, second)):
        assert answers.loc[place, "probability_MI"] == pytest.approx(expected["probabilities"]["MI"], abs=1e-5)


def test_what_is_whole_is_not_scored_again(
    folder: Path, package_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "answers.parquet"
    write = parts.write_atomically

    def interrupted(file: Path, content: bytes) -> None:
        if file.name == "part-000001.parquet":
            raise KeyboardInterrupt
        write(file, content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(parts, "write_atomically", interrupted)
        score_batch(folder, output, package_folder, workers=1, part_records=2)
    assert not output.exists()
    again = score_batch(folder, output, package_folder, workers=1, part_records=2)
    assert (again.records, again.scored) == (6, 4)
    before = output.stat().st_mtime_ns
    assert score_batch(folder, output, package_folder, workers=1, part_records=2).scored == 0
    assert output.stat().st_mtime_ns == before
    assert score_batch(folder, output, package_folder, workers=1, part_records=2, policy="youden").scored == 6
    assert set(pd.read_parquet(output)["policy"].dropna()) == {"youden"}


def test_two_processes_write_the_same_table_as_one(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    one, two = (
        pd.read_parquet(score_batch(folder, tmp_path / f"{n}.parquet", package_folder, workers=n, part_records=2).file)
        for n in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)


def refused(work: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        work()


def test_what_cannot_begin_says_why(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("name,age\nb.csv,3\n", encoding="utf-8")
    (tmp_path / "more.csv").write_text("file,hieght\nb.csv,3\n", encoding="utf-8")
    refused(lambda: score_batch(tmp_path / "gone", output, package_folder), SourceError, "is no folder and no table")
    refused(lambda: score_batch(tmp_path / "empty", output, package_folder), SourceError, "holds no recordings")
    refused(lambda: score_batch(tmp_path / "list.csv", output, package_folder), SourceError, "has no column file")
    refused(lambda: score_batch(tmp_path / "more.csv", output, package_folder), SourceError, "'hieght'")
    refused(lambda: score_batch(folder, tmp_path / "a.csv", package_folder), BatchError, "ends with .parquet")
    refused(lambda: score_batch(folder, output, package_folder, policy="mine"), BatchError, "allowed: best_f1")
    assert not output.exists()


def test_records_of_all_lengths_together_get_the_answers_that_each_gets_alone(scorer: Scorer) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [{"age": 50}, {"age": 300}, {"sex": 1}]
    for seed, samples in enumerate((500, 1000, 700, 1000)):
        rows.append({"signal": simulate_record("MI", seed).signal_mv[:samples], "fs_hz": 100, "age": 40 + seed})
    rows.append({"signal": np.tile(simulate_record("MI", 5).signal_mv, (3, 1))[:2500], "fs_hz": 100})
    rng.shuffle(rows)
    together = scorer.answer_rows(rows, Asked())
    for one, alone in zip(together, scorer.score(rows), strict=True):
        assert one.keys() == alone.keys()
        for name, value in alone.get("probabilities", {}).items():
            assert one["probabilities"][name] == pytest.approx(value, abs=2e-6)
        assert json.dumps(one.get("error")) == json.dumps(alone.get("error"))


def test_the_entry_point_scores_and_says_where(folder: Path, package_folder: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }

    def score(model: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROJECT_ROOT / "pipelines" / "score.py"), "--input", str(folder)]
        command += ["--output", str(tmp_path / "answers.parquet"), "--model", str(model), "--workers", "1"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    done = score(package_folder)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'answers.parquet'}: 6 records, 2 of them with an error" in done.stdout
    assert "%|" not in done.stderr, "no progress bar where there is no terminal"
    assert len(pd.read_parquet(tmp_path / "answers.parquet")) == 6
    failed = score(tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("leadwise score: error: model: ")
